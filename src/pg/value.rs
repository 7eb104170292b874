//! Datums into the schedule's vocabulary.

use super::boundary::Failure;
use super::clock;
use chrono::{Days, NaiveDate};
use pgrx::pg_sys::{self, Datum, Oid};
use schedule::{Base, ColumnKind, Instant, Span};

/// A type, or the type under a domain.
pub fn base_type(kind: Oid) -> Oid {
    // SAFETY: a look-up in the cache of types, whose entries are released in it; a type that is gone raises.
    unsafe { pg_sys::getBaseType(kind) }
}

/// An interval; None when infinite.
pub fn span(value: Datum) -> Option<Span> {
    // SAFETY: the value is an interval, a type of fixed length that is never compressed, aligned as its C struct; it is
    // read before this returns.
    let interval = unsafe { &*value.cast_mut_ptr::<pg_sys::Interval>() };
    let infinite = |edge_month: i32, edge_day: i32, edge_time: i64| {
        interval.month == edge_month && interval.day == edge_day && interval.time == edge_time
    };
    if infinite(i32::MAX, i32::MAX, i64::MAX) || infinite(i32::MIN, i32::MIN, i64::MIN) {
        return None;
    }
    Some(Span { months: interval.month, days: interval.day, micros: interval.time })
}

/// A date column's value as the base of a series; None when infinite or beyond what can be reckoned with.
pub fn base(kind: ColumnKind, value: Datum) -> Option<Base> {
    match kind {
        ColumnKind::Date => date(value.value() as i32).map(Base::Date),
        ColumnKind::Local => micros(value).and_then(local).map(Base::Local),
        ColumnKind::Instant => micros(value).map(|micros| Base::Instant(clock::from_pg(micros))),
    }
}

/// A value by its base type's own input function: C code that only a superuser can have made. No cast, no domain's
/// check is run, which would be somebody else's code. After a failure nothing was undone: the caller must raise.
pub fn parse(kind: Oid, text: &str) -> Result<Datum, Failure> {
    let base = base_type(kind);
    let text = std::ffi::CString::new(text).map_err(|_| Failure {
        sqlstate: "22021".to_string(),
        message: "a value cannot contain a NUL byte".to_string(),
        ..Failure::default()
    })?;
    let (mut input, mut parameter) = (Oid::INVALID, Oid::INVALID);
    // SAFETY: the function is the type's own for input, from C strings, and the text outlives the call. In `catch`
    // there is one call, and nothing is owned.
    unsafe {
        pg_sys::getTypeInputInfo(base, &mut input, &mut parameter);
        let source = text.as_ptr().cast_mut();
        super::boundary::catch(|| raw_input(input, source, parameter, -1))
    }
}

/// A value of an integer type, without its input function; None for other types and texts.
pub fn integer(kind: Oid, text: &str) -> Option<Datum> {
    match kind {
        pg_sys::INT4OID => text.parse::<i32>().ok().map(Datum::from),
        pg_sys::INT8OID => text.parse::<i64>().ok().map(Datum::from),
        _ => None,
    }
}

/// Are two values of a type that [`integer`] knows the same? Of a narrow one the datum's other bits say nothing.
pub fn same_integer(kind: Oid, a: Datum, b: Datum) -> bool {
    if kind == pg_sys::INT4OID { a.value() as i32 == b.value() as i32 } else { a.value() == b.value() }
}

// As in fmgr.h; called inside of `catch` alone.
unsafe extern "C-unwind" {
    #[link_name = "OidInputFunctionCall"]
    fn raw_input(function: Oid, text: *mut std::ffi::c_char, parameter: Oid, modifier: i32) -> Datum;
}

fn micros(value: Datum) -> Option<i64> {
    let micros = value.value() as i64;
    (micros != i64::MIN && micros != i64::MAX).then_some(micros)
}

fn epoch() -> NaiveDate {
    NaiveDate::from_ymd_opt(2000, 1, 1).unwrap_or_default()
}

fn date(days: i32) -> Option<NaiveDate> {
    if days == i32::MAX || days == i32::MIN {
        return None;
    }
    let distance = Days::new(days.unsigned_abs().into());
    if days < 0 { epoch().checked_sub_days(distance) } else { epoch().checked_add_days(distance) }
}

fn local(micros: i64) -> Option<chrono::NaiveDateTime> {
    chrono::DateTime::from_timestamp_micros(clock::from_pg(micros).0).map(|at| at.naive_utc())
}

/// A local time as the datum of a column of this kind: days or microseconds since 2000.
pub fn raw(kind: ColumnKind, at: chrono::NaiveDateTime) -> i64 {
    match kind {
        ColumnKind::Date => at.date().signed_duration_since(epoch()).num_days(),
        ColumnKind::Local | ColumnKind::Instant => clock::to_pg(Instant(at.and_utc().timestamp_micros())),
    }
}

/// `-infinity` as the datum of a column of this kind.
pub fn minus_infinity(kind: ColumnKind) -> Datum {
    match kind {
        ColumnKind::Date => Datum::from(i32::MIN),
        ColumnKind::Local | ColumnKind::Instant => Datum::from(i64::MIN),
    }
}

/// Does PostgreSQL itself turn all values of one type into another, without being asked to?
pub fn widens(from: Oid, to: Oid) -> bool {
    let mut function = Oid::INVALID;
    let context = pg_sys::CoercionContext::COERCION_IMPLICIT;
    // SAFETY: it looks into the cache of casts, and writes the function's OID into this frame.
    let way = unsafe { pg_sys::find_coercion_pathway(to, from, context, &mut function) };
    way != pg_sys::CoercionPathType::COERCION_PATH_NONE && function.to_u32() < pg_sys::FirstNormalObjectId
}

/// The type of a column of this kind.
pub fn type_of(kind: ColumnKind) -> Oid {
    match kind {
        ColumnKind::Date => pg_sys::DATEOID,
        ColumnKind::Local => pg_sys::TIMESTAMPOID,
        ColumnKind::Instant => pg_sys::TIMESTAMPTZOID,
    }
}
