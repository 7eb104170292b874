//! The capture trigger: collects keys by task and writes them as arrays before the commit.

use crate::catalog::agenda::candidates;
use crate::pg::row::{self, Row};
use crate::pg::{tuple, wake};
use std::cell::RefCell;
use std::collections::HashMap;

/// Keys kept in memory for one task and subtransaction before they are written, and their bytes: they become an array, which
/// has at most 1 GB.
const FLUSH_AT: usize = 1000;
const FLUSH_BYTES: usize = 1 << 20;

#[derive(PartialEq, Eq, Hash, Clone, Copy)]
struct Place {
    token: i64,
    relation: u32,
    is_dated: bool,
    /// Keys share the fate of the subtransaction that wrote their rows, so they must not be written by another.
    subtransaction: u32,
}

thread_local! {
    static NOTED: RefCell<HashMap<Place, Noted>> = RefCell::new(HashMap::new());
}

#[derive(Default)]
struct Noted {
    keys: Vec<String>,
    bytes: usize,
}

/// A row that may be due soon was inserted or changed.
pub fn captured(row: &Row) {
    let source = &row.source;
    let place = Place {
        token: source.token,
        relation: source.relation.to_u32(),
        is_dated: row.is_dated,
        subtransaction: tuple::subtransaction(),
    };
    wake::before_commit(flush, forget);
    wake::at_commit();
    let Some(key) = row.key() else {
        // A key column is gone or null: the executors look through the table.
        write(place, None);
        return;
    };
    let full = NOTED.with_borrow_mut(|noted| {
        let noted = noted.entry(place).or_default();
        noted.bytes += key.len();
        noted.keys.push(key);
        (noted.keys.len() >= FLUSH_AT || noted.bytes >= FLUSH_BYTES).then(|| std::mem::take(noted))
    });
    if let Some(Noted { keys, .. }) = full {
        write(place, Some(keys));
    }
}

/// Keys of subtransactions that were rolled back are written too: a candidate that is not there vanishes later.
fn flush() {
    row::forget_source();
    for (place, Noted { keys, .. }) in NOTED.take() {
        if !keys.is_empty() {
            write(place, Some(keys));
        }
    }
}

fn forget() {
    row::forget_source();
    NOTED.take();
}

fn write(place: Place, keys: Option<Vec<String>>) {
    candidates::note(place.token, place.relation.into(), place.is_dated, keys);
}
