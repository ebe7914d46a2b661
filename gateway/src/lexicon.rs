//! Lexicon documents: the inputs, outputs and errors of XRPC methods.
//!
//! Reads the documents, embedded or from a folder, and refuses what is no lexicon
//! (<https://atproto.com/specs/lexicon>). The parser knows the whole language. Types that this gateway does
//! not support are kept by name, and [`crate::binding`] refuses methods that use them. Knows no proto, no
//! HTTP and no values.

mod node;
mod parse;
pub(crate) mod schema;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::lexicon::schema::{Definition, Document, Reference};

/// The documents in `gateway/lexicons`: relative path and text.
const EMBEDDED: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/lexicons.rs"));

/// The largest document that is read from a folder, in bytes. The largest published ones have 60 KiB.
const MAX_DOCUMENT_BYTES: u64 = 1 << 20;

/// How deep folders are searched, in levels.
const MAX_FOLDER_DEPTH: usize = 16;

/// A set of well-formed lexicon documents with unique `id`s.
///
/// [`crate::binding::bind`] checks the references between them, as far as methods use them.
#[derive(Debug)]
pub struct Lexicons {
    documents: BTreeMap<String, Document>,
}

impl Lexicons {
    /// The embedded documents.
    ///
    /// # Errors
    ///
    /// A document is malformed: a fault of the build that tests find.
    pub fn embedded() -> Result<Self, LexiconErrors> {
        Self::from_texts(EMBEDDED.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())))
    }

    /// All `*.json` files in `folder` and its subfolders, each of up to 1 MiB.
    ///
    /// Names that begin with a dot and symbolic links to folders are skipped, because a mounted Kubernetes
    /// ConfigMap has a second copy of each file there.
    ///
    /// # Errors
    ///
    /// All files that can't be read, are no lexicon, or have the same `id` as another file.
    pub fn from_dir(folder: &Path) -> Result<Self, LexiconErrors> {
        let mut problems = Vec::new();
        let mut files = Vec::new();
        list(folder, MAX_FOLDER_DEPTH, &mut files, &mut problems);
        files.sort();

        let mut texts = Vec::new();
        for file in files {
            match read(&file) {
                Ok(text) => texts.push((file.display().to_string(), text)),
                Err(problem) => problems.push(format!("{}: {problem}", file.display())),
            }
        }
        match Self::from_texts(texts) {
            Ok(lexicons) if problems.is_empty() => Ok(lexicons),
            Ok(_) => Err(LexiconErrors { problems }),
            Err(errors) => {
                problems.extend(errors.problems);
                Err(LexiconErrors { problems })
            }
        }
    }

    /// Documents from pairs of a name, for error messages, and a text.
    pub(crate) fn from_texts(
        texts: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, LexiconErrors> {
        let mut documents: BTreeMap<String, Document> = BTreeMap::new();
        let mut problems = Vec::new();
        for (name, text) in texts {
            match parse::document(&text) {
                Ok(document) if documents.contains_key(&document.id) => {
                    problems.push(format!("{name}: id: another document has it too: {}", document.id));
                }
                Ok(document) => {
                    documents.insert(document.id.clone(), document);
                }
                Err(malformed) => problems.push(format!("{name}: {malformed}")),
            }
        }
        if problems.is_empty() { Ok(Self { documents }) } else { Err(LexiconErrors { problems }) }
    }

    /// The documents, ordered by `id`.
    pub(crate) fn documents(&self) -> impl Iterator<Item = &Document> {
        self.documents.values()
    }

    /// The definition that `reference` names.
    pub(crate) fn resolve(&self, reference: &Reference) -> Option<&Definition> {
        self.documents.get(&reference.document)?.definitions.get(&reference.definition)
    }
}

/// All problems of a set of documents, one line each: document, location, problem.
#[derive(Debug)]
pub struct LexiconErrors {
    problems: Vec<String>,
}

impl fmt::Display for LexiconErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n"))
    }
}

impl std::error::Error for LexiconErrors {}

fn list(folder: &Path, depth: usize, files: &mut Vec<PathBuf>, problems: &mut Vec<String>) {
    if let Err(error) = try_list(folder, depth, files, problems) {
        problems.push(format!("{}: {error}", folder.display()));
    }
}

fn try_list(
    folder: &Path,
    depth: usize,
    files: &mut Vec<PathBuf>,
    problems: &mut Vec<String>,
) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if entry.file_type()?.is_dir() {
            match depth.checked_sub(1) {
                Some(depth) => list(&path, depth, files, problems),
                None => problems.push(format!(
                    "{}: more than {MAX_FOLDER_DEPTH} folders within each other",
                    path.display()
                )),
            }
        } else if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    Ok(())
}

fn read(file: &Path) -> Result<String, String> {
    let size = fs::metadata(file).map_err(|error| error.to_string())?.len();
    if size > MAX_DOCUMENT_BYTES {
        return Err(format!("longer than {MAX_DOCUMENT_BYTES} bytes"));
    }
    fs::read_to_string(file).map_err(|error| error.to_string())
}
