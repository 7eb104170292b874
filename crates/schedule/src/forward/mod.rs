//! The forward direction: from a base to its occurrences in order. Members first, each moved by the offset and resolved, for
//! every kind of rule; then what holidays do to them.

pub(crate) mod cron_passes;
pub(crate) mod frequent;
pub(crate) mod member;
pub(crate) mod members;
pub(crate) mod occurrences;
pub(crate) mod steps;
