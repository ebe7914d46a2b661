//! No module imports itself through others.
//!
//! Owns the graph of each crate: its nodes are the files, each a module; an edge is a path (`use
//! crate::a::b`, or `super::a::b` in an expression) that leads from one file into another. An edge between a
//! module and one of its own ancestors does not count: a module may use its submodules, and they may use it.
//! Tests do not count either.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::root;

/// The root files of the crates.
const CRATES: [&str; 13] = [
    "src/main.rs",
    "benches/delivery/main.rs",
    "benches/load/main.rs",
    "proto/src/lib.rs",
    "process/src/lib.rs",
    "egress/src/lib.rs",
    "jetstream/src/lib.rs",
    "migrations/src/lib.rs",
    "gateway/src/lib.rs",
    "gateway/src/main.rs",
    "core-service/src/lib.rs",
    "core-service/src/main.rs",
    "tests/fakes/src/lib.rs",
];

/// The path of a module, from the root of its crate.
type Module = Vec<String>;

/// What the files of a crate import from each other.
type Imports = BTreeMap<Module, BTreeSet<Module>>;

#[test]
fn no_module_imports_itself_through_others() {
    let mut problems = Vec::new();
    for file in CRATES {
        let path = root().join(file);
        let folder = path.parent().unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let sources = sources(name, |file| std::fs::read_to_string(folder.join(file)).ok());
        assert!(!sources.is_empty(), "there is no {file}");
        problems.extend(cycles(&imports(&sources)).iter().map(|cycle| format!("{file}: {cycle}")));
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn cycles_are_found() {
    let cycles_of = |files: &[(&str, &str)]| {
        let read = |path: &Path| {
            let file = files.iter().find(|(name, _)| path == Path::new(name))?;
            Some(file.1.to_owned())
        };
        cycles(&imports(&sources("lib.rs", read)))
    };
    let root = ("lib.rs", "mod a; pub mod b; mod c;");
    // Through a list of imports, a path in an expression, and a path in a macro.
    let long = [
        root,
        ("a.rs", "use crate::{b::{self, B}, d};"),
        ("b.rs", "fn b() -> u8 { super::c::C }"),
        ("c.rs", "fn c() { select! { _ = crate::a::run() => {} } }"),
    ];
    assert_eq!(cycles_of(&long), ["a → b → c → a"]);
    // In submodules and through inline modules.
    let nested = [
        root,
        ("a.rs", "mod x;"),
        ("a/x.rs", "use super::super::b::B;"),
        ("b.rs", "mod inline { use super::super::a::x::X; }"),
        ("c.rs", ""),
    ];
    assert_eq!(cycles_of(&nested), ["a::x → b → a::x"]);
    // A module with its ancestor, comments, texts, tests, and another crate's module of the same name.
    let fine = [
        root,
        ("a.rs", "mod x; use x::X; use crate::b; /// [`crate::b`]\nfn a() {}"),
        ("a/x.rs", "use crate::a::A;"),
        ("b.rs", "// crate::a::A\nconst B: &str = \"crate::a::A\"; use other::a::A; use crate::Root;"),
        (
            "c.rs",
            "use crate::b::B; #[cfg(test)] mod only; #[cfg(test)] mod m { use crate::a::A; } mod tests;",
        ),
        ("c/only.rs", "use crate::a::A;"),
        ("c/tests.rs", "use crate::a::A;"),
    ];
    let none: [&str; 0] = [];
    assert_eq!(cycles_of(&fine), none);
    let two = [
        ("lib.rs", "mod a; mod b; mod c; mod d;"),
        ("a.rs", "use crate::b;"),
        ("b.rs", "use crate::a;"),
        ("c.rs", "use crate::{a, d};"),
        ("d.rs", "use crate::c;"),
    ];
    assert_eq!(cycles_of(&two), ["a → b → a", "c → d → c"]);
}

/// The tokens of each file of a crate, without its tests. `read` returns the text of a file below the root's
/// folder.
fn sources(root_file: &str, read: impl Fn(&Path) -> Option<String>) -> BTreeMap<Module, Vec<TokenTree>> {
    let mut sources = BTreeMap::new();
    let mut waiting = vec![(Module::new(), root_file.to_owned())];
    while let Some((module, file)) = waiting.pop() {
        // A module with `#[path]` is not where it is looked for; it belongs to another crate.
        let Some(text) = read(Path::new(&file)) else { continue };
        let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{file}: {error}"));
        let tokens = without_tests(tokens);
        for pair in tokens.windows(3) {
            if let [TokenTree::Ident(keyword), TokenTree::Ident(name), TokenTree::Punct(end)] = pair
                && keyword == "mod"
                && end.as_char() == ';'
            {
                let child = [module.as_slice(), &[name.to_string()]].concat();
                waiting.push((child.clone(), format!("{}.rs", child.join("/"))));
            }
        }
        sources.insert(module, tokens);
    }
    sources
}

/// The tokens without items that are compiled for tests only, and without modules called `tests`.
fn without_tests(tokens: TokenStream) -> Vec<TokenTree> {
    let mut kept = Vec::new();
    let mut rest = tokens.into_iter().peekable();
    while let Some(token) = rest.next() {
        let is_cfg_test = |next: &TokenTree| {
            let TokenTree::Group(attribute) = next else { return false };
            attribute.stream().to_string().replace(' ', "") == "cfg(test)"
        };
        let test_attribute = matches!(&token, TokenTree::Punct(sign) if sign.as_char() == '#')
            && rest.peek().is_some_and(is_cfg_test);
        let test_module = matches!(&token, TokenTree::Ident(keyword) if keyword == "mod")
            && matches!(rest.peek(), Some(TokenTree::Ident(name)) if name == "tests");
        if test_attribute || test_module {
            // To the end of the item: a semicolon or a body.
            let is_end = |token: &TokenTree| match token {
                TokenTree::Punct(sign) => sign.as_char() == ';',
                TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
                _ => false,
            };
            rest.by_ref().find(is_end);
        } else {
            kept.push(token);
        }
    }
    kept
}

/// Which files of a crate use which others, but for a module and its own ancestors.
fn imports(sources: &BTreeMap<Module, Vec<TokenTree>>) -> Imports {
    let mut imports = Imports::new();
    for (module, tokens) in sources {
        let mut paths = Vec::new();
        collect_paths(tokens, module, &mut paths);
        let files = paths.iter().filter_map(|path| {
            let file =
                (0..=path.len()).rev().map(|length| &path[..length]).find(|file| sources.contains_key(*file));
            file.filter(|file| !file.starts_with(module) && !module.starts_with(file))
        });
        imports.insert(module.clone(), files.map(<[String]>::to_vec).collect());
    }
    imports
}

/// Collects all paths in `tokens` that begin with `crate`, `super` or `self`, from the root of the crate on.
/// `module` is the module in which the tokens are.
fn collect_paths(tokens: &[TokenTree], module: &Module, paths: &mut Vec<Module>) {
    let mut at = 0;
    while at < tokens.len() {
        match (&tokens[at], tokens.get(at + 1), tokens.get(at + 2)) {
            (TokenTree::Ident(keyword), Some(TokenTree::Ident(name)), Some(TokenTree::Group(body)))
                if keyword == "mod" =>
            {
                let inline = [module.as_slice(), &[name.to_string()]].concat();
                collect_paths(&without_tests(body.stream()), &inline, paths);
                at += 3;
            }
            (TokenTree::Ident(start), ..) if is_path_separator(&tokens[at + 1..]) => {
                let (parent, known) = match start.to_string().as_str() {
                    "crate" => (Module::new(), true),
                    "self" => (module.clone(), true),
                    "super" => (parent_of(module), true),
                    _ => (Module::new(), false),
                };
                if known {
                    collect_tree(&tokens[at + 3..], parent, paths);
                }
                // The rest of the path does not begin another one.
                at += 1;
                while is_path_separator(&tokens[at..]) {
                    at += if matches!(tokens.get(at + 2), Some(TokenTree::Ident(_))) { 3 } else { 2 };
                }
            }
            (TokenTree::Group(group), ..) => {
                collect_paths(&without_tests(group.stream()), module, paths);
                at += 1;
            }
            _ => at += 1,
        }
    }
}

/// Collects the paths of a tree of imports such as `a::{b, c::d}`, of which `parent` has been read.
fn collect_tree(tokens: &[TokenTree], mut parent: Module, paths: &mut Vec<Module>) {
    match tokens.first() {
        Some(TokenTree::Ident(name)) => {
            match name.to_string().as_str() {
                "super" => parent = parent_of(&parent),
                "self" => {}
                name => parent.push(name.to_owned()),
            }
            if is_path_separator(&tokens[1..]) {
                collect_tree(&tokens[3..], parent, paths);
            } else {
                paths.push(parent);
            }
        }
        Some(TokenTree::Group(list)) if list.delimiter() == Delimiter::Brace => {
            let tokens: Vec<TokenTree> = list.stream().into_iter().collect();
            let is_comma =
                |token: &TokenTree| matches!(token, TokenTree::Punct(sign) if sign.as_char() == ',');
            for tree in tokens.split(is_comma) {
                collect_tree(tree, parent.clone(), paths);
            }
        }
        _ => paths.push(parent),
    }
}

fn is_path_separator(tokens: &[TokenTree]) -> bool {
    let is_colon =
        |token: Option<&TokenTree>| matches!(token, Some(TokenTree::Punct(sign)) if sign.as_char() == ':');
    is_colon(tokens.first()) && is_colon(tokens.get(1))
}

fn parent_of(module: &[String]) -> Module {
    module.split_last().map_or_else(Module::new, |(_, parent)| parent.to_vec())
}

/// One shortest cycle through each module that is in one, but for modules of a cycle already found.
fn cycles(imports: &Imports) -> Vec<String> {
    let mut found = BTreeSet::new();
    let mut cycles = Vec::new();
    for module in imports.keys() {
        if found.contains(module) {
            continue;
        }
        if let Some(cycle) = shortest_cycle(imports, module) {
            let names: Vec<String> = cycle.iter().map(|module| module.join("::")).collect();
            cycles.push(names.join(" → "));
            found.extend(cycle);
        }
    }
    cycles
}

/// A shortest way from `module` back to itself, with it at both ends.
fn shortest_cycle(imports: &Imports, module: &Module) -> Option<Vec<Module>> {
    let mut ways = VecDeque::from([vec![module.clone()]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        for next in imports.get(way.last()?).into_iter().flatten() {
            let longer = [way.as_slice(), std::slice::from_ref(next)].concat();
            if next == module {
                return Some(longer);
            }
            if seen.insert(next) {
                ways.push_back(longer);
            }
        }
    }
    None
}
