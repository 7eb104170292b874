//! One error type; the only place where it is mapped to SQLSTATE.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// What a caller did wrong; each kind is one SQLSTATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 22023: bad argument, unknown zone.
    Invalid,
    /// 22004: null for a required argument.
    Null,
    /// 22008: a date that PostgreSQL does not have.
    OutOfRange,
    /// 42601: syntax in filter or body.
    Syntax,
    /// 42704: no such task or calendar.
    NoObject,
    /// 42710: exists already.
    Exists,
    /// 42501: not allowed.
    Denied,
    /// 42883: no function of that name and signature.
    NoFunction,
    /// 42809: wrong kind of function or relation.
    WrongObject,
    /// 42P01: no such table.
    NoTable,
    /// 42703: no such column.
    NoColumn,
    /// 42804: wrong column type, filter not boolean.
    WrongType,
    /// 42P16: no usable key.
    NoKey,
    /// 55000: wrong state.
    State,
    /// 25006: it would write in a read-only transaction.
    ReadOnly,
    /// 55P03: in somebody's hands.
    Busy,
    /// 0A000: not supported here.
    Unsupported,
    /// 53400: more than a setting or a fixed limit allows.
    TooMuch,
}

/// An error with the offending value in its message and, where a person can mend it, a hint.
#[derive(Clone, Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    hint: Option<String>,
}

/// What every fallible function here returns.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// `message` in PostgreSQL's style: lower case, no full stop.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), hint: None }
    }

    /// A whole sentence that says how to mend it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Is it that there is no such table?
    pub fn is_no_table(&self) -> bool {
        matches!(self.kind, Kind::NoTable)
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Raises it as a PostgreSQL ERROR.
    pub fn raise(self) -> ! {
        let mut report = ErrorReport::new(self.sqlstate(), shortened(self.message), "jittask");
        if let Some(hint) = self.hint {
            report = report.set_hint(shortened(hint));
        }
        report.report(PgLogLevel::ERROR);
        unreachable!("an ERROR does not return")
    }

    fn sqlstate(&self) -> PgSqlErrorCode {
        match self.kind {
            Kind::Invalid => PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            Kind::Null => PgSqlErrorCode::ERRCODE_NULL_VALUE_NOT_ALLOWED,
            Kind::OutOfRange => PgSqlErrorCode::ERRCODE_DATETIME_FIELD_OVERFLOW,
            Kind::Syntax => PgSqlErrorCode::ERRCODE_SYNTAX_ERROR,
            Kind::NoObject => PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            Kind::Exists => PgSqlErrorCode::ERRCODE_DUPLICATE_OBJECT,
            Kind::Denied => PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            Kind::NoFunction => PgSqlErrorCode::ERRCODE_UNDEFINED_FUNCTION,
            Kind::WrongObject => PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE,
            Kind::NoTable => PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE,
            Kind::NoColumn => PgSqlErrorCode::ERRCODE_UNDEFINED_COLUMN,
            Kind::WrongType => PgSqlErrorCode::ERRCODE_DATATYPE_MISMATCH,
            Kind::NoKey => PgSqlErrorCode::ERRCODE_INVALID_TABLE_DEFINITION,
            Kind::State => PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            Kind::ReadOnly => PgSqlErrorCode::ERRCODE_READ_ONLY_SQL_TRANSACTION,
            Kind::Busy => PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE,
            Kind::Unsupported => PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
            Kind::TooMuch => PgSqlErrorCode::ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
        }
    }
}

/// 22023 with the parameter and its value.
pub fn invalid(parameter: &str, value: &str) -> Error {
    Error::new(Kind::Invalid, format!("invalid value for {parameter}: \"{value}\""))
}

/// Bytes of a message, a hint, or a text in a record. What somebody wrote stands in it, and may be a megabyte.
const TEXT_LIMIT: usize = 8192;

/// The text, cut off at a character's edge if it is too long to be kept.
pub fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_LIMIT)].to_string()
}

/// The same for who reads it, who is to see that something is missing.
fn shortened(text: String) -> String {
    if text.len() > TEXT_LIMIT { cut(&text) + "…" } else { text }
}

/// Turns an error into the PostgreSQL ERROR it stands for.
pub trait OrRaise<T> {
    /// The value, or the ERROR.
    fn or_raise(self) -> T;
}

impl<T> OrRaise<T> for Result<T> {
    fn or_raise(self) -> T {
        self.unwrap_or_else(|error| error.raise())
    }
}
