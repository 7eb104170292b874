//! Where in `jittask.capture` the rows of one task lie that nobody has planned yet: in shared memory, so that no planner
//! reads what the triggers of others have written. Whoever captured tells it after their commit, with atomics alone.

use std::sync::atomic::{AtomicU64, Ordering::*};

/// Of one task.
#[repr(C)]
pub struct Captures {
    /// The first block and the one after the last, in one word; 0: none.
    blocks: AtomicU64,
    /// How often something was added, counted after the blocks were: while it is not `seen`, something waits.
    added: AtomicU64,
    seen: AtomicU64,
}

/// What waits, as it was at one moment. What was committed by then is visible to a snapshot that is taken later.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    blocks: u64,
    added: u64,
}

impl Waiting {
    /// The first block and the last; None: somebody knows of something, but not where.
    pub fn blocks(&self) -> Option<(u32, u32)> {
        (self.blocks != 0).then(|| unpack(self.blocks))
    }
}

impl Captures {
    /// Nothing waits.
    pub(super) fn clear(&self) {
        [&self.blocks, &self.added, &self.seen].iter().for_each(|field| field.store(0, Release));
    }

    /// Rows in these blocks were captured, the last included.
    pub fn note(&self, blocks: (u32, u32)) {
        self.add(blocks);
        self.added.fetch_add(1, AcqRel);
    }

    fn add(&self, (from, to): (u32, u32)) {
        let _ = self.blocks.fetch_update(AcqRel, Acquire, |known| {
            let (known_from, known_to) = if known == 0 { (from, to) } else { unpack(known) };
            Some(pack((from.min(known_from), to.max(known_to))))
        });
    }

    /// What waits to be planned.
    pub fn waiting(&self) -> Option<Waiting> {
        // In this order: what is counted lies in the blocks that are read after it.
        let added = self.added.load(Acquire);
        let blocks = self.blocks.load(Acquire);
        (blocks != 0 || added != self.seen.load(Acquire)).then_some(Waiting { blocks, added })
    }

    /// What waited then has been planned and that is committed, or from `rest` on it has not.
    pub fn taken(&self, then: Waiting, rest: Option<u32>) {
        let left = match (rest, then.blocks()) {
            (Some(rest), Some((from, to))) => pack((rest.clamp(from, to), to)),
            _ => 0,
        };
        if self.blocks.compare_exchange(then.blocks, left, AcqRel, Acquire).is_err() {
            // More has come, in other blocks: all of it waits.
            return;
        }
        self.seen.store(then.added, Release);
        // Or in the same ones.
        if self.added.load(Acquire) != then.added
            && let Some(blocks) = then.blocks()
        {
            self.add(blocks);
        }
    }
}

fn pack((from, to): (u32, u32)) -> u64 {
    // The block after the last, so that no range is 0; the last possible block is never used.
    u64::from(from) << 32 | u64::from(to.saturating_add(1))
}

fn unpack(blocks: u64) -> (u32, u32) {
    ((blocks >> 32) as u32, (blocks as u32).saturating_sub(1))
}
