//! Is a table of ours as our script made it? Whoever writes rows into it without a statement has to know: they look at no
//! constraint, fire no trigger, and keep no index that they do not know. Asked of the server's own picture of the table, under
//! the lock that the write takes; whoever adds an index waits for such locks between the steps, so no step is missed.

use pgrx::pg_sys::{self, Oid};
use std::ffi::CStr;

/// A column of a table of ours.
pub struct Column {
    /// Its name.
    pub name: &'static CStr,
    /// Its type; [`Oid::INVALID`]: an enum.
    pub kind: Oid,
    /// NOT NULL.
    pub is_required: bool,
}

/// An index of a table of ours.
pub struct Index {
    /// Its name.
    pub name: &'static CStr,
    /// A summary of ranges of blocks by least and greatest value; else a b-tree.
    pub is_brin: bool,
    /// Unique.
    pub is_unique: bool,
    /// The numbers of its columns; 0: an expression.
    pub columns: &'static [i16],
    /// It has a predicate.
    pub is_partial: bool,
}

/// A table of ours.
pub struct Shape {
    /// All of its columns, in their order.
    pub columns: &'static [Column],
    /// All of its indexes.
    pub indexes: &'static [Index],
}

/// What of an open table is not as it was made, but for its indexes.
///
/// # Safety
/// `table` must be open and locked.
pub unsafe fn table_differs(table: pg_sys::Relation, shape: &Shape) -> Result<(), String> {
    // SAFETY: a cache entry that is open has its row of pg_class and its shape, and under the lock they stay. Columns
    // are asked for only when there are as many as the loop counts.
    unsafe {
        let (class, constraints) = (&*(*table).rd_rel, (*(*table).rd_att).constr.as_ref());
        let marks = [
            (class.relkind as u8 != pg_sys::RELKIND_RELATION || class.relispartition, "it is no plain table"),
            (class.relpersistence as u8 != pg_sys::RELPERSISTENCE_PERMANENT, "it is unlogged or temporary"),
            (class.relam != pg_sys::HEAP_TABLE_AM_OID, "it has another access method"),
            (!(*table).trigdesc.is_null(), "it has a trigger"),
            (!(*table).rd_rules.is_null(), "it has a rule"),
            (class.relrowsecurity || class.relforcerowsecurity, "it has row security"),
            (constraints.is_some_and(|all| all.num_check > 0), "it has a check constraint"),
        ];
        if let Some((_, what)) = marks.iter().find(|(is_so, _)| *is_so) {
            return Err(what.to_string());
        }
        let count = (*(*table).rd_att).natts as usize;
        let are_columns = || shape.columns.iter().enumerate().all(|(i, column)| is_column(attribute(table, i), column));
        if count != shape.columns.len() || !are_columns() {
            return Err("its columns are others".to_string());
        }
        Ok(())
    }
}

/// A column of an open table, from 0.
///
/// # Safety
/// `table` must be open and have more than `i` columns.
pub(super) unsafe fn attribute(table: pg_sys::Relation, i: usize) -> *const pg_sys::FormData_pg_attribute {
    // SAFETY: a shape is followed by one entry for each of its columns.
    unsafe {
        let shape = (*table).rd_att;
        #[cfg(feature = "pg18")]
        {
            // Where the server's inline function finds it: behind the short forms of all columns.
            let short = (*shape).compact_attrs.as_ptr();
            short.add((*shape).natts as usize).cast::<pg_sys::FormData_pg_attribute>().add(i)
        }
        #[cfg(not(feature = "pg18"))]
        (*shape).attrs.as_ptr().add(i)
    }
}

/// Is a column as it was made?
///
/// # Safety
/// `found` must be a column of an open table's.
unsafe fn is_column(found: *const pg_sys::FormData_pg_attribute, column: &Column) -> bool {
    // SAFETY: it is in the table's cache entry, which is open as long as this runs.
    let found = unsafe { &*found };
    let is_kind = match column.kind {
        // SAFETY: a look-up in the cache of types that keeps nothing.
        Oid::INVALID => unsafe { pg_sys::type_is_enum(found.atttypid) },
        kind => found.atttypid == kind,
    };
    is_kind
        && !found.attisdropped
        && found.attgenerated == 0
        && found.attidentity == 0
        && found.attnotnull == column.is_required
        && name(&found.attname) == column.name
}

fn name(name: &pg_sys::NameData) -> &CStr {
    // SAFETY: the server ends each name by a NUL within its 64 bytes.
    unsafe { CStr::from_ptr(name.data.as_ptr()) }
}

/// Which of a table's open indexes is not as it was made, or is missing.
///
/// # Safety
/// `target` must have its indexes open.
pub unsafe fn indexes_differ(target: *const pg_sys::ResultRelInfo, shape: &Shape) -> Result<(), String> {
    // SAFETY: both arrays have as many elements as `target` says, each an open and locked index and what was read about
    // it.
    unsafe {
        let count = (*target).ri_NumIndices as usize;
        for i in 0..count {
            let relation = *(*target).ri_IndexRelationDescs.add(i);
            let called = name(&(*(*relation).rd_rel).relname);
            let made = shape.indexes.iter().find(|made| made.name == called);
            if !made.is_some_and(|made| is_index(relation, *(*target).ri_IndexRelationInfo.add(i), made)) {
                return Err(format!(
                    "it has index \"{}\", which is not one of jittask's or is not ready",
                    called.to_string_lossy()
                ));
            }
        }
        if count != shape.indexes.len() {
            return Err("an index of it is missing".to_string());
        }
        Ok(())
    }
}

/// Is an index as it was made?
///
/// # Safety
/// `relation` must be an open index, and `info` what was read about it.
unsafe fn is_index(relation: pg_sys::Relation, info: *const pg_sys::IndexInfo, made: &Index) -> bool {
    // SAFETY: the cache entry of an open index has its rows of pg_index and pg_class, and they stay under its lock.
    let (state, class, info) = unsafe { (&*(*relation).rd_index, &*(*relation).rd_rel, &*info) };
    let columns = &info.ii_IndexAttrNumbers[..info.ii_NumIndexAttrs as usize];
    let kind = class.relam;
    let is_kind = match made.is_brin {
        // Least and greatest, of one column: other summaries want to hear of each row.
        true => {
            // SAFETY: the cache entry of an index has its method's support functions for each column; BRIN wants the
            // first.
            kind == pg_sys::BRIN_AM_OID && unsafe { *(*relation).rd_support }.to_u32() == pg_sys::F_BRIN_MINMAX_OPCINFO
        }
        false => kind == pg_sys::BTREE_AM_OID,
    };
    is_kind
        && (state.indisready && state.indisvalid && state.indislive && info.ii_ReadyForInserts)
        && (state.indisunique == made.is_unique && state.indimmediate)
        && info.ii_ExclusionOps.is_null()
        && columns == made.columns
        && info.ii_NumIndexKeyAttrs == info.ii_NumIndexAttrs
        && info.ii_Predicate.is_null() != made.is_partial
}
