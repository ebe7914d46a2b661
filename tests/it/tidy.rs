//! Rules of the source tree that the compiler does not check.

mod comments;
mod cycles;
mod tables;

use std::path::{Path, PathBuf};

/// The longest source file, in lines.
const MAX_LINES: usize = 400;
/// The longest line of a comment, in characters; `rustfmt.toml` sets the same for code.
const MAX_COLUMNS: usize = 110;

#[test]
fn no_file_is_over_400_lines() {
    let long: Vec<String> = sources()
        .iter()
        .filter_map(|file| {
            let lines = std::fs::read_to_string(file).unwrap().lines().count();
            (lines > MAX_LINES).then(|| format!("{}: {lines}", file.display()))
        })
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn no_comment_is_wider_than_the_code() {
    let mut wide = Vec::new();
    for file in sources() {
        for (line, number) in std::fs::read_to_string(&file).unwrap().lines().zip(1..) {
            let comment =
                line.trim_start().strip_prefix("//").map(|text| text.trim_start_matches(['/', '!']));
            // The row of a table can't be wrapped.
            let wrapped = comment.is_some_and(|text| text.starts_with(' ') && !text.starts_with(" | "));
            if wrapped && line.chars().count() > MAX_COLUMNS {
                wide.push(format!("{}:{number}", file.display()));
            }
        }
    }
    assert!(wide.is_empty(), "{wide:#?}");
}

#[test]
fn no_file_is_called_mod_rs() {
    let found: Vec<_> = sources().into_iter().filter(|file| file.ends_with("mod.rs")).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_gateway_names_no_method() {
    let gateway = root().join("gateway/src");
    let sources = sources();
    for file in sources.iter().filter(|file| file.starts_with(&gateway)) {
        let text = std::fs::read_to_string(file).unwrap();
        for word in ["place.wisp", "place.stream", "createWebhook", "secret.create"] {
            assert!(!text.contains(word), "{} has {word}", file.display());
        }
        // A test of the connection to the core-service may use a real message.
        if !file.components().any(|part| part.as_os_str() == "tests") && !file.ends_with("tests.rs") {
            assert!(!text.contains("proto::athook"), "{} knows a message", file.display());
        }
    }
}

#[test]
fn every_module_says_what_it_owns() {
    for file in sources() {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//!"), "{} does not begin with //!", file.display());
    }
}

/// The images are built of these files alone.
#[test]
fn images_are_built_of_every_crate() {
    let text = |path| std::fs::read_to_string(root().join(path)).unwrap();
    let manifest = text("Cargo.toml");
    let members = manifest.split_once("members = [").unwrap().1.split_once(']').unwrap().0;
    let (ignored, containerfile) = (text(".containerignore"), text("deploy/Containerfile"));
    for member in members.split(',').map(|name| name.trim().trim_matches('"')) {
        assert!(ignored.lines().any(|line| line == format!("!{member}")), ".containerignore: {member}");
        for copied in [format!("COPY {member} {member}"), format!("COPY {member}/Cargo.toml {member}/")] {
            assert!(containerfile.lines().any(|line| line == copied), "Containerfile: {copied}");
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in [
        "src",
        "tests",
        "benches",
        "examples",
        "proto",
        "process",
        "egress",
        "jetstream",
        "migrations",
        "gateway",
        "core-service",
    ] {
        collect(&root().join(folder), &mut found);
    }
    assert!(found.len() > 20, "the sources are elsewhere");
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}
