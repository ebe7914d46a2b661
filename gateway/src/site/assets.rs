//! The files of `gateway/site` that pages load, embedded.
//!
//! Owns their paths and media types. What they do is theirs.

use serde::Deserialize;

use super::stored::Stored;

/// Paths below `gateway/site`, contents, and the contents compressed.
const EMBEDDED: &[(&str, &[u8], &[u8])] = &include!(concat!(env!("OUT_DIR"), "/assets.rs"));
/// What the console needs.
const CONSOLE: &str = include_str!(concat!(env!("OUT_DIR"), "/console.json"));

/// Each file with its URL path.
pub(super) fn all() -> impl Iterator<Item = (String, Stored)> {
    EMBEDDED.iter().map(|(path, content, zipped)| {
        let content_type = match path.rsplit_once('.') {
            Some((_, "js")) => "text/javascript; charset=utf-8",
            Some((_, "css")) => "text/css; charset=utf-8",
            _ => "image/svg+xml",
        };
        (format!("/assets/{path}"), Stored::with_zipped(content_type, content, zipped))
    })
}

/// The NSIDs of the methods that the console calls.
pub(super) fn methods_of_console() -> Vec<String> {
    #[derive(Deserialize)]
    struct Console {
        methods: Vec<String>,
    }
    serde_json::from_str(CONSOLE).map(|Console { methods }| methods).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All files together, compressed, in bytes.
    const BUDGET: usize = 200 * 1024;

    #[test]
    fn budget() {
        let bytes: usize = EMBEDDED.iter().map(|(_, _, zipped)| zipped.len()).sum();
        assert!(bytes < BUDGET, "{bytes} bytes");
    }

    #[test]
    fn what_is_served() {
        let paths: Vec<_> = EMBEDDED.iter().map(|(path, _, _)| *path).collect();
        for path in ["icon.svg", "page.js", "site.css", "console/main.js"] {
            assert!(paths.contains(&path), "{path} is not in {paths:?}");
        }
        for path in &paths {
            assert!(!path.ends_with(".test.js"), "{path}");
        }
        assert!(!methods_of_console().is_empty());
    }
}
