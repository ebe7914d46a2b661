//! Lists the documents in `lexicons`, so that a new method is a new file and no line of source.
//!
//! Writes `lexicons.rs`: an array of `(path below lexicons, text)`, ordered by path.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=lexicons");

    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("lexicons");
    let mut documents = Vec::new();
    list(&root, &mut documents)?;
    documents.sort();

    let mut source = String::from("[\n");
    for document in documents {
        let name = document.strip_prefix(&root)?;
        // The text and not its place: the checkout may be moved.
        let text = fs::read_to_string(&document)?;
        writeln!(source, "    ({name:?}, {text:?}),")?;
    }
    source.push_str("]\n");
    fs::write(Path::new(&variable("OUT_DIR")?).join("lexicons.rs"), source)?;
    Ok(())
}

fn list(directory: &Path, documents: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, documents)?;
        } else if path.extension().is_some_and(|extension| extension == "json") {
            documents.push(path);
        }
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "cargo talks to a build script in this way alone")]
fn variable(name: &str) -> Result<String, std::env::VarError> {
    std::env::var(name)
}
