//! What comments and documents cite: documents, sections and files are in this repository.

use super::links::{headings, prose};
use super::tree::{File, documents, files, folder_of, root};

/// Documents outside the repository, by their bare names.
const OUTSIDE: [&str; 3] = ["METHODS", "DESIGN", "STYLE"];
/// More of them: these names are words of other things too.
const OUTSIDE_FILES: [&str; 4] = ["DELIVERY.md", "INTAKE.md", "INTAKE-FACTS.md", "SITE.md"];

#[test]
fn every_cited_document_is_in_the_repository() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for file in sources() {
        for cited in citations(&unwrapped(&file.text)) {
            count += 1;
            let path = cited.path.split('#').next().unwrap();
            let Some(found) = find(&file, path) else {
                wrong.push(format!("{}: {path}: no such file", file.path));
                continue;
            };
            if let Some(section) = cited.section
                && !has_section(&found, &section)
            {
                wrong.push(format!("{}: {path}, {section:?}: no such heading", file.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(count > 50, "the citations are not found");
}

#[test]
fn no_document_outside_the_repository_is_cited() {
    let mut cited = Vec::new();
    for file in sources() {
        for (number, line) in (1..).zip(file.text.lines()) {
            let words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let bare = words.filter(|word| OUTSIDE.contains(word)).count();
            let files = OUTSIDE_FILES.iter().filter(|name| line.contains(**name)).count();
            if bare + files > 0 {
                cited.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    assert!(cited.is_empty(), "{cited:#?}");
}

/// The folders that a document may name a path of.
const FOLDERS: [&str; 11] = [
    ".ci/",
    "benches/",
    "core-service/",
    "deploy/",
    "docs/",
    "egress/",
    "gateway/",
    "migrations/",
    "process/",
    "proto/",
    "tests/",
];

#[test]
fn every_path_in_a_document_exists() {
    let mut missing = Vec::new();
    let mut count = 0;
    for document in documents() {
        // Every second part is between backticks.
        for code in prose(&document.text).flat_map(|line| line.split('`').skip(1).step_by(2)) {
            let path = code.split_whitespace().next().unwrap_or_default().trim_end_matches(':');
            let is_path = FOLDERS.iter().any(|folder| path.starts_with(folder))
                && !path.contains(['<', '…', '*', '{'])
                && !path.contains("::");
            if is_path {
                count += 1;
                if !root().join(path).exists() {
                    missing.push(format!("{}: {path}", document.path));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(count > 100, "the paths are not found");
}

/// Every file but the tests of this module, which name documents that do not exist.
fn sources() -> Vec<File> {
    files().into_iter().filter(|file| !file.path.starts_with("tests/it/docs")).collect()
}

#[derive(Debug, PartialEq, Eq)]
struct Citation {
    /// As it is written: `docs/limits.md#egress`.
    path: String,
    /// The text in quotes that follows: `docs/methods.md, "Unreachable"`.
    section: Option<String>,
}

/// The Markdown files that `text` names, URLs left out.
fn citations(text: &str) -> Vec<Citation> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_./#:-".contains(c);
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(is_part) {
        let word = &rest[start..];
        let (word, after) = word.split_at(word.find(|c| !is_part(c)).unwrap_or(word.len()));
        rest = after;
        let word = word.trim_end_matches(['.', ':']);
        let file = word.split('#').next().unwrap();
        let is_document = file.strip_suffix(".md").is_some_and(|name| !name.is_empty());
        if is_document && !word.contains("://") {
            let after = after.trim_start_matches(['`', ',']);
            let section = after.trim_start().strip_prefix('"').filter(|_| after.starts_with(' '));
            let section = section.and_then(|text| text.split_once('"'));
            let section = section.map(|(section, _)| section.to_owned());
            found.push(Citation { path: word.to_owned(), section });
        }
    }
    found
}

/// `text` with each paragraph of a comment on one line.
fn unwrapped(text: &str) -> String {
    text.lines()
        .map(|line| line.trim_start().trim_start_matches(['/', '!', '#', '*']).trim())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The text of the document `path`, which `file` names from the root or from its own folder on.
fn find(file: &File, path: &str) -> Option<String> {
    let places = [root().join(path), folder_of(&file.path).join(path)];
    places.iter().find_map(|place| std::fs::read_to_string(place).ok())
}

/// Whether a heading or the bold beginning of a paragraph has the text `section`.
fn has_section(document: &str, section: &str) -> bool {
    let section = section.to_lowercase();
    let bold = document.split("**").skip(1).step_by(2);
    headings(document).into_iter().chain(bold).any(|text| text.to_lowercase().contains(&section))
}

#[test]
fn citations_are_found() {
    let text =
        "/// As `docs/a.md` says (B.md, \"Part\n/// one\"), https://x.org/c.md, \"d/e.md#f\" and *.md.\n";
    let cited = |path: &str, section: Option<&str>| Citation {
        path: path.to_owned(),
        section: section.map(str::to_owned),
    };
    let expected = [cited("docs/a.md", None), cited("B.md", Some("Part one")), cited("d/e.md#f", None)];
    assert_eq!(citations(&unwrapped(text)), expected);
}
