//! Calling a function by its OID, without a statement around it: as in `select f(row)`, at a fraction of the cost.

use super::{boundary, raw};
use pgrx::pg_sys::{self, Datum, Oid};
use std::ffi::CStr;

/// A function looked up for the calls of one transaction.
pub struct Function {
    info: *mut pg_sys::FmgrInfo,
    call: pg_sys::FunctionCallInfo,
    /// None: it returns void.
    output: Option<Oid>,
    /// Where `info` and what hangs on it live.
    home: pg_sys::MemoryContext,
    /// What one call allocates is gone before the next.
    memory: pg_sys::MemoryContext,
}

impl Function {
    /// Looks the function up; all of it is gone with the current memory context.
    ///
    /// It must be an ordinary function of the one argument, or of none, that it will be given; whether the current role
    /// may execute it is for the caller to see to. An extension that wants to know of executions (pgaudit, sepgsql) is
    /// told, as of one in a statement.
    pub fn look_up(oid: Oid, has_argument: bool) -> Function {
        // SAFETY: a transaction is open. `home` is the current memory context, so that all of this lives as long as its
        // caller says; the call's struct has room for the one argument behind it, and is zeroed, as is what the look-up
        // fills.
        unsafe {
            if { pg_sys::object_access_hook }.is_some() {
                pg_sys::RunFunctionExecuteHook(oid);
            }
            let home = pg_sys::CurrentMemoryContext;
            let memory = pg_sys::AllocSetContextCreateInternal(
                home,
                c"jittask call".as_ptr(),
                pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
            );
            let info = pg_sys::palloc0(size_of::<pg_sys::FmgrInfo>()).cast();
            pg_sys::fmgr_info_cxt(oid, info, home);
            let size = size_of::<pg_sys::FunctionCallInfoBaseData>() + size_of::<pg_sys::NullableDatum>();
            let call: pg_sys::FunctionCallInfo = pg_sys::palloc0(size).cast();
            (*call).flinfo = info;
            (*call).nargs = has_argument.into();
            let returned = pg_sys::get_func_rettype(oid);
            let (mut output, mut is_varlena) = (Oid::INVALID, false);
            if returned != pg_sys::VOIDOID {
                pg_sys::getTypeOutputInfo(returned, &mut output, &mut is_varlena);
            }
            Function { info, call, output: (returned != pg_sys::VOIDOID).then_some(output), home, memory }
        }
    }

    /// Forgets what the function's language keeps from call to call.
    pub fn renew(&mut self) {
        // SAFETY: `info` and both contexts are those of `look_up`, in the same transaction; nothing of a call is under
        // way.
        unsafe {
            pg_sys::fmgr_info_cxt((*self.info).fn_oid, self.info, self.home);
            pg_sys::MemoryContextReset(self.memory);
        }
    }

    /// Calls it under the active snapshot; its result as text, None for NULL and void.
    pub fn call(&self, argument: Option<Datum>) -> Option<String> {
        // SAFETY: all pointers are those of `look_up`, in the same transaction, and a snapshot is active. The argument,
        // of the type that the function takes, is written where there is room for one, and outlives the call. In
        // `catch` there is one call through a pointer, and nothing is owned. The result is read before its memory is
        // emptied.
        unsafe {
            let before = pg_sys::MemoryContextSwitchTo(self.memory);
            let call = self.call;
            (*call).isnull = false;
            if let Some(argument) = argument {
                (*call).args.as_mut_slice(1)[0] = pg_sys::NullableDatum { value: argument, isnull: false };
            }
            let function = (*self.info).fn_addr;
            let mut usage = std::mem::MaybeUninit::<pg_sys::PgStat_FunctionCallUsage>::uninit();
            let is_tracked = pg_sys::pgstat_track_functions > i32::from((*self.info).fn_stats);
            if is_tracked {
                pg_sys::pgstat_init_function_usage(call, usage.as_mut_ptr());
            }
            let result = boundary::catch(|| function.map_or(Datum::from(0), |function| function(call)))
                .unwrap_or_else(|failure| failure.raise());
            if is_tracked {
                pg_sys::pgstat_end_function_usage(usage.as_mut_ptr(), true);
            }
            let text = self.output.filter(|_| !(*call).isnull).map(|output| {
                CStr::from_ptr(pg_sys::OidOutputFunctionCall(output, result)).to_string_lossy().into_owned()
            });
            pg_sys::MemoryContextSwitchTo(before);
            raw::memory_context_reset(self.memory);
            text
        }
    }
}
