//! Tasks in a world that changes: columns and tables get other names, functions go and come back, tables are made again,
//! calendars change, databases are copied.

pub mod activation;
pub mod health;
pub mod rebind;
pub mod renames;
pub mod replan;
