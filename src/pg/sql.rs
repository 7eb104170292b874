//! SPI with plans that are kept: one call to run a statement with bound values, one way to read its rows.
//! Every statement takes its own snapshot and sees what the transaction did before.

pub use super::bind::{Arg, arg, at, ats, dates, datum, maybe_at, raw_array, row_array, values};
use super::guc::Settings;
use super::meaning::{self, Meaning};
use super::privileged::is_privileged;
use super::{boundary, clock, raw};
use pgrx::datum::FromDatum;
use pgrx::pg_sys::{self, Datum, Oid};
use schedule::Instant;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::{CString, c_char, c_int, c_long};

/// So many plans of statements that run as the user are kept, and so long: a table may have grown since. Microseconds.
const MOST_OF_USERS: usize = 200;
const USERS_FOR: i64 = 10_000_000;

/// A statement whose plan is kept.
#[derive(PartialEq, Eq, Hash)]
struct Statement {
    text: String,
    /// Prepared under the extension owner's pinned search_path.
    privileged: bool,
    /// Its parameters: the text is the same after a column has changed its type.
    types: Vec<Oid>,
    /// What it was checked to mean.
    meaning: Meaning,
}

thread_local! {
    static PLANS: RefCell<HashMap<Statement, pg_sys::SPIPlanPtr>> = RefCell::new(HashMap::new());
    /// Since when plans of users' statements are kept, and how many.
    static OF_USERS: Cell<(i64, usize)> = const { Cell::new((0, 0)) };
}

// As in executor/spi.h and utils/plancache.h; called inside of `catch` alone.
unsafe extern "C-unwind" {
    #[link_name = "SPI_prepare_cursor"]
    fn raw_prepare(src: *const c_char, nargs: c_int, argtypes: *mut Oid, options: c_int) -> pg_sys::SPIPlanPtr;
    #[link_name = "SPI_plan_get_cached_plan"]
    fn raw_cached_plan(plan: pg_sys::SPIPlanPtr) -> *mut pg_sys::CachedPlan;
    #[link_name = "ReleaseCachedPlan"]
    fn raw_release_plan(plan: *mut pg_sys::CachedPlan, owner: pg_sys::ResourceOwner);
    #[link_name = "SPI_execute_plan"]
    fn raw_execute(
        plan: pg_sys::SPIPlanPtr,
        values: *mut Datum,
        nulls: *const c_char,
        read_only: bool,
        count: c_long,
    ) -> c_int;
    #[link_name = "SPI_cursor_open"]
    fn raw_cursor_open(
        name: *const c_char,
        plan: pg_sys::SPIPlanPtr,
        values: *mut Datum,
        nulls: *const c_char,
        read_only: bool,
    ) -> pg_sys::Portal;
    #[link_name = "SPI_cursor_fetch"]
    fn raw_cursor_fetch(portal: pg_sys::Portal, forward: bool, count: c_long);
}

/// Opens SPI for `body`. Nests.
pub fn session<T>(body: impl FnOnce() -> T) -> T {
    // SAFETY: a transaction is open.
    unsafe { pg_sys::SPI_connect() };
    let result = body();
    // SAFETY: the session is the one opened above: those opened in the body are closed. After an ERROR the
    // transaction's abort closes SPI, so no guard is needed.
    unsafe { pg_sys::SPI_finish() };
    result
}

/// Runs a statement whose plan is kept: bookkeeping's for the life of the process, a user's for some seconds.
pub fn run(sql: &str, args: &[Arg]) -> Rows {
    execute(sql, kept(sql, args, 0), args)
}

