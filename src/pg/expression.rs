//! Filters: parsed and analysed once, as the caller, and stored as a function in the very form in which they were analysed.
//! Nothing is evaluated here, and no name is looked up a second time: the table is given by its OID.

use super::boundary::{self, Failure};
use pgrx::pg_sys::{self, Datum, Oid};
use std::ffi::{CStr, CString, c_char, c_int, c_void};

/// OID of the language `sql`, which the server's bindings leave out.
const SQL_LANGUAGE: Oid = Oid::from_u32(14);

/// A filter as it was analysed; lives as long as the memory context in which it was made.
pub struct Condition {
    tree: *mut pg_sys::Node,
    has_sublinks: bool,
    /// It reads other tables, the clock or settings: judged only when the row runs.
    pub is_volatile: bool,
    /// The columns that it reads, by number; 0 is the row as a whole, negative ones are the system's.
    pub columns: Vec<i16>,
}

/// What a filter's function is given.
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: Oid,
    /// Number of the column; 0: the row.
    pub column: i16,
}

// As in parser/parser.h, parser/parse_clause.h, parser/parse_collate.h and catalog/pg_proc.h. Not the bridge's wrappers
// of the same name: they catch what [`boundary::catch`] is there to catch.
unsafe extern "C-unwind" {
    #[link_name = "raw_parser"]
    fn raw_parse(source: *const c_char, mode: pg_sys::RawParseMode::Type) -> *mut pg_sys::List;
    #[link_name = "transformWhereClause"]
    fn raw_transform(
        state: *mut pg_sys::ParseState,
        clause: *mut pg_sys::Node,
        kind: pg_sys::ParseExprKind::Type,
        construct: *const c_char,
    ) -> *mut pg_sys::Node;
    #[link_name = "assign_expr_collations"]
    fn raw_collate(state: *mut pg_sys::ParseState, expression: *mut pg_sys::Node);
    #[link_name = "ProcedureCreate"]
    fn raw_create(
        name: *const c_char,
        schema: Oid,
        replace: bool,
        returns_set: bool,
        returns: Oid,
        owner: Oid,
        language: Oid,
        validator: Oid,
        source: *const c_char,
        binary: *const c_char,
        body: *mut pg_sys::Node,
        kind: c_char,
        is_definer: bool,
        is_leakproof: bool,
        is_strict: bool,
        volatility: c_char,
        parallel: c_char,
        parameters: *mut pg_sys::oidvector,
        all_parameters: Datum,
        modes: Datum,
        names: Datum,
        defaults: *mut pg_sys::List,
        transforms: Datum,
        #[cfg(feature = "pg18")] transform_oids: *mut pg_sys::List,
        config: Datum,
        support: Oid,
        cost: f32,
        rows: f32,
    ) -> pg_sys::ObjectAddress;
}

/// Analyses `filter` as a condition on the rows of a relation that the transaction has locked. Raises what the parser raises
/// (42601, 42703, 42804 …) with the filter in its message; None when the text is more, or less, than one expression.
pub fn analyse(filter: &str, relation: Oid) -> Option<Condition> {
    let source = CString::new(filter).ok()?;
    // SAFETY: the transaction has the relation locked, and it is open until the tree is made. The state refers to the
    // text, which lives in this frame, and is not used after it; the tree does not. Both are in the current memory
    // context. Each `catch` has calls of `raw_` functions alone, and owns nothing.
    unsafe {
        let (text, mode) = (source.as_ptr(), pg_sys::RawParseMode::RAW_PARSE_PLPGSQL_EXPR);
        let parsed = boundary::catch(|| raw_parse(text, mode));
        let expression = one_expression(parsed.unwrap_or_else(|failure| in_filter(failure, filter).raise()))?;
        let table = pg_sys::table_open(relation, pg_sys::AccessShareLock as c_int);
        let state = pg_sys::make_parsestate(std::ptr::null_mut());
        (*state).p_sourcetext = text;
        let lock = pg_sys::AccessShareLock as c_int;
        let item = pg_sys::addRangeTableEntryForRelation(state, table, lock, std::ptr::null_mut(), true, true);
        pg_sys::addNSItemToQuery(state, item, true, true, true);
        let transformed = boundary::catch(|| {
            let condition = raw_transform(state, expression, pg_sys::ParseExprKind::EXPR_KIND_WHERE, c"WHERE".as_ptr());
            raw_collate(state, condition);
            condition
        });
        let tree = transformed.unwrap_or_else(|failure| in_filter(failure, filter).raise());
        let has_sublinks = (*state).p_hasSubLinks;
        pg_sys::table_close(table, pg_sys::NoLock as c_int);
        Some(Condition {
            tree,
            has_sublinks,
            is_volatile: has_sublinks || pg_sys::contain_mutable_functions(tree),
            columns: columns_of(tree),
        })
    }
}

fn in_filter(failure: Failure, filter: &str) -> Failure {
    Failure { message: format!("{} in filter \"{filter}\"", failure.message), ..failure }
}

