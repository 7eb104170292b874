//! Catches an ERROR that C code raises, with all of it: the bridge's own boundary drops the error's context and
//! maps SQLSTATEs it does not know to XX000, and records need both.

use crate::error::cut;
use cee_scape::{SigJmpBufFields, call_with_sigsetjmp};
use pgrx::pg_sys::PgTryBuilder;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgLogLevel, PgSqlErrorCode, pg_sys};
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::panic::AssertUnwindSafe;

/// An ERROR as data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// Five characters.
    pub sqlstate: String,
    /// The primary message.
    pub message: String,
    /// DETAIL.
    pub detail: Option<String>,
    /// HINT.
    pub hint: Option<String>,
    /// The call stack, as `CONTEXT` shows it.
    pub context: Option<String>,
}

impl Failure {
    /// DETAIL, HINT and the call stack in one text.
    pub fn context_text(&self) -> Option<String> {
        let parts = [("DETAIL", &self.detail), ("HINT", &self.hint), ("CONTEXT", &self.context)];
        let lines: Vec<String> =
            parts.iter().filter_map(|(word, text)| text.as_ref().map(|text| format!("{word}: {text}"))).collect();
        (!lines.is_empty()).then(|| cut(&lines.join("\n")))
    }
}

thread_local! {
    /// The failure that the panic now unwinding stands for.
    static RAISED: RefCell<Option<Failure>> = const { RefCell::new(None) };
    /// Our link in the server's chain of callbacks that complete an error's report.
    static LINK: RefCell<Box<pg_sys::ErrorContextCallback>> = RefCell::default();
}

// As in utils/elog.h. Called while an error is being reported, which is all that they ask for.
unsafe extern "C" {
    #[link_name = "errcode"]
    fn raw_errcode(code: i32) -> i32;
    #[link_name = "set_errcontext_domain"]
    fn raw_set_errcontext_domain(domain: *const c_char) -> i32;
    #[link_name = "errcontext_msg"]
    fn raw_errcontext_msg(format: *const c_char, ...) -> i32;
}

/// While the bridge reports the failure that was raised: what its report has no room for.
extern "C-unwind" fn complete(_argument: *mut std::ffi::c_void) {
    let Some(failure) = RAISED.with_borrow_mut(Option::take) else { return };
    let context = failure.context.as_deref().and_then(|context| CString::new(context).ok());
    // SAFETY: only errfinish calls this, through the chain of callbacks: a report is under way, and these are for those
    // who complete it. The text is copied into the report's own memory.
    unsafe {
        raw_errcode(failure.code());
        if let Some(context) = context {
            raw_set_errcontext_domain(std::ptr::null());
            raw_errcontext_msg(c"%s".as_ptr(), context.as_ptr());
        }
    }
}

/// Makes our link the chain: the failure's context has what the others would say. Whoever catches the ERROR puts them back,
/// in C or here.
fn link() {
    unlink();
    // SAFETY: the link is in a box that is never replaced, and was taken out of the chain above: nobody reads it while
    // it is written.
    LINK.with_borrow_mut(|link| unsafe {
        **link = pg_sys::ErrorContextCallback {
            previous: std::ptr::null_mut(),
            callback: Some(complete),
            arg: pg_sys::error_context_stack.cast(),
        };
        pg_sys::error_context_stack = &raw mut **link;
    });
}

fn unlink() {
    // SAFETY: `arg` of our link is the chain as it was when the link was put in; whoever has left a frame of that since
    // has put the chain back already, and then the link is not in it.
    LINK.with_borrow(|link| unsafe {
        if std::ptr::eq(pg_sys::error_context_stack, &raw const **link) {
            pg_sys::error_context_stack = link.arg.cast();
        }
    });
}

/// Calls C code that may raise an ERROR and returns it instead. The transaction state is as the ERROR left it:
/// whoever catches must abort the (sub)transaction.
///
/// # Safety
/// `call` must only call C code, declared here as `raw_…` and not through the bridge's `pg_sys` (whose functions panic on
/// an ERROR: that aborts the server here), and own nothing that needs dropping, since an ERROR jumps over its frame.
pub unsafe fn catch<T: Copy>(call: impl Fn() -> T) -> Result<T, Failure> {
    // SAFETY: as PG_TRY does it: the buffer lives in the frame that the jump comes back to, and both chains are put
    // back before that frame is left. What is read after the jump was set before it. The error's copy is in the
    // caller's memory, since the context of errors is emptied by the flush.
    unsafe {
        let context = pg_sys::CurrentMemoryContext;
        let exceptions = pg_sys::PG_exception_stack;
        let callbacks = pg_sys::error_context_stack;
        let mut result = std::mem::MaybeUninit::<T>::uninit();
        let jumped = call_with_sigsetjmp(false, |buffer: &SigJmpBufFields| {
            pg_sys::PG_exception_stack = std::ptr::from_ref(buffer).cast_mut().cast();
            result.write(call());
            0
        });
        pg_sys::PG_exception_stack = exceptions;
        pg_sys::error_context_stack = callbacks;
        if jumped == 0 {
            return Ok(result.assume_init());
        }
        pg_sys::CurrentMemoryContext = context;
        let data = pg_sys::CopyErrorData();
        let failure = read(&*data);
        pg_sys::FreeErrorData(data);
        pg_sys::FlushErrorState();
        Err(failure)
    }
}