/// The same for a statement that looks rows up by keys. One plan serves for few and for many, and goes by an index also
/// where the table is small now, since it may grow while the plan is kept.
pub fn run_by_keys(sql: &str, args: &[Arg]) -> Rows {
    let plan = kept(sql, args, pg_sys::CURSOR_OPT_GENERIC_PLAN as c_int);
    let settings = Settings::begin();
    settings.set(c"enable_seqscan", c"off");
    // Made here, if there is none. It runs under the settings that users' functions in it expect.
    // SAFETY: called inside of `catch`, and owns nothing. The plan is kept, so its use is counted for the owner that is
    // current, and given back by that.
    let make = || unsafe {
        let owner = pg_sys::CurrentResourceOwner;
        let made = raw_cached_plan(plan);
        if !made.is_null() {
            raw_release_plan(made, owner);
        }
    };
    // SAFETY: `make` calls `raw_` functions alone and owns nothing.
    watched(sql, || in_memory(|| unsafe { boundary::catch(make) })).0.unwrap_or_else(|failure| failure.raise());
    settings.end();
    execute(sql, plan, args)
}

/// A statement that goes on in the order of an index, whatever the statistics of a table that is empty most of the time make of
/// it: where each portion sorts all that is left, all of them together are quadratic.
pub fn run_in_index_order(sql: &str, args: &[Arg]) -> Rows {
    let settings = Settings::begin();
    settings.set(c"enable_sort", c"off");
    settings.set(c"enable_bitmapscan", c"off");
    let rows = run(sql, args);
    settings.end();
    rows
}

fn kept(sql: &str, args: &[Arg], options: c_int) -> pg_sys::SPIPlanPtr {
    let privileged = is_privileged();
    let types = args.iter().map(|arg| arg.0).collect();
    let statement = Statement { text: sql.to_string(), privileged, types, meaning: meaning::expected() };
    let plan = PLANS.with_borrow(|plans| plans.get(&statement).copied());
    plan.unwrap_or_else(|| {
        let plan = prepare(sql, args, options);
        // SAFETY: just prepared, and not kept yet. From here on it lives until `forget_old_plans` frees it.
        unsafe { pg_sys::SPI_keepplan(plan) };
        PLANS.with_borrow_mut(|plans| plans.insert(statement, plan));
        if !privileged {
            let (since, count) = OF_USERS.get();
            OF_USERS.set((if count == 0 { clock::monotonic() } else { since }, count + 1));
        }
        plan
    })
}

/// Runs a SELECT on what is committed by now, and what this transaction has done, whatever its isolation level: for what must
/// hold among all transactions. Its plan is kept.
pub fn look(sql: &str, args: &[Arg]) -> Rows {
    let plan = kept(sql, args, 0);
    // SAFETY: a transaction is open; of the snapshot, a static one, the server pushes a copy. An ERROR needs no
    // cleaning up: the abort pops it.
    unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetLatestSnapshot()) };
    let rows = execute_by(sql, plan, args, true);
    // SAFETY: the active snapshot is the one pushed above.
    unsafe { pg_sys::PopActiveSnapshot() };
    rows
}

/// Runs a statement once, without keeping its plan.
pub fn once(sql: &str, args: &[Arg]) -> Rows {
    let plan = prepare(sql, args, 0);
    let rows = execute(sql, plan, args);
    // SAFETY: prepared above, and kept by nobody; rows do not refer to it.
    unsafe { pg_sys::SPI_freeplan(plan) };
    rows
}

/// Rows in portions, so that memory does not grow with the table.
pub struct Cursor(pg_sys::Portal);

/// Opens a cursor on a query that only reads, with a snapshot taken now. Bookkeeping's plans are kept.
pub fn cursor(sql: &str, args: &[Arg]) -> Cursor {
    let plan = if is_privileged() { kept(sql, args, 0) } else { prepare(sql, args, 0) };
    let values: Vec<Datum> = args.iter().map(|arg| arg.1.unwrap_or(Datum::from(0))).collect();
    let nulls: Vec<u8> = args.iter().map(|arg| if arg.1.is_none() { b'n' } else { b' ' }).collect();
    let (data, flags) = (values.as_ptr().cast_mut(), nulls.as_ptr().cast::<c_char>());
    // SAFETY: plan, values and flags live in this frame, or longer, and are copied; one call, and nothing is owned in
    // it.
    let open = || unsafe { boundary::catch(|| raw_cursor_open(std::ptr::null(), plan, data, flags, false)) };
    let (portal, _) = watched(sql, open);
    Cursor(portal.unwrap_or_else(|failure| failure.raise()))
}

