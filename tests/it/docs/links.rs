//! Links between documents: every relative one leads to a file, and its anchor to a heading of it.

use super::tree::{documents, folder_of, root};

#[test]
fn every_relative_link_leads_somewhere() {
    let mut broken = Vec::new();
    let mut count = 0;
    for document in documents() {
        for target in targets(&document.text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            count += 1;
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = match path {
                "" => root().join(&document.path),
                path => folder_of(&document.path).join(path),
            };
            if !file.exists() {
                broken.push(format!("{}: {target}: no such file", document.path));
            } else if !anchor.is_empty() {
                let text = std::fs::read_to_string(&file).unwrap();
                if !anchors(&text).iter().any(|one| one == anchor) {
                    broken.push(format!("{}: {target}: no such heading", document.path));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(count > 50, "the links are not found");
}

/// The targets of the links in `markdown`, those in code left out.
fn targets(markdown: &str) -> Vec<String> {
    let mut targets = Vec::new();
    for line in prose(markdown) {
        // Every second part is between backticks.
        let line: String = line.split('`').step_by(2).collect::<Vec<_>>().join("code");
        let ends = line.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        targets.extend(ends.map(|(target, _)| target.to_owned()));
        if let Some((_, target)) = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")) {
            targets.push(target.trim().to_owned());
        }
    }
    targets
}

/// The anchors of the headings in `markdown`, as GitHub makes them.
fn anchors(markdown: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    for heading in headings(markdown) {
        let anchor = anchor(heading);
        let earlier = anchors.iter().filter(|one| {
            one.strip_prefix(&anchor).is_some_and(|rest| {
                rest.is_empty() || rest.strip_prefix('-').is_some_and(|n| n.parse::<u32>().is_ok())
            })
        });
        anchors.push(match earlier.count() {
            0 => anchor,
            count => format!("{anchor}-{count}"),
        });
    }
    anchors
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|&c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>().to_lowercase()
}

/// The headings of `markdown`, without their `#`.
pub(super) fn headings(markdown: &str) -> Vec<&str> {
    prose(markdown).filter_map(|line| Some(line.strip_prefix('#')?.trim_start_matches('#').trim())).collect()
}

/// The lines of `markdown` that are in no block of code.
pub(super) fn prose(markdown: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    markdown.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    })
}

#[test]
fn links_are_found_outside_code() {
    let markdown = "[a](b.md#c) and `[d](e)` ([f](#g))\n```\n[h](i)\n```\n[j]: k.md\n";
    assert_eq!(targets(markdown), ["b.md#c", "#g", "k.md"]);
}

#[test]
fn anchors_are_those_of_github() {
    let markdown = "# A first try\n## `place.wisp.v2` & more\n```sh\n# no heading\n```\n## Same\n### Same\n";
    assert_eq!(anchors(markdown), ["a-first-try", "placewispv2--more", "same", "same-1"]);
}