/// Runs `body`; an ERROR of a lock that was not to be had, 55P03, gets this hint if it has none.
pub fn with_lock_hint<T>(hint: &str, body: impl FnOnce() -> T) -> T {
    let result = PgTryBuilder::new(AssertUnwindSafe(|| Ok(body())))
        .catch_when(PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE, |caught| Err(Failure::taken(&caught)))
        .execute();
    result.unwrap_or_else(|failure: Failure| {
        Failure { hint: failure.hint.or_else(|| Some(hint.to_string())), ..failure }.raise()
    })
}

impl Failure {
    /// serialization_failure: something was changed while it was worked on. Whoever takes it tries again.
    pub fn changed(what: impl Into<String>) -> Failure {
        Failure { sqlstate: "40001".to_string(), message: what.into(), ..Default::default() }
    }

    /// query_canceled: by pg_cancel_backend, a timeout, or cancel_record.
    pub fn is_cancel(&self) -> bool {
        self.sqlstate == "57014"
    }

    /// lock_not_available: by lock_timeout or NOWAIT.
    pub fn is_lock(&self) -> bool {
        self.sqlstate == "55P03"
    }

    /// Says in the server's log that a process of ours could not do this, and why: a WARNING under the failure's SQLSTATE.
    pub fn log(&self, what: &str) {
        let message = format!("jittask could not {what}: {}", self.message);
        let mut report = ErrorReport::new(PgSqlErrorCode::from(self.code()), message, "jittask");
        if let Some(detail) = &self.detail {
            report = report.set_detail(detail.clone());
        }
        if let Some(hint) = &self.hint {
            report = report.set_hint(hint.clone());
        }
        report.report(PgLogLevel::WARNING);
    }

    /// Goes on as a panic that the bridge turns into an ERROR, completed by [`complete`], and that [`taken`] can turn back
    /// without loss.
    pub fn raise(self) -> ! {
        let mut report = ErrorReport::new(PgSqlErrorCode::from(self.code()), self.message.clone(), "jittask");
        if let Some(detail) = &self.detail {
            report = report.set_detail(detail.clone());
        }
        if let Some(hint) = &self.hint {
            report = report.set_hint(hint.clone());
        }
        RAISED.with(|raised| raised.replace(Some(self)));
        link();
        report.report(PgLogLevel::ERROR);
        unreachable!("an ERROR does not return")
    }

    /// From a caught panic: the failure it was raised from, or what the bridge knows of it.
    pub fn taken(caught: &pg_sys::panic::CaughtError) -> Failure {
        use pg_sys::panic::CaughtError::*;
        let (PostgresError(report) | ErrorReport(report) | RustPanic { ereport: report, .. }) = caught;
        unlink();
        let raised = RAISED.with(|raised| raised.take());
        match raised {
            Some(failure) if failure.message == report.message() => failure,
            _ => Failure {
                sqlstate: sqlstate_text(report.sql_error_code() as i32),
                message: report.message().to_string(),
                detail: report.detail().map(str::to_string),
                hint: report.hint().map(str::to_string),
                context: None,
            },
        }
    }

    fn code(&self) -> i32 {
        self.sqlstate
            .bytes()
            .take(5)
            .enumerate()
            .fold(0, |code, (i, c)| code | (((c.wrapping_sub(b'0') & 0x3f) as i32) << (6 * i)))
    }
}

fn read(data: &pg_sys::ErrorData) -> Failure {
    Failure {
        sqlstate: sqlstate_text(data.sqlerrcode),
        message: text(data.message).unwrap_or_default(),
        detail: text(data.detail),
        hint: text(data.hint),
        context: text(data.context),
    }
}

fn text(c: *const c_char) -> Option<String> {
    // SAFETY: not null, and a C string in the copy of the error's data, which is freed after it was read.
    (!c.is_null()).then(|| unsafe { CStr::from_ptr(c) }.to_string_lossy().into_owned())
}

/// PostgreSQL packs five characters of six bits each.
fn sqlstate_text(code: i32) -> String {
    (0..5).map(|i| char::from(((code >> (6 * i)) & 0x3f) as u8 + b'0')).collect()
}
