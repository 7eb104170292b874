//! Sending executors to the owners that have work. In the scheduler, after each of its passes.

use super::launcher::complain;
use crate::catalog::agenda::due::Waiting;
use crate::catalog::agenda::outlook::Outlook;
use crate::pg::shmem::{Database, Executor, Shared};
use crate::pg::{clock, worker, xact};
use crate::settings;
use pgrx::pg_sys::Oid;
use schedule::Instant;
use std::collections::HashMap;
use std::sync::atomic::Ordering::*;

/// Executors are started this long before the instant, so that they wait for it and not it for them. Microseconds.
pub const EARLY: i64 = 200_000;
/// A due entry that waits this long behind a busy executor gets another one.
const HELP_AFTER: i64 = 30_000;
/// And another owner's executor that is idle, and not its only one, leaves for it. One that waits this long, of an owner whose
/// rows are quick, may have the last slot, lent.
const LEND_AFTER: i64 = 1_000_000;
/// A row that has run for this long makes its owner slow, for so long.
const LONG: i64 = 60_000_000;
const SLOW_FOR: i64 = 3_600_000_000;
/// A slow owner waits for so much longer than the others before it is its turn.
const SLOW_WAITS: i64 = 60_000_000;
/// How soon to look again where there was no slot.
const SLOT_PAUSE: i64 = 100_000;
/// An owner one of whose executors does not end is looked at again after this.
const DEAF_PAUSE: i64 = 1_000_000;
/// A lent slot is taken back when somebody has waited for it this long: a batch is to be over by then.
const RECLAIM_AFTER: i64 = 150_000;
/// Who keeps it for so much longer, since its row heeds no signal, is lent nothing for so long.
const GIVES_BACK: i64 = 500_000;
const LENDS_NOTHING_FOR: i64 = 300_000_000;
/// A reserved slot whose process did not come within this is free again.
const START_PATIENCE: i64 = 15_000_000;

/// What is kept from pass to pass.
#[derive(Default)]
pub struct Starts {
    /// Owners as whom executors could not connect.
    refusals: HashMap<Oid, Refusals>,
    /// Since when an owner waits who has no executor and finds no slot.
    wanted_since: Option<i64>,
    /// Owners of whom a row ran for long not long ago, or planning did, and until when they count as slow. By the monotonic
    /// clock.
    slow: HashMap<u32, i64>,
    /// Owners who did not give a lent slot back when somebody wanted it, and until when nothing is lent to them. By the monotonic
    /// clock.
    bad_borrowers: HashMap<u32, i64>,
    /// Since when owners wait who have no executor and found no slot; slow ones later. By the monotonic clock.
    waits: HashMap<Oid, i64>,
    /// Who has tasks in this database.
    task_owners: Vec<Oid>,
}

/// Executors of one owner that could not connect.
struct Refusals {
    /// So many in a row.
    count: u32,
    /// The last of them. Microseconds since 1970.
    at: i64,
    /// No other try before this. Microseconds since 1970.
    until: i64,
}

impl Starts {
    /// Takes word of a refusal.
    fn note(&mut self, slot: &Database) {
        let refused = slot.refused_owner.swap(0, AcqRel);
        if refused != 0 {
            let (owner, at) = (Oid::from(refused), clock::now().0);
            let count = self.refusals.get(&owner).map_or(1, |before| before.count + 1);
            self.refusals.insert(owner, Refusals { count, at, until: at + (500_000_i64 << count.min(7)) });
            look_at_roles(slot);
        }
    }

    /// Sees an executor of this owner connected. One that came before the refusal says nothing: it may run for hours yet.
    fn clear(&mut self, slot: &Database, owner: Oid, executor: &Executor) {
        let came = executor.process.since.load(Relaxed);
        if self.refusals.get(&owner).is_some_and(|refusals| came > refusals.at) {
            self.refusals.remove(&owner);
            look_at_roles(slot);
        }
    }
}

impl Starts {
    /// Sees whose rows run for long, and whose planning takes long, in all databases.
    fn note_slow(&mut self, shared: &Shared) {
        let (now, long_ago) = (clock::monotonic(), clock::now().0 - LONG);
        let is_long = |slot: &&Executor| {
            (1..long_ago).contains(&slot.started_at.load(Acquire)) || slot.step.took().is_some_and(|took| took > LONG)
        };
        let slow = shared.alive_executors().filter(is_long);
        self.slow.extend(slow.map(|slot| (slot.owner.load(Acquire), now + SLOW_FOR)));
        self.slow.retain(|_, until| *until > now);
        let kept_it = |slot: &&Executor| slot.is_lent() && slot.told_to_end_for().is_some_and(|time| time > GIVES_BACK);
        let bad = shared.alive_executors().filter(kept_it);
        self.bad_borrowers.extend(bad.map(|slot| (slot.owner.load(Acquire), now + LENDS_NOTHING_FOR)));
        self.bad_borrowers.retain(|_, until| *until > now);
    }