/// What PL/pgSQL takes for an expression is the rest of a SELECT: one value without a name, and nothing after it.
///
/// # Safety
/// `parsed` must be what the parser made of a text.
unsafe fn one_expression(parsed: *mut pg_sys::List) -> Option<*mut pg_sys::Node> {
    // SAFETY: the parser gives a list of RawStmt; a node's tag says which struct it is, and a SELECT's targets are
    // ResTarget, each with a value.
    unsafe {
        let statements = pgrx::PgList::<pg_sys::RawStmt>::from_pg(parsed);
        let statement = statements.get_ptr(0).filter(|_| statements.len() == 1)?;
        if (*(*statement).stmt).type_ != pg_sys::NodeTag::T_SelectStmt {
            return None;
        }
        let select = &*(*statement).stmt.cast::<pg_sys::SelectStmt>();
        let lists = [
            select.distinctClause,
            select.fromClause,
            select.groupClause,
            select.windowClause,
            select.valuesLists,
            select.sortClause,
            select.lockingClause,
        ];
        let single = [select.whereClause, select.havingClause, select.limitCount, select.limitOffset];
        let values = pgrx::PgList::<pg_sys::ResTarget>::from_pg(select.targetList);
        let value = values.get_ptr(0).filter(|value| values.len() == 1 && (**value).name.is_null())?;
        let is_all = lists.iter().all(|list| list.is_null()) && single.iter().all(|clause| clause.is_null());
        (is_all && !is_star((*value).val)).then_some((*value).val)
    }
}

/// `*`, which is a value of a SELECT's list and no expression.
///
/// # Safety
/// `value` must be a node of the parser's.
unsafe fn is_star(value: *mut pg_sys::Node) -> bool {
    // SAFETY: a node's tag says which struct it is; a reference has a list of nodes, its names.
    unsafe {
        if (*value).type_ != pg_sys::NodeTag::T_ColumnRef {
            return false;
        }
        let fields = pgrx::PgList::<pg_sys::Node>::from_pg((*value.cast::<pg_sys::ColumnRef>()).fields);
        fields.get_ptr(0).is_some_and(|first| (*first).type_ == pg_sys::NodeTag::T_A_Star)
    }
}

/// What becomes of the table's columns in a condition.
struct Replacing<'a> {
    /// The columns that were met.
    met: Vec<i16>,
    /// What stands for them; None: they stay.
    parameters: Option<&'a [Parameter]>,
}

/// The numbers of all columns of the table that a condition speaks of, also inside of subqueries.
///
/// # Safety
/// `tree` must be an expression as it was analysed.
unsafe fn columns_of(tree: *mut pg_sys::Node) -> Vec<i16> {
    let mut replacing = Replacing { met: Vec::new(), parameters: None };
    // SAFETY: as this function's caller says.
    unsafe { replace(tree, &mut replacing) };
    replacing.met.sort_unstable();
    replacing.met.dedup();
    replacing.met
}

/// A copy of the condition with the table's columns replaced.
///
/// # Safety
/// `tree` must be an expression as it was analysed.
unsafe fn replace(tree: *mut pg_sys::Node, replacing: &mut Replacing) -> *mut pg_sys::Node {
    let argument = std::ptr::from_mut(replacing).cast::<c_void>();
    // SAFETY: the server copies the tree, and gives `replacement` what it asks for. The argument is borrowed as long as
    // this runs, and used by nobody else.
    unsafe { pg_sys::replace_rte_variables(tree, 1, 0, Some(replacement), argument, std::ptr::null_mut()) }
}

/// What stands for one column.
///
/// # Safety
/// Only the server may call it, out of `replace`.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn replacement(
    var: *mut pg_sys::Var,
    context: *mut pg_sys::replace_rte_variables_context,
) -> *mut pg_sys::Node {
    // SAFETY: the context has the argument of `replace`, of which this is the one reference while it runs: it does not
    // call itself. The column is a node of the tree that is copied.
    unsafe {
        let replacing = &mut *(*context).callback_arg.cast::<Replacing>();
        let column = (*var).varattno;
        replacing.met.push(column);
        let Some(parameters) = replacing.parameters else { return pg_sys::copyObjectImpl(var.cast()).cast() };
        let by_itself = parameters.iter().position(|parameter| parameter.column == column);
        match by_itself.or_else(|| parameters.iter().position(|parameter| parameter.column == 0)) {
            Some(index) if by_itself.is_some() => parameter(index, &parameters[index]).cast(),
            Some(index) => field(parameter(index, &parameters[index]), &*var).cast(),
            None => pgrx::error!("no parameter for column {column} of a filter"),
        }
    }
}

/// Allocates a node of the server's.
///
/// # Safety
/// `T` must be the struct of this tag.
unsafe fn node<T>(tag: pg_sys::NodeTag) -> *mut T {
    // SAFETY: as large as `T`, aligned for all that C has, and zeroed, as the server's makeNode does it; each node
    // begins with its tag. It lives in the current memory context.
    unsafe {
        let made = pg_sys::palloc0(size_of::<T>());
        (*made.cast::<pg_sys::Node>()).type_ = tag;
        made.cast()
    }
}

