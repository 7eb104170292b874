//! `every <interval>`: the interval as PostgreSQL writes it.

use crate::rule::RuleError;
use crate::rule::step::Step;

const SECOND: i128 = 1_000_000;
const DAY: i128 = 86_400 * SECOND;
const EXAMPLES: &str = "Write for example \"every 45 minutes\", \"every 2 weeks\" or \"every 3 months\".";

/// Amounts in microseconds; parts of an amount are kept until all are summed.
#[derive(Default)]
struct Sum {
    months: i128,
    days: i128,
    micros: i128,
}

/// Reads the interval after `every`.
pub(crate) fn parse(text: &str) -> Result<Step, RuleError> {
    let mut sum = Sum::default();
    let mut words = split(text).into_iter().peekable();
    if words.peek().is_none() {
        return Err(invalid(text));
    }
    while let Some(word) = words.next() {
        if word.contains(':') {
            sum.micros += clock(&word).ok_or_else(|| invalid(text))?;
        } else if word.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
            let unit = words.next().ok_or_else(|| invalid(text))?;
            let amount = number(&word).ok_or_else(|| invalid(text))?;
            add(&mut sum, amount, &unit).ok_or_else(|| invalid(text))?;
        } else {
            add(&mut sum, SECOND, &word).ok_or_else(|| invalid(text))?;
        }
    }
    settle(&sum, text)
}

fn settle(sum: &Sum, text: &str) -> Result<Step, RuleError> {
    let parts = [sum.months, sum.days, sum.micros];
    if parts.iter().any(|part| *part < 0) || parts == [0; 3] {
        return Err(RuleError::new(format!("interval \"{text}\" of the rule must be positive")).hint(EXAMPLES));
    }
    let has_civil = sum.months != 0 || sum.days != 0;
    if has_civil && sum.micros != 0 {
        return Err(RuleError::new(format!("interval \"{text}\" mixes days or longer with hours or shorter")).hint(
            "Days, weeks, months and years count on the calendar, hours and shorter as elapsed time: use one kind.",
        ));
    }
    let too_long = || RuleError::new(format!("interval \"{text}\" of the rule is out of range")).hint(EXAMPLES);
    let whole = |value: i128| i32::try_from(value).map(i64::from).map_err(|_| too_long());
    if has_civil {
        return Ok(Step::Civil { months: whole(sum.months)?, days: whole(sum.days)? });
    }
    if sum.micros < SECOND {
        return Err(
            RuleError::new(format!("interval \"{text}\" of the rule is shorter than one second")).hint(EXAMPLES)
        );
    }
    Ok(Step::Elapsed(i64::try_from(sum.micros).map_err(|_| too_long())?))
}

/// Adds an amount in millionths of a unit. `None`: no such unit, or a part of a day, which is no civil amount.
fn add(sum: &mut Sum, amount: i128, unit: &str) -> Option<()> {
    let whole = |factor: i128| (amount % SECOND == 0).then(|| amount / SECOND * factor);
    match unit.to_ascii_lowercase().as_str() {
        "year" | "years" | "yr" | "yrs" | "y" => sum.months += whole(12)?,
        "month" | "months" | "mon" | "mons" => sum.months += whole(1)?,
        "week" | "weeks" | "w" => sum.days += whole(7)?,
        "day" | "days" | "d" => sum.days += whole(1)?,
        "hour" | "hours" | "hr" | "hrs" | "h" => sum.micros += amount * 3_600,
        "minute" | "minutes" | "min" | "mins" | "m" => sum.micros += amount * 60,
        "second" | "seconds" | "sec" | "secs" | "s" => sum.micros += amount,
        _ => return None,
    }
    (sum.micros.abs() < DAY * 1_000_000_000_000).then_some(())
}

/// A decimal number in millionths.
fn number(word: &str) -> Option<i128> {
    let (negative, digits) = match word.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, word.strip_prefix('+').unwrap_or(word)),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + part.len() == 0 || whole.len() > 12 || part.len() > 6 || !is_digits(whole) || !is_digits(part) {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let part: i128 = format!("{part:0<6}").parse().ok()?;
    let value = whole * SECOND + part;
    Some(if negative { -value } else { value })
}

/// `hh:mm` or `hh:mm:ss`, in microseconds.
fn clock(word: &str) -> Option<i128> {
    let (negative, digits) = word.strip_prefix('-').map_or((false, word), |rest| (true, rest));
    let mut parts = digits.split(':');
    let (hours, minutes) = (number(parts.next()?)?, number(parts.next()?)?);
    let seconds = parts.next().map_or(Some(0), number)?;
    let in_range = |value: i128| (0..60 * SECOND).contains(&value);
    if parts.next().is_some() || hours < 0 || !in_range(minutes) || !in_range(seconds) {
        return None;
    }
    let value = hours * 3_600 + minutes * 60 + seconds;
    Some(if negative { -value } else { value })
}

/// Words, with `2h` as two.
fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for word in text.split_whitespace() {
        let end = word.find(|c: char| c.is_alphabetic()).unwrap_or(word.len());
        let (amount, unit) = word.split_at(end);
        words.extend([amount, unit].into_iter().filter(|part| !part.is_empty()).map(str::to_owned));
    }
    words
}

fn invalid(text: &str) -> RuleError {
    RuleError::new(format!("invalid interval \"{text}\" in the rule")).hint(EXAMPLES)
}