    fn is_slow(&self, shared: &Shared, database: u32, owner: Oid) -> bool {
        self.slow.contains_key(&owner.to_u32()) || shared.is_slow_planner(database, owner.to_u32())
    }

    /// Since when this owner has waited for a slot; from now on, if it has not.
    fn waits_since(&self, shared: &Shared, database: u32, owner: Oid, now: i64) -> i64 {
        let begins = || if self.is_slow(shared, database, owner) { now + SLOW_WAITS } else { now };
        self.waits.get(&owner).copied().unwrap_or_else(begins)
    }

    /// Tells the other databases since when somebody here has waited who would take any slot.
    fn publish_waiting(&self, shared: &Shared, slot: &Database) {
        let may_have_last = settings::MAX_EXECUTORS.get() == 1;
        let takes_any = |owner: Oid| {
            shared.executors_for(owner.to_u32()).next().is_none()
                && (may_have_last || !self.is_slow(shared, slot.oid.load(Acquire), owner))
        };
        let waiting = self.waits.iter().filter(|(owner, _)| takes_any(**owner));
        slot.waits_since.store(waiting.map(|(_, since)| *since).min().unwrap_or_default(), Release);
    }

    /// Could somebody else come, who has no executor now?
    fn may_others_come(&self, shared: &Shared, database: u32, owner: Oid) -> bool {
        let is_other = |other: u32| other != 0 && other != owner.to_u32();
        self.task_owners
            .iter()
            .any(|other| is_other(other.to_u32()) && shared.executors_for(other.to_u32()).next().is_none())
            || shared
                .databases
                .iter()
                .any(|slot| slot.oid.load(Acquire) != database && is_other(slot.task_owner.load(Acquire)))
    }

    /// Slots that an owner leaves free for those who may come: the last one is for what is quick.
    fn kept_free(&self, shared: &Shared, database: u32, owner: Oid) -> usize {
        let most = settings::MAX_EXECUTORS.get();
        if most > 2 && self.may_others_come(shared, database, owner) { 2 } else { 1 }
    }
}

/// No event trigger tells of a role that was dropped, locked out or let in again: that executors connect or not does.
fn look_at_roles(slot: &Database) {
    slot.schema_changed.store(true, Release);
}

/// What came of the look at one owner.
enum Next {
    /// All is done.
    Nothing,
    /// To look again then.
    At(i64),
    /// The owner has no executor, and there is no slot.
    NoSlot,
    /// The owner could use another one, and there is no slot.
    NoHelp,
}

/// Wakes or starts executors for those who have work now, and says whether there may be something to plan; when to try
/// again, at the latest.
pub fn all(
    shared: &Shared,
    slot: &Database,
    owners: &[(Oid, bool)],
    task_owners: &[Oid],
    outlook: &Outlook,
    starts: &mut Starts,
) -> i64 {
    starts.note(slot);
    starts.note_slow(shared);
    starts.task_owners = task_owners.to_vec();
    let only = if task_owners.len() > 1 { u32::MAX } else { task_owners.first().map_or(0, |owner| owner.to_u32()) };
    slot.task_owner.store(only, Release);
    let mut owners = owners.to_vec();
    owners.sort_by_key(|(owner, look)| (owner.to_u32(), !look));
    owners.dedup_by_key(|(owner, _)| *owner);
    // Who has waited longest comes first.
    let (database, now) = (slot.oid.load(Acquire), clock::monotonic());
    starts.waits.retain(|waiting, _| owners.iter().any(|(owner, _)| owner == waiting));
    owners.sort_by_cached_key(|(owner, _)| starts.waits_since(shared, database, *owner, now));
    let (mut retry, mut is_wanted, mut is_help_wanted) = (i64::MAX, false, false);
    for (owner, look) in owners {
        match one(shared, slot, owner, look, outlook, starts) {
            Next::Nothing => {}
            Next::At(at) => retry = retry.min(at),
            Next::NoSlot => {
                is_wanted = true;
                retry = retry.min(clock::now().0 + SLOT_PAUSE);
                let since = starts.waits_since(shared, database, owner, now);
                starts.waits.insert(owner, since);
                continue;
            }
            Next::NoHelp => {
                is_help_wanted = true;
                retry = retry.min(clock::now().0 + SLOT_PAUSE);
            }
        }
        starts.waits.remove(&owner);
    }
    starts.publish_waiting(shared, slot);
    let is_newly_wanted = !slot.slot_wanted.swap(is_wanted, AcqRel) && is_wanted;
    let is_help_newly_wanted = !slot.help_wanted.swap(is_help_wanted, AcqRel) && is_help_wanted;
    if is_newly_wanted || is_help_newly_wanted {
        // One that is idle leaves: for one who has none, or if its owner has another.
        shared.executors.iter().filter(|slot| !slot.is_busy()).for_each(|slot| {
            slot.process.wake();
        });
    }
    reclaim(shared, is_wanted, starts);
    retry
}