impl Cursor {
    /// The next rows, none at the end.
    pub fn fetch(&mut self, count: c_long) -> Rows {
        let portal = self.0;
        // SAFETY: the portal is there until it is closed, by `close`, which takes this, or by an abort, after which
        // nobody comes here. The rows are what SPI has left of the call just made. In `catch` there is one call, and
        // nothing is owned.
        unsafe {
            in_memory(|| boundary::catch(|| raw_cursor_fetch(portal, true, count)))
                .unwrap_or_else(|failure| failure.raise());
            Rows { table: pg_sys::SPI_tuptable, count: pg_sys::SPI_processed as usize }
        }
    }

    /// Closes it; an ERROR does so too.
    pub fn close(self) {
        // SAFETY: it is open, as for `fetch`.
        unsafe { pg_sys::SPI_cursor_close(self.0) };
    }
}

/// Forgets the plans of statements that run as the user, if they are old or many. Bookkeeping's are kept. Not while one of
/// them runs: between transactions.
pub fn forget_old_plans() {
    let (since, count) = OF_USERS.get();
    if count < MOST_OF_USERS && (count == 0 || clock::monotonic() - since < USERS_FOR) {
        return;
    }
    OF_USERS.set((0, 0));
    PLANS.with_borrow_mut(|plans| {
        plans.retain(|statement, plan| {
            if !statement.privileged {
                // SAFETY: kept by `kept`, taken out of the map here, and no statement is under way.
                unsafe { pg_sys::SPI_freeplan(*plan) };
            }
            statement.privileged
        });
    });
}

fn prepare(sql: &str, args: &[Arg], options: c_int) -> pg_sys::SPIPlanPtr {
    let Ok(text) = CString::new(sql) else {
        crate::error::Error::new(crate::error::Kind::Syntax, "a statement cannot contain a NUL byte").raise()
    };
    let types: Vec<Oid> = args.iter().map(|arg| arg.0).collect();
    let (source, count, kinds) = (text.as_ptr(), types.len() as c_int, types.as_ptr());
    // SAFETY: text and types live in this frame and are copied, and there are as many as is said; one call, and nothing
    // is owned.
    let make = || unsafe { boundary::catch(|| raw_prepare(source, count, kinds.cast_mut(), options)) };
    let (plan, was_checked) = watched(sql, || in_memory(make));
    let plan = plan.unwrap_or_else(|failure| failure.raise());
    if !was_checked && !is_privileged() {
        pgrx::error!("another library keeps jittask from checking what its statements mean");
    }
    if plan.is_null() {
        // SAFETY: a variable of this process alone, copied.
        let code = unsafe { pg_sys::SPI_result };
        pgrx::error!("SPI_prepare failed with code {code} for: {sql}");
    }
    plan
}

/// SPI leaves its own memory context current; the caller's may be one that ends earlier.
fn in_memory<T>(body: impl FnOnce() -> T) -> T {
    // SAFETY: the context was current when this was called, and what `body` calls ends no context of its caller's.
    // After a panic whoever catches puts their own back.
    unsafe {
        let before = pg_sys::CurrentMemoryContext;
        let value = body();
        pg_sys::MemoryContextSwitchTo(before);
        value
    }
}

/// What has a user's rights is checked whenever it is analysed, which may be at any use. And was it?
fn watched<T>(sql: &str, body: impl FnOnce() -> T) -> (T, bool) {
    let _planned = Uncompiled::begin();
    if is_privileged() { (body(), false) } else { meaning::watch(sql, body) }
}

/// What is planned meanwhile is not compiled. The planner guesses thousands of rows where our questions to the catalogs find
/// three: compiling such a question takes seconds, in which the task's table is locked, and running it a millisecond.
struct Uncompiled(bool);

impl Uncompiled {
    fn begin() -> Uncompiled {
        // SAFETY: a setting's variable, of this process alone, a bool that the planner reads.
        unsafe {
            let before = pg_sys::jit_enabled;
            pg_sys::jit_enabled = false;
            Uncompiled(before)
        }
    }
}

impl Drop for Uncompiled {
    fn drop(&mut self) {
        // SAFETY: likewise.
        unsafe { pg_sys::jit_enabled = self.0 };
    }
}

