//! The user's table of a date-field task: what it is, its columns, its row key. Reads system catalogs only.

use crate::catalog::table::key::KeyColumn;
use crate::error::{Error, Kind, Result, invalid};
use crate::pg::{name, sql, tuple, user, value};
use pgrx::pg_sys::Oid;

/// A column as the parameter of a function.
pub struct Column {
    /// Its number.
    pub number: i16,
    /// Bare.
    pub name: String,
    /// Quoted.
    pub sql_name: String,
    /// Its type.
    pub kind: Oid,
    /// Another collation than its type's.
    pub has_own_collation: bool,
}

/// A table, partitioned table, view, materialized view or foreign table.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its OID.
    pub relation: Oid,
    /// Qualified and quoted.
    pub sql_name: String,
    /// Bare.
    pub name: String,
    /// `r`, `p`, `v`, `m` or `f`.
    pub kind: char,
    /// The type of its rows, and of arrays of them.
    pub row_type: Oid,
    /// Array of the row type.
    pub row_array: Oid,
    /// Row security is on.
    pub has_policies: bool,
    /// Its rows may have values that are stored out of line.
    pub has_large_values: bool,
}

impl Target {
    /// Looks the relation up. 42P01 where there is none, 42809 where it is of a kind that has no rows to watch.
    pub fn open(relation: Oid) -> Result<Target> {
        let rows = user::with_pinned_path(|| {
            sql::run(
                "select c.relname::text, n.nspname::text, c.relkind::text, c.reltype, t.typarray, c.relpersistence::text,
                     c.relrowsecurity, c.relkind <> 'r' or c.reltoastrelid <> 0
                 from pg_class c join pg_namespace n on n.oid = c.relnamespace left join pg_type t on t.oid = c.reltype
                 where c.oid = $1",
                &[sql::arg(relation)],
            )
        });
        let Some(name) = rows.get::<String>(0, 1) else {
            return Err(Error::new(Kind::NoTable, format!("no table with OID {}", relation.to_u32())));
        };
        let schema: String = rows.get(0, 2).unwrap_or_default();
        let kind = rows.get::<String>(0, 3).and_then(|kind| kind.chars().next()).unwrap_or(' ');
        if !"rpvmf".contains(kind) {
            return Err(Error::new(Kind::WrongObject, format!("\"{name}\" is not a table, view or foreign table"))
                .hint("A date-field task watches the rows of a table."));
        }
        if rows.get::<String>(0, 6).as_deref() == Some("t") {
            return Err(Error::new(
                Kind::Unsupported,
                format!("\"{name}\" is a temporary table, which no background process can see"),
            )
            .hint("Use a permanent table."));
        }
        let invalid = Oid::INVALID;
        Ok(Target {
            relation,
            sql_name: name::qualified(&schema, &name),
            name,
            kind,
            row_type: rows.get(0, 4).unwrap_or(invalid),
            row_array: rows.get(0, 5).unwrap_or(invalid),
            has_policies: rows.get(0, 7).unwrap_or(true),
            has_large_values: rows.get(0, 8).unwrap_or(true),
        })
    }

    /// Can it carry the capture triggers?
    pub fn takes_triggers(&self) -> bool {
        matches!(self.kind, 'r' | 'p')
    }

    /// The type of a column. 42703 where there is none.
    pub fn column(&self, name: &str) -> Result<Oid> {
        let rows = user::with_pinned_path(|| {
            sql::run(
                "select atttypid from pg_attribute where attrelid = $1 and attname::text = $2 and attnum > 0 and not attisdropped",
                &[sql::arg(self.relation), sql::arg(name)],
            )
        });
        rows.get(0, 1).ok_or_else(|| {
            let error = Error::new(Kind::NoColumn, format!("column \"{name}\" of \"{}\" does not exist", self.name));
            match self.column_like(name) {
                Some(like) => error.hint(format!("There is a column \"{like}\": names are taken as they are written.")),
                None => error.hint(format!("Its columns are {}.", self.column_names())),
            }
        })
    }

    /// Their names, for a person.
    fn column_names(&self) -> String {
        let names: Vec<String> = self.columns().into_iter().map(|column| column.sql_name).collect();
        names.join(", ")
    }

    /// All columns.
    pub fn columns(&self) -> Vec<Column> {
        let rows = user::with_pinned_path(|| {
            sql::run(
                "select quote_ident(a.attname), a.atttypid, a.attcollation <> t.typcollation, a.attname::text, a.attnum
                 from pg_attribute a join pg_type t on t.oid = a.atttypid
                 where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped order by a.attnum",
                &[sql::arg(self.relation)],
            )
        });
        let column = |row: usize| Column {
            number: rows.get(row, 5).unwrap_or_default(),
            name: rows.get(row, 4).unwrap_or_default(),
            sql_name: rows.get(row, 1).unwrap_or_default(),
            kind: rows.get(row, 2).unwrap_or(Oid::INVALID),
            has_own_collation: rows.get(row, 3).unwrap_or(false),
        };
        (0..rows.len()).map(column).collect()
    }

