//! Folders of DID documents, which come before the network.
//!
//! Owns the index of their `*.json` files by `id`. A file that is added is noticed by the next call of a
//! DID that is not in the index; one that is removed or rewritten in place within a second, by a call that
//! lists the folders. Files are read again only if the listing has changed.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;

use crate::auth::did::Did;
use crate::auth::document::{Document, MAX_DOCUMENT_BYTES};
use crate::auth::key::SigningKey;
use crate::auth::refusal::Refusal;

/// The least time between two listings of the folders, in milliseconds.
const LISTING_INTERVAL_MS: i64 = 1_000;

/// The most documents from all folders together; the log reports when more are ignored.
const MAX_DOCUMENTS: usize = 10_000;

type Index = HashMap<String, Result<SigningKey, Refusal>>;

/// The documents of the configured folders.
pub(super) struct Folders(Arc<Shared>);

struct Shared {
    folders: Vec<PathBuf>,
    index: ArcSwap<Index>,
    /// The files that the index was read from.
    listing: Mutex<Vec<Entry>>,
    /// The time of the last listing, in milliseconds since 1970.
    listed_ms: AtomicI64,
    /// The modification times of the folders that the index reflects: while they are the same, no file was
    /// added or removed.
    changed: ArcSwap<Vec<Option<SystemTime>>>,
}

/// A file; it counts as changed if any of these differs.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    path: PathBuf,
    modified: Option<SystemTime>,
    bytes: u64,
}

impl Folders {
    /// Reads the folders. The first folder with a DID wins.
    pub(super) fn open(folders: Vec<PathBuf>, now_ms: i64) -> Self {
        let shared = Shared {
            folders,
            index: ArcSwap::default(),
            listing: Mutex::default(),
            listed_ms: AtomicI64::new(now_ms),
            changed: ArcSwap::default(),
        };
        shared.read_again();
        Self(Arc::new(shared))
    }

    /// The key of a DID, if its document is in one of the folders.
    pub(super) async fn key(&self, did: &Did, now_ms: i64) -> Option<Result<SigningKey, Refusal>> {
        let Self(shared) = self;
        let known = shared.index.load().contains_key(did.as_str());
        if shared.is_due(now_ms) || (!known && shared.changes() != **shared.changed.load()) {
            let shared = Arc::clone(shared);
            let reading = tokio::task::spawn_blocking(move || shared.read_again());
            if let Err(error) = reading.await {
                tracing::error!(%error, "the DID document folders could not be read");
            }
        }
        shared.index.load().get(did.as_str()).cloned()
    }
}

impl Shared {
    /// Whether to list the folders again; true for one caller in each interval.
    fn is_due(&self, now_ms: i64) -> bool {
        let listed_ms = self.listed_ms.load(Ordering::Relaxed);
        !self.folders.is_empty()
            && now_ms.abs_diff(listed_ms) >= LISTING_INTERVAL_MS.unsigned_abs()
            && self
                .listed_ms
                .compare_exchange(listed_ms, now_ms, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Lists the folders, and reads the files if the listing has changed.
    fn read_again(&self) {
        let mut known = self.listing.lock().unwrap_or_else(PoisonError::into_inner);
        // Read before the listing, so that a file added later is noticed next time; stored after the index,
        // so that until then everybody else who misses a DID waits for the lock.
        let changed = self.changes();
        let listing = self.list(&known);
        if *known != listing {
            self.index.store(Arc::new(indexed(&listing)));
            *known = listing;
        }
        self.changed.store(Arc::new(changed));
    }

    fn changes(&self) -> Vec<Option<SystemTime>> {
        let changed = |folder: &PathBuf| fs::metadata(folder).and_then(|metadata| metadata.modified()).ok();
        self.folders.iter().map(changed).collect()
    }

    fn list(&self, known: &[Entry]) -> Vec<Entry> {
        let mut listing = Vec::new();
        for folder in &self.folders {
            let mut entries = match entries(folder) {
                Ok(entries) => entries,
                // That of `athook dev` is made later.
                Err(error)
                    if error.kind() == io::ErrorKind::NotFound
                        && !known.iter().any(|entry| entry.path.starts_with(folder)) =>
                {
                    continue;
                }
                Err(error) => {
                    tracing::warn!(path = %folder.display(), %error, "a folder of DID documents could not be listed");
                    continue;
                }
            };
            entries.sort();
            listing.append(&mut entries);
        }
        if listing.len() > MAX_DOCUMENTS {
            tracing::warn!(
                files = listing.len(),
                limit = MAX_DOCUMENTS,
                "too many DID documents: some are left out"
            );
            listing.truncate(MAX_DOCUMENTS);
        }
        listing
    }
}

/// Reads the files. The first one with a DID wins.
fn indexed(listing: &[Entry]) -> Index {
    let mut index = Index::new();
    for Entry { path, .. } in listing {
        match read(path) {
            Ok(document) => {
                let key = document.signing_key();
                index.entry(document.id).or_insert(key);
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a DID document was left out");
            }
        }
    }
    index
}

fn entries(folder: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        // Follows links, as Kubernetes mounts a ConfigMap with them. The file may have been removed
        // meanwhile.
        let Ok(metadata) = fs::metadata(&path) else {
            continue;
        };
        if metadata.is_file() {
            entries.push(Entry { path, modified: metadata.modified().ok(), bytes: metadata.len() });
        }
    }
    Ok(entries)
}

fn read(path: &Path) -> io::Result<Document> {
    let limit = u64::try_from(MAX_DOCUMENT_BYTES).unwrap_or(u64::MAX);
    let mut json = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut json)?;
    if json.len() > MAX_DOCUMENT_BYTES {
        return Err(io::Error::other("longer than 64 KiB"));
    }
    Document::parse(&json).ok_or_else(|| io::Error::other("not a DID document"))
}

#[cfg(test)]
mod tests;