fn execute(sql: &str, plan: pg_sys::SPIPlanPtr, args: &[Arg]) -> Rows {
    execute_by(sql, plan, args, false)
}

/// Under the snapshot that is active, or, if not, under one of its own.
fn execute_by(sql: &str, plan: pg_sys::SPIPlanPtr, args: &[Arg], is_active: bool) -> Rows {
    let values: Vec<Datum> = args.iter().map(|arg| arg.1.unwrap_or(Datum::from(0))).collect();
    let nulls: Vec<u8> = args.iter().map(|arg| if arg.1.is_none() { b'n' } else { b' ' }).collect();
    let (data, flags) = (values.as_ptr().cast_mut(), nulls.as_ptr().cast::<c_char>());
    // SAFETY: plan, values and flags outlive the call, and there is one of each for each parameter, as when the plan
    // was prepared. One call, and nothing is owned in it.
    let run = || unsafe { boundary::catch(|| raw_execute(plan, data, flags, is_active, 0)) };
    let code = watched(sql, || in_memory(run)).0.unwrap_or_else(|failure| failure.raise());
    if code < 0 {
        pgrx::error!("SPI_execute_plan failed with code {code}");
    }
    // SAFETY: variables that SPI has set in the call just made.
    unsafe { Rows { table: pg_sys::SPI_tuptable, count: pg_sys::SPI_processed as usize } }
}

/// What a statement returned. Rows and columns count from 0 and 1.
pub struct Rows {
    table: *mut pg_sys::SPITupleTable,
    count: usize,
}

impl Rows {
    /// Rows returned, or changed by a statement that returns none.
    pub fn len(&self) -> usize {
        self.count
    }

    /// No row.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The datum as it is; valid while these rows live.
    pub fn datum(&self, row: usize, column: usize) -> Option<Datum> {
        if self.table.is_null() || row >= self.count {
            return None;
        }
        // SAFETY: the table is not null and has so many rows, all of its shape; it is there until this is dropped, or
        // SPI is closed.
        unsafe {
            let mut null = false;
            let tuple = *(*self.table).vals.add(row);
            let value = raw::spi_getbinval(tuple, (*self.table).tupdesc, column as c_int, &mut null);
            (!null).then_some(value)
        }
    }

    /// The type of a column.
    pub fn kind(&self, column: usize) -> Oid {
        // SAFETY: of a statement that returns rows, be there none, the table is there and has a shape.
        unsafe { raw::spi_gettypeid((*self.table).tupdesc, column as c_int) }
    }

    /// The value, or None for NULL or no such row.
    pub fn get<T: FromDatum>(&self, row: usize, column: usize) -> Option<T> {
        // SAFETY: the value is not NULL; whoever calls has written the statement, and asks for the type that it gives.
        self.datum(row, column).and_then(|value| unsafe { T::from_datum(value, false) })
    }

    /// A `timestamptz`.
    pub fn at(&self, row: usize, column: usize) -> Option<Instant> {
        self.datum(row, column).map(|value| clock::from_pg(value.value() as i64))
    }

    /// As text by the type's output function.
    pub fn text(&self, row: usize, column: usize) -> Option<String> {
        let value = self.datum(row, column)?;
        // SAFETY: the value is of the column's type, so its output function may have it. That gives a C string, which
        // is ours to free.
        unsafe {
            let (mut output, mut variable) = (pg_sys::InvalidOid, false);
            pg_sys::getTypeOutputInfo(self.kind(column), &mut output, &mut variable);
            let written = pg_sys::OidOutputFunctionCall(output, value);
            let text = std::ffi::CStr::from_ptr(written).to_string_lossy().into_owned();
            pg_sys::pfree(written.cast());
            Some(text)
        }
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        // While an ERROR unwinds, the abort has freed or will free it.
        if !self.table.is_null() && !std::thread::panicking() {
            // SAFETY: these rows alone have it, and SPI looks for it among those that it still has before it frees it.
            unsafe { pg_sys::SPI_freetuptable(self.table) };
        }
    }
}