/// One owner, and what executors it has in this database.
struct Owner<'a> {
    shared: &'a Shared,
    database: u32,
    owner: Oid,
    /// There may be something to plan.
    look: bool,
    outlook: &'a Outlook,
    now: i64,
    in_hand: Vec<i64>,
    /// Its executors, and those that are lent to it.
    mine: Vec<&'a Executor>,
    lent: Vec<&'a Executor>,
}

fn one(shared: &Shared, slot: &Database, owner: Oid, look: bool, outlook: &Outlook, starts: &mut Starts) -> Next {
    let (database, now) = (slot.oid.load(Acquire), clock::now().0);
    let own = shared.executors_of(database).filter(|slot| slot.owner.load(Acquire) == owner.to_u32());
    let (lent, mine): (Vec<&Executor>, Vec<&Executor>) = own.partition(|executor| executor.is_lent());
    for executor in mine.iter().filter(|executor| executor.was_connected()) {
        starts.clear(slot, owner, executor);
    }
    let asked = mine.iter().find(|slot| !slot.is_busy()).or(mine.first()).filter(|_| look);
    let is_asked_again = asked.is_some_and(|executor| executor.look.swap(true, AcqRel));
    // A busy one looks by itself when it is done.
    let idle: Vec<&&Executor> = mine.iter().filter(|executor| !executor.is_busy()).collect();
    idle.iter().for_each(|executor| {
        executor.process.wake();
    });
    let has_idle = !idle.is_empty();
    let in_hand = shared.in_hand(database, None);
    let owner = Owner { shared, database, owner, look, outlook, now, in_hand, mine, lent };
    match (owner.mine.is_empty(), has_idle) {
        (true, _) => owner.first(starts),
        (_, true) => owner.with_an_idle_one(starts),
        _ => owner.with_busy_ones(is_asked_again, starts),
    }
}

impl Owner<'_> {
    /// What of its work is due by then.
    fn waiting(&self, by: i64) -> Waiting {
        xact::run(|| self.outlook.waiting(self.owner, Instant(by), &self.in_hand)).unwrap_or_default()
    }

    /// It has no executor here: it gets one.
    fn first(&self, starts: &Starts) -> Next {
        let (shared, database) = (self.shared, self.database);
        // Nobody has all slots, not even with an executor in each of many databases.
        let is_elsewhere = |slot: &&Executor| slot.database.load(Acquire) != database;
        let mut elsewhere = shared.executors_for(self.owner.to_u32()).filter(is_elsewhere).peekable();
        let kept = starts.kept_free(shared, database, self.owner);
        if elsewhere.peek().is_some() && free_slots(shared) <= kept {
            // One of its own that is idle makes room.
            let is_busy = elsewhere.all(Executor::is_busy);
            return if is_busy { Next::At(clock::now().0 + SLOT_PAUSE) } else { Next::NoSlot };
        }
        // What runs for long never takes the last one, if somebody could come who finds none then.
        let is_slow = starts.is_slow(shared, database, self.owner) && settings::MAX_EXECUTORS.get() > 1;
        if is_slow && free_slots(shared) < 2 && starts.may_others_come(shared, database, self.owner) {
            return Next::NoSlot;
        }
        match start(shared, database, self.owner, false, self.look, starts) {
            Next::Nothing => self.ahead_of_a_flood(starts),
            other => other,
        }
    }

    /// A lot is coming: the second executor is there when it begins.
    fn ahead_of_a_flood(&self, starts: &Starts) -> Next {
        let coming = self.waiting(self.now + EARLY);
        if coming.is_flood() { self.help(&coming, starts) } else { Next::Nothing }
    }

    /// One of its executors is idle: it has been woken.
    fn with_an_idle_one(&self, starts: &Starts) -> Next {
        let is_only = self.mine.len() == 1 && self.lent.is_empty();
        if is_only { self.ahead_of_a_flood(starts) } else { Next::Nothing }
    }

    /// All of its executors are busy: does what waits need another one?
    fn with_busy_ones(&self, is_asked_again: bool, starts: &Starts) -> Next {
        let now = self.now;
        let (waiting, coming) = (self.waiting(now), self.waiting(now + EARLY).since);
        // One that has just come has not had its turn yet.
        let youngest = self.mine.iter().map(|executor| executor.process.since.load(Relaxed)).max().unwrap_or_default();
        let waits = waiting.since.is_some_and(|since| now - since.0.max(youngest) >= HELP_AFTER);
        if waiting.entries < 3 && !waits && !is_asked_again {
            // The one that is busy may be done in a moment. What is in its hands already needs no second look.
            let is_needed_soon = self.look || waiting.since.is_some();
            // And what is due in a moment may find it busy still.
            let next = if is_needed_soon { Some(now) } else { coming.map(|at| at.0.max(now)) };
            return next.map_or(Next::Nothing, |from| Next::At(from + HELP_AFTER));
        }
        // One that is starting comes first.
        if self.mine.iter().chain(&self.lent).any(|executor| !executor.was_connected()) {
            return Next::At(now + SLOT_PAUSE);
        }
        self.help(&waiting, starts)
    }

    /// A further executor. The last free slot is for an owner who has none, also for one who comes later: what is taken may be
    /// taken for hours. For batches, of which none takes long, it is lent, and for rows that were quick till now.
    fn help(&self, waiting: &Waiting, starts: &Starts) -> Next {
        let (shared, database, owner) = (self.shared, self.database, self.owner);
        let waits_long = waiting.since.is_some_and(|since| self.now - since.0 >= LEND_AFTER);
        let is_short = waiting.is_flood() || waits_long && shared.is_quick(database, owner.to_u32());
        let kept = starts.kept_free(shared, database, owner);
        let is_trusted = !starts.bad_borrowers.contains_key(&owner.to_u32());
        let may_lend = self.lent.len() < kept && is_short && is_trusted && !shared.is_slot_wanted();
        let next = match free_slots(shared) {
            free if free > kept => start(shared, database, owner, false, false, starts),
            free if free > 0 && may_lend => start(shared, database, owner, true, false, starts),
            _ if self.lent.is_empty() && has_spare(shared, owner) => Next::NoHelp,
            _ => Next::NoSlot,
        };
        // It has one: no slot is taken from others for a further one.
        if matches!(next, Next::NoSlot) { Next::At(self.now + SLOT_PAUSE) } else { next }
    }
}

