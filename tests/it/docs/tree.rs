//! The text files of the repository.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold no source: what is built or installed, and what `athook` leaves behind.
const NOT_SOURCE: [&str; 5] = ["target", ".git", "node_modules", "__pycache__", "athook.dev"];
/// Generated files.
const GENERATED: [&str; 2] = ["Cargo.lock", "package-lock.json"];

/// A text file.
pub(super) struct File {
    /// From the root of the repository on: `gateway/src/lib.rs`.
    pub(super) path: String,
    pub(super) text: String,
}

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of the file at `path`, from the root of the repository on.
pub(super) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every text file of the repository, in the order of their paths.
pub(super) fn files() -> Vec<File> {
    let mut found = Vec::new();
    collect(root(), &mut found);
    found.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(found.len() > 300, "the sources are elsewhere");
    found
}

fn collect(folder: &Path, found: &mut Vec<File>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        if NOT_SOURCE.contains(&&*name) || GENERATED.contains(&&*name) {
            continue;
        }
        if path.is_dir() {
            collect(&path, found);
        } else if let Ok(text) = fs::read_to_string(&path) {
            found.push(File { path: relative(&path), text });
        }
    }
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_string_lossy().into_owned()
}

/// The folder of the file at `path`.
pub(super) fn folder_of(path: &str) -> PathBuf {
    root().join(path).parent().unwrap().to_owned()
}

/// The documents: every Markdown file.
pub(super) fn documents() -> Vec<File> {
    files().into_iter().filter(|file| file.path.ends_with(".md")).collect()
}
