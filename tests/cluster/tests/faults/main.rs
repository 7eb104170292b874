//! What may go wrong around jittask: processes that die, stand still or are told to end, databases and roles that go,
//! copies, standbys, locks, slots that are used up, clocks that jump. In one program, so that tests that mostly wait do so
//! side by side.

mod clock;
mod copies;
mod matrix;
mod scarce;
mod shutdown;
mod standby;
mod torture;
