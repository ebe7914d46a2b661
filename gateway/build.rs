//! Lists the documents in `lexicons` and the files in `site`, so that a new method or a new module of the
//! pages is a new file and no line of source.
//!
//! Writes `lexicons.rs`: an array of `(path below lexicons, text)`, ordered by path; and `assets.rs`: an
//! array of `(path below site, content, the same compressed by gzip)`.

use std::error::Error;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

/// The kinds of files that pages load.
const ASSETS: [&str; 3] = ["css", "js", "svg"];
/// Not part of the site.
const NOT_SERVED: [&str; 1] = ["node_modules"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=lexicons");
    println!("cargo:rerun-if-changed=site");

    let crate_folder = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    lexicons(&crate_folder.join("lexicons"), &out)?;
    assets(&crate_folder.join("site"), &out)
}

fn lexicons(root: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let mut source = String::from("[\n");
    for document in files(root, &["json"])? {
        let name = document.strip_prefix(root)?;
        // The text and not its place: the checkout may be moved.
        let text = fs::read_to_string(&document)?;
        writeln!(source, "    ({name:?}, {text:?}),")?;
    }
    source.push_str("]\n");
    fs::write(out.join("lexicons.rs"), source)?;
    Ok(())
}

fn assets(root: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    fs::copy(root.join("console.json"), out.join("console.json"))?;
    let served = files(root, &ASSETS)?.into_iter().filter(|file| !is_test(file));
    let mut source = String::from("[\n");
    for (number, file) in served.enumerate() {
        let name = file.strip_prefix(root)?;
        let content = fs::read(&file)?;
        let mut zipped = GzEncoder::new(Vec::new(), Compression::best());
        zipped.write_all(&content)?;
        fs::write(out.join(format!("asset-{number}")), content)?;
        fs::write(out.join(format!("asset-{number}.gz")), zipped.finish()?)?;
        let included =
            |end: &str| format!("include_bytes!(concat!(env!(\"OUT_DIR\"), \"/asset-{number}{end}\"))");
        writeln!(source, "    ({name:?}, {}, {}),", included(""), included(".gz"))?;
    }
    source.push_str("]\n");
    fs::write(out.join("assets.rs"), source)?;
    Ok(())
}

fn is_test(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name.to_string_lossy().ends_with(".test.js"))
}

/// The files below `folder` with one of these extensions, ordered by path.
fn files(folder: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut found = Vec::new();
    list(folder, extensions, &mut found)?;
    found.sort();
    Ok(found)
}

fn list(folder: &Path, extensions: &[&str], found: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_one_of = |part: Option<&OsStr>, names: &[&str]| {
            part.and_then(OsStr::to_str).is_some_and(|part| names.contains(&part))
        };
        if path.is_dir() {
            if !is_one_of(path.file_name(), &NOT_SERVED) {
                list(&path, extensions, found)?;
            }
        } else if is_one_of(path.extension(), extensions) {
            found.push(path);
        }
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "cargo talks to a build script in this way alone")]
fn variable(name: &str) -> Result<String, std::env::VarError> {
    std::env::var(name)
}
