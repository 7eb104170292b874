//! Tasks in a world that changes: columns and tables get other names, functions go and come back, tables are made again,
//! calendars change, databases are copied; and whether what was due ran.

pub mod activation;
pub mod audit;
pub mod audited;
pub mod health;
pub mod rebind;
pub mod renames;
pub mod replan;
