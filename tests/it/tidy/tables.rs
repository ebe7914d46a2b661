//! The tables that say which tests hold which rule: every test that they name exists.
//!
//! A table is a Markdown table with a column `test` or `tests`, in the `//!` comment of a source file or in
//! ARCHITECTURE.md. In that column a test is written in backticks, as one of
//!
//! - `a::b::name`: the test `name` in the module `a::b` of this binary (`tests/it/a/b.rs`);
//! - `crate: a::b::name`: a unit test in the module `a::b` of a crate (`crate/src/a/b.rs`), or else a test in
//!   its binary
//!   `crate/tests/it`;
//! - `drills: a::name`: a test of the binary `tests/drills`.
//!
//! The last modules of a path may be inline: `a::tests::name` is also `name` in the `mod tests { … }` of
//! `a.rs`.

use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};

use super::root;

const TABLES: [&str; 5] = [
    "tests/it/envelope.rs",
    "tests/it/intake_reports.rs",
    "tests/it/reports.rs",
    "tests/it/service_auth.rs",
    "ARCHITECTURE.md",
];

#[test]
fn tests_that_tables_name_exist() {
    let mut problems = Vec::new();
    for file in TABLES {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        match tests_named_in(&text) {
            Err(problem) => problems.push(format!("{file}: {problem}")),
            Ok(tests) => {
                let missing = tests.into_iter().filter(|test| !exists(test));
                problems.extend(missing.map(|test| format!("{file}: there is no test `{test}`")));
            }
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn tests_are_found_by_module_and_name() {
    for test in [
        "tidy::tables::tests_are_found_by_module_and_name",
        "egress: resolver::tests::servers_of_the_machine",
        "egress: gets::redirect_is_not_followed",
        "process: settings::tests::core_token_is_not_printed",
        "drills: names::other_addresses_fail_no_call",
    ] {
        assert!(exists(test), "{test}");
    }
    for test in [
        "tests_are_found_by_module_and_name",
        "tidy::tests_are_found_by_module_and_name",
        "tidy::tables::tests_are_found",
        "tidy::tables::inline::tests_are_found_by_module_and_name",
        "egress: resolver::servers_of_the_machine",
        "gateway: resolver::tests::servers_of_the_machine",
        "drills: gets::redirect_is_not_followed",
        "nowhere: tests::name",
    ] {
        assert!(!exists(test), "{test}");
    }
}

#[test]
fn rows_without_a_test_are_found() {
    let table = "| rule | tests |\n| --- | --- |\n| **part** | |\n| `a` | `b::c`, all of `d: e::f` |\n";
    assert_eq!(tests_named_in(table), Ok(vec!["b::c", "d: e::f"]));
    let comment = table.lines().map(|line| format!("//! {line}\n")).collect::<String>();
    assert_eq!(tests_named_in(&comment), Ok(vec!["b::c", "d: e::f"]));
    let without = format!("{table}| `a` | none |\n");
    assert_eq!(tests_named_in(&without), Err("no test in `| `a` | none |`".to_owned()));
    assert_eq!(tests_named_in("| rule | limit |\n"), Err("no table of tests".to_owned()));
}

/// The tests in all tables of `text`, in their order. A row whose cell is empty is a heading inside the
/// table.
///
/// # Errors
///
/// There is no such table, or one of its rows names no test.
fn tests_named_in(text: &str) -> Result<Vec<&str>, String> {
    let mut tests = Vec::new();
    let mut column = None;
    for line in text.lines() {
        let row = line.strip_prefix("//! ").unwrap_or(line);
        let Some(cells) = row.strip_prefix('|').and_then(|row| row.strip_suffix('|')) else {
            column = None;
            continue;
        };
        let cells: Vec<&str> = cells.split('|').map(str::trim).collect();
        let Some(column) = column else {
            // The first row has the titles of the columns.
            column = Some(cells.iter().position(|cell| matches!(*cell, "test" | "tests")));
            continue;
        };
        let Some(cell) = column.and_then(|column| cells.get(column)) else { continue };
        if cell.is_empty() || cell.chars().all(|character| character == '-') {
            continue;
        }
        let before = tests.len();
        tests.extend(cell.split('`').skip(1).step_by(2));
        if tests.len() == before {
            return Err(format!("no test in `{row}`"));
        }
    }
    if tests.is_empty() { Err("no table of tests".to_owned()) } else { Ok(tests) }
}

fn exists(test: &str) -> bool {
    let (binary, path) = test.split_once(": ").unwrap_or(("it", test));
    let modules: Vec<&str> = path.split("::").collect();
    let Some((function, modules)) = modules.split_last() else { return false };
    let folders: &[PathBuf] = match binary {
        "it" | "drills" => &[root().join("tests").join(binary)],
        "athook" => &[root().join("src")],
        name => &[root().join(name).join("src"), root().join(name).join("tests/it")],
    };
    folders.iter().any(|folder| has_test(folder, modules, function))
}

/// Whether the module below `folder` has the function: in the file of the longest part of its path that is a
/// file, with the rest of its path as inline modules there.
fn has_test(folder: &Path, modules: &[&str], function: &str) -> bool {
    let found = (1..=modules.len()).rev().find_map(|length| {
        let (file, inline) = modules.split_at(length);
        let text = std::fs::read_to_string(folder.join(file.join("/")).with_extension("rs")).ok()?;
        Some((text, inline))
    });
    found.is_some_and(|(text, inline)| has_function(&text.parse().unwrap(), inline, function))
}

/// Whether the function is in these inline modules of `tokens`, perhaps in a macro, but in no further module.
fn has_function(tokens: &TokenStream, inline: &[&str], function: &str) -> bool {
    let mut rest = tokens.clone().into_iter().peekable();
    let mut previous = None;
    while let Some(token) = rest.next() {
        let has = match (&previous, &token) {
            (Some(TokenTree::Ident(keyword)), TokenTree::Ident(name)) if keyword == "fn" => {
                inline.is_empty() && name == function
            }
            (Some(TokenTree::Ident(keyword)), TokenTree::Ident(name)) if keyword == "mod" => {
                let body = rest.next_if(|token| matches!(token, TokenTree::Group(_)));
                match (inline.split_first(), body) {
                    (Some((first, inline)), Some(TokenTree::Group(body))) if name == first => {
                        has_function(&body.stream(), inline, function)
                    }
                    _ => false,
                }
            }
            (_, TokenTree::Group(group)) => has_function(&group.stream(), inline, function),
            _ => false,
        };
        if has {
            return true;
        }
        previous = Some(token);
    }
    false
}
