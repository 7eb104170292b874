//! Where a row version lies in its table's heap: block and number in it.

use super::sql::{self, Arg, Rows};
use pgrx::pg_sys::{self, Datum};

/// A place in a heap, as in the column `ctid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tid {
    /// The block.
    pub block: u32,
    /// From 1.
    pub offset: u16,
}

impl Tid {
    /// From a column of type `tid`; None for NULL, another type, or no place.
    pub fn of(rows: &Rows, row: usize, column: usize) -> Option<Tid> {
        if rows.kind(column) != pg_sys::TIDOID {
            return None;
        }
        // SAFETY: the column's type was looked at: a value of it is an ItemPointerData, in the rows, aligned as that.
        let tid = unsafe { *rows.datum(row, column)?.cast_mut_ptr::<pg_sys::ItemPointerData>() };
        let block = u32::from(tid.ip_blkid.bi_hi) << 16 | u32::from(tid.ip_blkid.bi_lo);
        (tid.ip_posid != 0).then_some(Tid { block, offset: tid.ip_posid })
    }

    /// Block and number.
    pub fn numbers(self) -> (u32, u16) {
        (self.block, self.offset)
    }

    /// As the server writes it.
    pub fn data(self) -> pg_sys::ItemPointerData {
        let ip_blkid = pg_sys::BlockIdData { bi_hi: (self.block >> 16) as u16, bi_lo: self.block as u16 };
        pg_sys::ItemPointerData { ip_blkid, ip_posid: self.offset }
    }
}

impl From<(u32, u16)> for Tid {
    fn from((block, offset): (u32, u16)) -> Tid {
        Tid { block, offset }
    }
}

/// Binds `tid[]`.
pub fn tids(places: impl Iterator<Item = Tid>) -> Arg {
    let places: Vec<pg_sys::ItemPointerData> = places.map(Tid::data).collect();
    // Copied into the array at once.
    sql::values(pg_sys::TIDOID, places.iter().map(|place| Datum::from(std::ptr::from_ref(place).cast_mut())).collect())
}
