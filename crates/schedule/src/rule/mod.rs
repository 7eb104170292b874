//! The rules of `custom`: RFC 5545 recurrences, cron expressions, and `every <interval>`.

pub(crate) mod cron;
mod every;
pub(crate) mod recur;
mod rfc5545;
pub(crate) mod step;
pub(crate) mod times;
pub(crate) mod until;

use std::fmt;

use crate::{Base, Cycle, Instant, Schedule, Zone};
use cron::Cron;
use recur::Recur;
use step::Step;
use until::Limits;

/// How far from its base a rule must have an occurrence: 100 years of 365.2425 days.
const HORIZON_MICROS: i64 = 36_525 * 86_400_000_000;

/// A rule of `custom`, read.
///
/// ```
/// # use schedule::{Instant, Zone};
/// # struct Utc;
/// # impl Zone for Utc {
/// #     fn offset_at(&self, _: Instant) -> i32 {
/// #         0
/// #     }
/// # }
/// use chrono::NaiveDate;
/// use schedule::{Base, Cycle, Rule, Schedule, Span, to_local};
///
/// let rule = Rule::parse("FREQ=MONTHLY;BYDAY=-1FR").unwrap(); // the last Friday of each month
/// let schedule = Schedule { rule: Some(rule), ..Schedule::new(Cycle::Custom, Span::ZERO, None) };
/// let base = Base::Date(NaiveDate::from_ymd_opt(2027, 1, 1).unwrap());
/// let due = schedule.occurrences(base, &Utc, None, Instant::MIN).take(2);
/// let days: Vec<String> = due.map(|next| to_local(&Utc, next.due_at).unwrap().date().to_string()).collect();
/// assert_eq!(days, ["2027-01-29", "2027-02-26"]);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    pub(crate) kind: Kind,
}

/// What a rule turned out to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Steps of one length from the base.
    Steps(Step, Limits),
    /// A recurrence on the local clock.
    Recur(Box<Recur>),
    /// A cron expression.
    Cron(Box<Cron>),
}

/// Why a rule is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleError {
    /// In PostgreSQL's style: lower case, no full stop.
    pub message: String,
    /// What to do about it, as a sentence.
    pub hint: Option<String>,
}

impl RuleError {
    pub(crate) fn new(message: impl Into<String>) -> RuleError {
        RuleError { message: message.into(), hint: None }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> RuleError {
        RuleError { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RuleError {}

impl Rule {
    /// Reads a rule: `cron: …`, `every …`, or a recurrence of RFC 5545 with or without `RRULE:`. Refused is what is
    /// malformed, contradicts itself or is not supported, with the offending part in the message.
    ///
    /// ```
    /// use schedule::Rule;
    ///
    /// for rule in ["every 15 minutes", "cron: 0 9 * * mon-fri", "RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=TU"] {
    ///     assert!(Rule::parse(rule).is_ok());
    /// }
    /// assert!(Rule::parse("FREQ=FORTNIGHTLY").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Rule, RuleError> {
        let text = text.trim();
        let kind = if let Some(rest) = without_prefix(text, "cron:") {
            Kind::Cron(Box::new(Cron::parse(rest.trim())?))
        } else if let Some(rest) =
            without_prefix(text, "every").filter(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
        {
            Kind::Steps(every::parse(rest.trim())?, Limits::default())
        } else {
            rfc5545::parse(without_prefix(text, "rrule:").unwrap_or(text).trim())?
        };
        Ok(Rule { kind })
    }

    /// Has it an occurrence within 100 years of this base? If not, the error says so.
    ///
    /// ```
    /// # use schedule::{Instant, Zone};
    /// # struct Utc;
    /// # impl Zone for Utc {
    /// #     fn offset_at(&self, _: Instant) -> i32 {
    /// #         0
    /// #     }
    /// # }
    /// use chrono::NaiveDate;
    /// use schedule::{Base, Rule};
    ///
    /// let base = Base::Date(NaiveDate::from_ymd_opt(2027, 1, 1).unwrap());
    /// let never = Rule::parse("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30");
    /// assert!(never.is_err() || never.unwrap().check(base, &Utc).is_err());
    /// assert!(Rule::parse("FREQ=DAILY").unwrap().check(base, &Utc).is_ok());
    /// ```
    pub fn check(&self, base: Base, zone: &dyn Zone) -> Result<(), RuleError> {
        let schedule = Schedule { rule: Some(self.clone()), ..Schedule::new(Cycle::Custom, crate::Span::ZERO, None) };
        let start = crate::shift(base, crate::Span::ZERO, None, zone);
        let latest = start.map_or(Instant::MAX, |start| Instant(start.0.saturating_add(HORIZON_MICROS)));
        let first = schedule.occurrences(base, zone, None, Instant(i64::MIN)).next();
        match first.filter(|first| first.due_at <= latest) {
            Some(_) => Ok(()),
            None => Err(RuleError::new("rule has no occurrence within 100 years of its start")
                .hint("Check the days and months that the rule names, and its COUNT and UNTIL.")),
        }
    }

    /// The step by which bases are found from members, where the rule has one that misses none.
    pub(crate) fn inverse_step(&self) -> Option<Step> {
        match &self.kind {
            Kind::Steps(step, _) => Some(*step),
            Kind::Recur(recur) if recur.is_plain() => {
                let interval = i64::from(recur.interval);
                match recur.freq {
                    recur::Freq::Yearly => Some(Step::Civil { months: interval.checked_mul(12)?, days: 0 }),
                    recur::Freq::Monthly => Some(Step::Civil { months: interval, days: 0 }),
                    // Read as steps.
                    recur::Freq::Weekly | recur::Freq::Daily => None,
                }
            }
            _ => None,
        }
    }
}

/// `text` without a prefix in any case.
fn without_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}
