//! What must hold of any text, and cases of the server's scanner.

use std::collections::HashMap;

use proptest::prelude::*;
use text::lexer::{Token, tokens};
use text::renaming::Renaming;
use text::row_hints::{Place, decode, encode};
use text::{plpgsql, sqlstate};

fn names(sql: &str) -> Vec<&str> {
    tokens(sql).filter(|(kind, _)| *kind == Token::Name).map(|(_, piece)| piece).collect()
}

#[test]
fn names_are_what_the_server_takes_for_names() {
    for (sql, wanted) in [
        ("a /* it's /* b */ c's */ d", &["a", "d"][..]),
        ("a -- it's b\n c", &["a", "c"]),
        ("a -- it's b\r c", &["a", "c"]),
        ("E'a\\'b' c", &["c"]),
        ("e'a'\n  'b\\'c' d", &["d"]),
        ("'a' \n 'b\\' c", &["c"]),
        ("e'a' -- b\n '\\'b' c", &["c"]),
        ("e'a' -- b\n -- b\n '\\'b' c", &["c"]),
        ("e'a' -- b", &[]),
        ("1_000 a", &["a"]),
        ("b'1' x'1f' n'a' U&'\\0062' u&\"b\" z", &["z"]),
        ("$a$ b $a$ $$ c $$ d$e$f", &["d$e$f"]),
        ("$1 a", &["a"]),
        ("\"a\"\"b\" c", &["\"a\"\"b\"", "c"]),
        ("1e5 a.b é1", &["a", "b", "é1"]),
        ("a--b", &["a"]),
        ("a /*", &["a"]),
    ] {
        assert_eq!(names(sql), wanted, "{sql}");
    }
}

fn is_reserved(word: &str) -> bool {
    let words =
        ["and", "as", "collate", "cross", "from", "in", "is", "join", "only", "or", "select", "then", "when", "where"];
    words.contains(&word)
}

fn renamed(filter: &str) -> String {
    let columns = HashMap::from([("b".to_string(), "c".to_string()), ("date".to_string(), "day".to_string())]);
    Renaming { table: ("t", "u"), columns: &columns, quote: str::to_string, is_reserved, check: || {} }.within(filter)
}

#[test]
fn columns_are_renamed_where_they_stand_as_columns() {
    for (old, new) in [
        ("b = 'b' and t.b <> \"b\"", "c = 'b' and u.c <> c"),
        ("t . /* here */ b = 1", "u . /* here */ c = 1"),
        ("other.b = t.b", "other.b = u.c"),
        ("b(1) = b.b", "b(1) = b.b"),
        ("date = date '2020-01-01'", "day = date '2020-01-01'"),
        ("date = x::date and cast(x as date) = date", "day = x::date and cast(x as date) = day"),
        ("b'1' = b", "b'1' = c"),
        ("B = \"B\"", "c = \"B\""),
        ("t.* = t.b", "u.* = u.c"),
        // A schema of the table's name.
        ("t.f(b) and t.b = 1", "t.f(c) and u.c = 1"),
        ("b::t.kind = t.kind 'x' and cast(b as t.kind) = t.b", "c::t.kind = t.kind 'x' and cast(c as t.kind) = u.c"),
        (
            "b operator(t.=) b and b operator(t.*) b collate t.x = b",
            "c operator(t.=) c and c operator(t.*) c collate t.x = c",
        ),
        ("(select count(t.o.b) from t.o) = b", "(select count(t.o.b) from t.o) = c"),
        (
            "exists (select from (t.b cross join only (t.b))) or b = 1",
            "exists (select from (t.b cross join only (t.b))) or c = 1",
        ),
        ("exists (select from f() as x (v t.b)) or x::t.b = b", "exists (select from f() as x (v t.b)) or x::t.b = c"),
        ("json_value(j, '$' returning t.b) = b", "json_value(j, '$' returning t.b) = c"),
        ("a between b and b and a at time zone b = a", "a between c and c and a at time zone c = a"),
        ("case when b then b end", "case when c then c end"),
        ("(b, a) in (select a b from z b)", "(c, a) in (select a b from z b)"),
    ] {
        assert_eq!(renamed(old), new);
    }
}

#[test]
fn statements_become_a_block() {
    for (body, block) in [
        ("perform f();", "begin perform f();\nend"),
        ("perform f(); -- done;", "begin perform f(); -- done;\nend"),
        ("perform f('a;')", "begin perform f('a;')\n;end"),
        ("perform $$;$$", "begin perform $$;$$\n;end"),
        ("  /* c */ BEGIN null; end", "  /* c */ BEGIN null; end"),
        ("<<l>> begin end", "<<l>> begin end"),
        ("#variable_conflict use_column\nbegin end", "#variable_conflict use_column\nbegin end"),
        ("begins();", "begin begins();\nend"),
    ] {
        assert_eq!(plpgsql::block(body), block);
    }
    assert!(plpgsql::is_empty(" -- nothing\n /* at /* all */ */ "));
    assert!(!plpgsql::is_empty("null"));
}

fn place(block: u32, offset: u16) -> Option<Place> {
    Some((block, offset))
}

#[test]
fn neighbours_take_two_bytes() {
    let places: Vec<_> = (0..1000).map(|i| place(100_000 + i / 10, (i % 10 + 1) as u16)).collect();
    assert!(encode(&places).unwrap().len() <= 2003);
}

#[test]
fn what_does_not_fit_is_no_hint() {
    let bytes = encode(&[place(7, 3), place(8, 1)]).unwrap();
    for count in [0, 1, 3] {
        assert_eq!(decode(&bytes, count), vec![None; count]);
    }
    assert_eq!(decode(&[0xff; 40], 2), [None, None]);
    assert_eq!(decode(&[], 2), [None, None]);
    // Before block 0.
    assert_eq!(decode(&[1, 1], 1), [None]);
    assert_eq!(encode(&[None, None]), None);
}

#[test]
fn what_another_row_may_have_caused_is_not_a_rows_own() {
    for code in ["P0001", "P0100", "22012", "23502", "23503", "23514"] {
        assert!(sqlstate::is_own(code), "{code}");
    }
    for code in ["23505", "23P01", "25001", "34000", "40001", "42P03", "42P07", "42501", "53200", "55P03", "57014"] {
        assert!(!sqlstate::is_own(code), "{code}");
    }
}

const PIECES: &[&str] = &[
    "a", "B", "é", "_", "1", "'", "\"", "\\", "$", "$$", "$a$", "--", "/*", "*/", "\n", " ", "E'", "u&'", ".", "::",
    ";", "(",
];

/// Texts made of what a scanner stumbles over.
fn sql() -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::sample::select(PIECES), 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn nothing_gets_lost(sql in prop_oneof![sql(), ".*"]) {
        let together: String = tokens(&sql).map(|(_, piece)| piece).collect();
        prop_assert_eq!(together, sql);
    }

    #[test]
    fn what_is_not_renamed_stays(sql in sql()) {
        let columns = HashMap::new();
        let renaming = Renaming { table: ("t", "t"), columns: &columns, quote: str::to_string, is_reserved, check: || {} };
        prop_assert_eq!(renaming.within(&sql), sql);
    }

    #[test]
    fn places_come_back(places in proptest::collection::vec(proptest::option::of((0..u32::MAX, 1..u16::MAX)), 0..50)) {
        let known = encode(&places);
        prop_assert_eq!(known.is_none(), places.iter().all(Option::is_none));
        if let Some(bytes) = known {
            prop_assert_eq!(decode(&bytes, places.len()), places);
        }
    }
}
