//! What a statement of ours that runs with a user's rights means is checked in its analysed form, before anything of it is
//! rewritten, planned or evaluated: each relation and each function in it is the system's own, or the one that was looked
//! up. Its text names objects in schemas that somebody may rename at any moment, also between a look-up and the parse, so
//! what a name says is not to be believed. The server analyses a kept statement anew whenever names may have changed, and
//! each time it passes here.

use super::boundary::Failure;
use pgrx::pg_sys::{self, NodeTag, Oid};
use std::cell::Cell;
use std::ffi::{CStr, c_void};

/// What a statement may mean beside the system's own objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Meaning {
    /// The one relation; invalid: none.
    pub relation: Oid,
    /// The one function; invalid: none.
    pub function: Oid,
}

/// Nothing but the system's own.
pub const SYSTEM: Meaning = Meaning { relation: Oid::INVALID, function: Oid::INVALID };

impl Meaning {
    /// Statements in `body` may mean this.
    pub fn during<T>(self, body: impl FnOnce() -> T) -> T {
        let _reset = Reset(&EXPECTED, EXPECTED.replace(self));
        body()
    }
}

/// What the statement that is made now may mean.
pub fn expected() -> Meaning {
    EXPECTED.get()
}

/// The statement that is being analysed or run.
struct Statement<'a> {
    text: &'a str,
    meaning: Meaning,
    was_checked: Cell<bool>,
}

thread_local! {
    static EXPECTED: Cell<Meaning> = const { Cell::new(SYSTEM) };
    /// Null: none, or one of bookkeeping's.
    static CURRENT: Cell<*const Statement<'static>> = const { Cell::new(std::ptr::null()) };
    static IS_INSTALLED: Cell<bool> = const { Cell::new(false) };
}

static mut PREVIOUS: pg_sys::post_parse_analyze_hook_type = None;

/// Puts back what was there, also when an ERROR unwinds.
struct Reset<T: Copy + 'static>(&'static std::thread::LocalKey<Cell<T>>, T);

impl<T: Copy + 'static> Drop for Reset<T> {
    fn drop(&mut self) {
        self.0.set(self.1);
    }
}

/// Runs `body`, which analyses, plans or executes the statement `text`. Whether it was analysed.
pub(super) fn watch<T>(text: &str, body: impl FnOnce() -> T) -> (T, bool) {
    if !IS_INSTALLED.replace(true) {
        // As late as this, so that no other library's hook comes before it and changes the statement after.
        // SAFETY: once in a process. The hook that was there is kept and called; ours lives as long as the library.
        unsafe {
            PREVIOUS = pg_sys::post_parse_analyze_hook;
            pg_sys::post_parse_analyze_hook = Some(hook);
        }
    }
    // What is run inside, a user's function perhaps, has statements of its own, with meanings of their own.
    let statement = Statement { text, meaning: EXPECTED.replace(SYSTEM), was_checked: Cell::new(false) };
    let _expected = Reset(&EXPECTED, statement.meaning);
    let _current = Reset(&CURRENT, CURRENT.replace(std::ptr::from_ref(&statement).cast()));
    let value = body();
    let was_checked = statement.was_checked.get();
    (value, was_checked)
}

/// Every statement of the session passes here, so an error of another library's must pass untouched: the frame owns
/// nothing and is not guarded. What we do ourselves is in the guarded function.
///
/// # Safety
/// Only the server may call it, as post_parse_analyze_hook.
unsafe extern "C-unwind" fn hook(
    state: *mut pg_sys::ParseState,
    query: *mut pg_sys::Query,
    jumble: *mut pg_sys::JumbleState,
) {
    // SAFETY: all arguments are the server's, and go on to whom they were for. PREVIOUS was written once, before this
    // was put in.
    unsafe {
        if let Some(previous) = PREVIOUS {
            previous(state, query, jumble);
        }
        if !CURRENT.get().is_null() {
            check((*state).p_sourcetext, query);
        }
    }
}

/// Is it our statement, and does it mean anything that it must not?
///
/// # Safety
/// `source` must be null or a C string, `query` a query as it was analysed.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn check(source: *const std::ffi::c_char, query: *mut pg_sys::Query) {
    // SAFETY: null, or the statement of the `watch` whose body is running: it puts back what was there before its frame
    // ends.
    let Some(statement) = (unsafe { CURRENT.get().as_ref() }) else { return };
    // SAFETY: as this function's caller says.
    if source.is_null() || unsafe { CStr::from_ptr(source) }.to_bytes() != statement.text.as_bytes() {
        return;
    }
    statement.was_checked.set(true);
    let mut meaning = statement.meaning;
    let context = (&raw mut meaning).cast::<c_void>();
    // What is no query (CREATE FUNCTION …) names nothing that is evaluated.
    // SAFETY: the query is one, as this function's caller says, and the context is a `Meaning` in this frame.
    if unsafe { (*query).commandType != pg_sys::CmdType::CMD_UTILITY && is_foreign(query.cast(), context) } {
        Failure::changed("a table or function was replaced by another one of its name while it was looked up").raise();
    }
}

/// Is there anything in the tree that the statement must not mean?
///
/// # Safety
/// `node` must be null or a tree as it was analysed, `context` a [`Meaning`].
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn is_foreign(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
    // SAFETY: a node's tag says which struct it is. The walkers call this with the parts of it, null or nodes, and the
    // context that they are given; nothing is changed.
    unsafe {
        if node.is_null() {
            return false;
        }
        match (*node).type_ {
            NodeTag::T_Query => {
                let flags = pg_sys::QTW_EXAMINE_RTES_BEFORE as i32;
                return pg_sys::query_tree_walker(node.cast(), Some(is_foreign), context, flags);
            }
            NodeTag::T_RangeTblEntry => {
                let entry = &*node.cast::<pg_sys::RangeTblEntry>();
                let meaning = &*context.cast::<Meaning>();
                // The walker goes on into what it holds by itself.
                return entry.rtekind == pg_sys::RTEKind::RTE_RELATION && !is_fit(entry.relid, meaning.relation);
            }
            // A domain's check is somebody's code, and so may be what makes one row type of another.
            NodeTag::T_CoerceToDomain | NodeTag::T_ConvertRowtypeExpr => return true,
            _ => {}
        }
        pg_sys::check_functions_in_node(node, Some(is_foreign_function), context)
            || pg_sys::expression_tree_walker(node, Some(is_foreign), context)
    }
}

/// Is it a function that the statement must not mean?
///
/// # Safety
/// `context` must be a [`Meaning`].
unsafe extern "C-unwind" fn is_foreign_function(function: Oid, context: *mut c_void) -> bool {
    // SAFETY: as this function's caller says, which is `is_foreign` by the server's walker.
    !is_fit(function, unsafe { (*context.cast::<Meaning>()).function })
}

/// Was it made with the server, or is it the one that is meant?
fn is_fit(object: Oid, meant: Oid) -> bool {
    object.to_u32() < pg_sys::FirstNormalObjectId || object == meant
}