/// As the parser makes them in the body of a function.
fn parameter(index: usize, parameter: &Parameter) -> *mut pg_sys::Param {
    // SAFETY: the tag is that of the struct, and the node is ours alone while it is filled.
    unsafe {
        let made: *mut pg_sys::Param = node(pg_sys::NodeTag::T_Param);
        (*made).paramkind = pg_sys::ParamKind::PARAM_EXTERN;
        (*made).paramid = index as c_int + 1;
        (*made).paramtype = parameter.kind;
        (*made).paramtypmod = -1;
        (*made).paramcollid = pg_sys::get_typcollation(parameter.kind);
        (*made).location = -1;
        made
    }
}

/// A column of the row that is given as a whole.
fn field(row: *mut pg_sys::Param, column: &pg_sys::Var) -> *mut pg_sys::FieldSelect {
    // SAFETY: the tag is that of the struct, and the node is ours alone while it is filled. The row is only pointed to.
    unsafe {
        let made: *mut pg_sys::FieldSelect = node(pg_sys::NodeTag::T_FieldSelect);
        (*made).arg = row.cast();
        (*made).fieldnum = column.varattno;
        (*made).resulttype = column.vartype;
        (*made).resulttypmod = column.vartypmod;
        (*made).resultcollid = column.varcollid;
        made
    }
}

impl Condition {
    /// Stores it as a function of the current role's that returns boolean; its OID.
    pub fn create_function(&self, schema: Oid, name: &str, parameters: &[Parameter]) -> Option<Oid> {
        let name = CString::new(name).ok()?;
        let names = names(parameters);
        let kinds: Vec<Oid> = parameters.iter().map(|parameter| parameter.kind).collect();
        let volatility = if self.is_volatile { b'v' } else { b'i' };
        // SAFETY: the tree is still there, as whoever made the condition says. Names and types live in this frame and
        // are copied; the array is as long as is said. In `catch` there is one call, and nothing is owned.
        unsafe {
            let mut replacing = Replacing { met: Vec::new(), parameters: Some(parameters) };
            let body = self.body(replace(self.tree, &mut replacing));
            let kinds = pg_sys::buildoidvector(kinds.as_ptr(), kinds.len() as c_int);
            let owner = pg_sys::GetUserId();
            let (nothing, none) = (Datum::from(0), std::ptr::null_mut());
            let created = boundary::catch(|| {
                raw_create(
                    name.as_ptr(),
                    schema,
                    false,
                    false,
                    pg_sys::BOOLOID,
                    owner,
                    SQL_LANGUAGE,
                    Oid::from(pg_sys::F_FMGR_SQL_VALIDATOR),
                    c"".as_ptr(),
                    std::ptr::null(),
                    body.cast(),
                    pg_sys::PROKIND_FUNCTION as c_char,
                    false,
                    false,
                    false,
                    volatility as c_char,
                    pg_sys::PROPARALLEL_UNSAFE as c_char,
                    kinds,
                    nothing,
                    nothing,
                    names,
                    none,
                    nothing,
                    #[cfg(feature = "pg18")]
                    none,
                    nothing,
                    Oid::INVALID,
                    100.0,
                    0.0,
                )
            });
            let created = created.unwrap_or_else(|failure| failure.raise());
            pg_sys::CommandCounterIncrement();
            Some(created.objectId)
        }
    }

    /// `return (…)`, as the parser makes it of it.
    ///
    /// # Safety
    /// `value` must be an expression as it was analysed.
    unsafe fn body(&self, value: *mut pg_sys::Node) -> *mut pg_sys::Query {
        // SAFETY: the tag is that of the struct, the node is ours alone while it is filled, and all is in the current
        // memory context.
        unsafe {
            let query: *mut pg_sys::Query = node(pg_sys::NodeTag::T_Query);
            (*query).commandType = pg_sys::CmdType::CMD_SELECT;
            (*query).querySource = pg_sys::QuerySource::QSRC_ORIGINAL;
            (*query).canSetTag = true;
            (*query).isReturn = true;
            (*query).hasSubLinks = self.has_sublinks;
            let target = pg_sys::makeTargetEntry(value.cast(), 1, std::ptr::null_mut(), false);
            let mut targets = pgrx::PgList::<pg_sys::TargetEntry>::new();
            targets.push(target);
            (*query).targetList = targets.into_pg();
            (*query).jointree = pg_sys::makeFromExpr(std::ptr::null_mut(), std::ptr::null_mut());
            query
        }
    }
}

/// `text[]`, or nothing where there are none.
fn names(parameters: &[Parameter]) -> Datum {
    let names: Vec<&str> = parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    let names = (!names.is_empty()).then(|| pgrx::IntoDatum::into_datum(names)).flatten();
    names.unwrap_or(Datum::from(0))
}

/// The name of a column by its number, for a person.
pub fn system_column(number: i16) -> String {
    // SAFETY: numbers of system columns come out of an analysed tree, so there is one of this number; the server's
    // description of it is constant.
    unsafe {
        let shape = pg_sys::SystemAttributeDefinition(number);
        CStr::from_ptr((*shape).attname.data.as_ptr()).to_string_lossy().into_owned()
    }
}