    /// A column whose name differs only in upper and lower case.
    fn column_like(&self, name: &str) -> Option<String> {
        let rows = user::with_pinned_path(|| {
            sql::run(
                "select attname::text from pg_attribute where attrelid = $1 and lower(attname::text) = lower($2) and attnum > 0 and not attisdropped",
                &[sql::arg(self.relation), sql::arg(name)],
            )
        });
        rows.get(0, 1)
    }

    /// The columns that tell its rows apart: those asked for, else the primary key, else the smallest unique index.
    pub fn key(&self, asked: Option<&[String]>) -> Result<Vec<KeyColumn>> {
        let names = match asked {
            Some([]) => {
                return Err(Error::new(Kind::Invalid, "key_columns is empty")
                    .hint("Name the columns that tell the rows apart, or leave it out."));
            }
            Some(names) => {
                if let Some(twice) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
                    return Err(invalid("key_columns", twice.1).hint("Name each column once."));
                }
                names.to_vec()
            }
            None => self.index_key().ok_or_else(|| self.no_key())?,
        };
        names.iter().map(|name| self.key_column(name)).collect()
    }

    fn key_column(&self, name: &str) -> Result<KeyColumn> {
        let kind = self.column(name)?;
        if !tuple::is_key_type(kind) {
            return Err(Error::new(Kind::NoKey, format!("column \"{name}\" of type {} cannot be part of a row key", tuple::shown_type(kind)))
                .hint("Key columns are of integer, numeric, uuid, text, date, timestamp, timestamptz, bytea, boolean or enum types."));
        }
        if let Some(collation) = self.loose_collation(name) {
            return Err(Error::new(
                Kind::NoKey,
                format!("column \"{name}\" has the nondeterministic collation \"{collation}\" and cannot be part of a row key"),
            )
            .hint("Different texts are equal under it. Pass key_columns with other columns that tell the rows apart."));
        }
        Ok(KeyColumn { name: name.to_string(), kind: value::base_type(kind) })
    }

    /// A column's collation, if texts can be equal under it without being the same.
    fn loose_collation(&self, column: &str) -> Option<String> {
        let rows = user::with_pinned_path(|| {
            sql::run(
                "select c.collname::text from pg_attribute a join pg_collation c on c.oid = a.attcollation
                 where a.attrelid = $1 and a.attname::text = $2 and not c.collisdeterministic",
                &[sql::arg(self.relation), sql::arg(column)],
            )
        });
        rows.get(0, 1)
    }

    fn no_key(&self) -> Error {
        Error::new(Kind::NoKey, format!("\"{}\" has no primary key or unique index that can serve as row key", self.name))
            .hint("Add a primary key of integer, numeric, uuid, text, date, timestamp, timestamptz, bytea, boolean or enum columns, or pass key_columns with the columns that tell the rows apart.")
    }

    /// Of a valid, immediate, whole-table unique index over not-null columns of usable types.
    fn index_key(&self) -> Option<Vec<String>> {
        let rows = user::with_pinned_path(|| {
            sql::run(
                "select array_agg(a.attname::text order by k.i), array_agg(a.atttypid order by k.i)
                 from pg_index x cross join lateral unnest(x.indkey::smallint[]) with ordinality k (attnum, i)
                 join pg_attribute a on a.attrelid = x.indrelid and a.attnum = k.attnum
                 left join pg_collation c on c.oid = a.attcollation
                 where x.indrelid = $1 and x.indisunique and x.indisvalid and x.indimmediate and x.indpred is null
                   and k.i <= x.indnkeyatts and 0 <> all(x.indkey::smallint[])
                 group by x.indexrelid, x.indisprimary, x.indnkeyatts
                 having bool_and(a.attnotnull and coalesce(c.collisdeterministic, true))
                 order by x.indisprimary desc, x.indnkeyatts, x.indexrelid",
                &[sql::arg(self.relation)],
            )
        });
        (0..rows.len()).find_map(|row| {
            let kinds: Vec<Oid> = rows.get(row, 2)?;
            kinds.iter().all(|kind| tuple::is_key_type(*kind)).then(|| rows.get(row, 1)).flatten()
        })
    }

    /// Is there an index that leads with this column?
    pub fn has_index_on(&self, column: &str) -> bool {
        let rows = user::with_pinned_path(|| {
            sql::run(
                "select 1 from pg_index x join pg_attribute a on a.attrelid = x.indrelid and a.attnum = (x.indkey::smallint[])[0]
                 where x.indrelid = $1 and a.attname::text = $2 and x.indisvalid limit 1",
                &[sql::arg(self.relation), sql::arg(column)],
            )
        });
        !rows.is_empty()
    }

    /// The schema it is in, if the current role lacks USAGE on it.
    pub fn closed_schema(&self) -> Option<String> {
        let rows = user::with_pinned_path(|| {
            sql::run(
                "select n.nspname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
                 where c.oid = $1 and not has_schema_privilege(n.oid, 'USAGE')",
                &[sql::arg(self.relation)],
            )
        });
        rows.get(0, 1)
    }

    /// Has the current role this privilege on it?
    pub fn allows(&self, privilege: &str) -> bool {
        let rows = user::with_pinned_path(|| {
            sql::run("select has_table_privilege($1, $2)", &[sql::arg(self.relation), sql::arg(privilege)])
        });
        rows.get(0, 1).unwrap_or(false)
    }
}