/// Has another owner an idle executor that is not its only one?
fn has_spare(shared: &Shared, owner: Oid) -> bool {
    shared.alive_executors().filter(|slot| !slot.is_busy()).any(|slot| {
        let other = slot.owner.load(Acquire);
        other != owner.to_u32() && shared.executors_for(other).count() > 1
    })
}

/// One that is deaf takes nobody's place but its owner's.
fn free_slots(shared: &Shared) -> usize {
    let most = settings::MAX_EXECUTORS.get() as usize;
    most.saturating_sub(shared.alive_executors().filter(|slot| !slot.is_deaf()).count())
}

/// Somebody waits for a slot: one that is lent is left after the batch, or taken back. Whose row hangs in it runs again, and
/// that is no attempt.
fn reclaim(shared: &Shared, is_wanted: bool, starts: &mut Starts) {
    let now = clock::now().0;
    starts.wanted_since = is_wanted.then(|| starts.wanted_since.unwrap_or(now).min(now));
    if starts.wanted_since.is_some_and(|since| now - since >= RECLAIM_AFTER) {
        let lent: Vec<&Executor> = shared.alive_executors().filter(|slot| slot.is_lent()).collect();
        lent.iter().for_each(|slot| slot.reclaim());
        // Or what plans for long, which nobody loses anything by: one at a time.
        if lent.is_empty()
            && let Some(planner) = shared.planner_to_end(settings::MAX_EXECUTORS.get() as usize)
        {
            planner.reclaim();
            starts.wanted_since = Some(now);
        }
    }
}

fn start(shared: &Shared, database: u32, owner: Oid, is_lent: bool, look: bool, starts: &Starts) -> Next {
    let now = clock::now().0;
    if let Some(refusals) = starts.refusals.get(&owner).filter(|refusals| now < refusals.until) {
        return Next::At(refusals.until);
    }
    if shared.executors_for(owner.to_u32()).any(|slot| slot.is_deaf()) {
        // Or it would have one more every few seconds.
        return Next::At(now + DEAF_PAUSE);
    }
    shared.executors.iter().for_each(|slot| slot.give_back_if_never_came(now - START_PATIENCE));
    let since = starts.waits_since(shared, database, owner, clock::monotonic());
    if free_slots(shared) <= shared.waiting_longer(database, since) {
        return Next::NoSlot;
    }
    let reserve = |slot: &Executor| slot.reserve(database, owner.to_u32(), is_lent, look);
    let Some(index) = shared.executors.iter().position(reserve) else { return Next::NoSlot };
    if worker::start("jittask executor", "jittask executor", c"jittask_executor", index, worker::pid()) {
        return Next::Nothing;
    }
    shared.executors[index].give_back();
    complain(shared, now);
    Next::NoSlot
}
