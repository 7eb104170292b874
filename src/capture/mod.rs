//! First step of the flow: a row changes, in the user's own transaction. `due_soon` decides without any table whether
//! the row could be due before the planning horizon; if so its key is noted, and the scheduler is woken at the commit.
//! The row triggers never raise, wait or read a user's table. The event trigger (`ddl`) lets tasks follow renames.

mod ddl;
mod due_soon;
mod row;

/// Ties the triggers' symbols to their code.
pub fn init() {
    crate::pg::trigger::set_handler(row::captured);
    crate::pg::trigger::set_command_handler(ddl::command_end);
}
