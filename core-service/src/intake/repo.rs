//! What hosts have now, beside the stream: the records of a collection in a repository, the revision of a
//! repository, and which repositories have a collection at all.
//!
//! Owns the bounds of such a reading and what is taken of an answer: nothing of it is trusted. A listing
//! ends with `None` only when the host said that there is no more; whatever else ends it is an error, so that
//! a caller never takes a part for the whole.

use std::collections::HashSet;
use std::time::Duration;

use egress::client::Egress;
use egress::policy::Policy;
use serde::Deserialize;
use serde_json::value::RawValue;
use shrike::syntax::{RecordKey, Tid};
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::domain::did::Did;
use crate::xrpc_host::{QueryError, XrpcHost};

/// How long a host may take for one page.
const PAGE_LIMIT: Duration = Duration::from_secs(10);
/// A page, in bytes.
const MAX_PAGE_BYTES: usize = 512 * 1024;
/// Records that are asked for at once: what the lexicon allows.
const RECORDS_OF_A_PAGE: usize = 100;
/// Repositories that are asked for at once: what the lexicon allows.
const REPOS_OF_A_PAGE: usize = 2_000;
/// Pages of a relay's list of repositories.
const MAX_REPO_PAGES: usize = 250;
/// A cursor of a host, in bytes.
const MAX_CURSOR_BYTES: usize = 4 * 1024;
/// The answer with a revision, in bytes.
const MAX_COMMIT_BYTES: usize = 16 * 1024;

/// How much of a collection is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Full pages.
    pub(crate) pages: usize,
    /// All pages together, in bytes.
    pub(crate) bytes: usize,
    /// All pages together.
    pub(crate) time: Duration,
}

/// The `place.wisp.v2.wh` records of an owner.
pub(crate) const MAX_WEBHOOK_RECORDS: Bounds =
    Bounds { pages: 10, bytes: 10 * 1024 * 1024, time: Duration::from_secs(60) };
/// The blocks or access rules of a streamer.
pub(crate) const MAX_MIRRORED_RECORDS: Bounds =
    Bounds { pages: 500, bytes: 64 * 1024 * 1024, time: Duration::from_secs(600) };

/// A record as a PDS lists it.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) rkey: String,
    /// It may be nested deeper than a JSON parser goes.
    pub(crate) record: Box<RawValue>,
}

/// Why a listing has no more pages although the host has not ended it, or why there is no revision.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RepoError {
    /// There is no answer, or it is a refusal.
    #[error("the host was not read")]
    Query(#[from] QueryError),
    /// It is not what the lexicon says.
    #[error("the answer does not fit its lexicon")]
    Malformed,
    /// A record of another repository or collection, or with a key that is none.
    #[error("the answer has a record of somebody else")]
    Foreign,
    /// A cursor that was there before, or is too long.
    #[error("the host repeats a cursor or has one that is too long")]
    Cursor,
    /// There is more than the bounds allow.
    #[error("there is more than is read")]
    TooMuch,
    /// All pages together take too long.
    #[error("the host takes too long")]
    TimedOut,
}

/// Reads page by page.
struct Pages<'a> {
    egress: &'a Egress,
    host: &'a XrpcHost,
    nsid: &'static str,
    parameters: Vec<(&'static str, String)>,
    /// Entries of all pages together, at most.
    entries_left: usize,
    bytes_left: usize,
    pages_left: usize,
    deadline: Instant,
    cursor: Option<String>,
    /// Of the cursors so far.
    seen: HashSet<String>,
    ended: bool,
}

/// A page and what a cursor of it means.
trait Page: for<'de> Deserialize<'de> {
    fn entries(&self) -> usize;
    fn cursor(&mut self) -> Option<String>;
}

impl Pages<'_> {
    async fn next<P: Page>(&mut self) -> Result<Option<P>, RepoError> {
        if self.ended {
            return Ok(None);
        }
        // A failure ends it too.
        self.ended = true;
        self.pages_left = self.pages_left.checked_sub(1).ok_or(RepoError::TooMuch)?;
        let mut parameters: Vec<_> =
            self.parameters.iter().map(|(name, text)| (*name, text.as_str())).collect();
        parameters.extend(self.cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let getting = self.host.get(self.egress, self.nsid, &parameters, PAGE_LIMIT, MAX_PAGE_BYTES);
        let body = timeout_at(self.deadline, getting).await.map_err(|_| RepoError::TimedOut)??;
        self.bytes_left = self.bytes_left.checked_sub(body.len()).ok_or(RepoError::TooMuch)?;
        let mut page: P = serde_json::from_slice(&body).map_err(|_| RepoError::Malformed)?;
        self.entries_left = self.entries_left.checked_sub(page.entries()).ok_or(RepoError::TooMuch)?;
        if let Some(cursor) = page.cursor().filter(|cursor| !cursor.is_empty()) {
            if cursor.len() > MAX_CURSOR_BYTES || !self.seen.insert(cursor.clone()) {
                return Err(RepoError::Cursor);
            }
            self.cursor = Some(cursor);
            self.ended = false;
        }
        Ok(Some(page))
    }
}

/// Lists the records of a collection.
pub(crate) struct Records<'a> {
    pages: Pages<'a>,
    /// `at://DID/COLLECTION/`.
    prefix: String,
}

#[derive(Deserialize)]
struct RecordsPage {
    records: Vec<RawListed>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct RawListed {
    uri: String,
    value: Box<RawValue>,
}

impl Page for RecordsPage {
    fn entries(&self) -> usize {
        self.records.len()
    }

    fn cursor(&mut self) -> Option<String> {
        self.cursor.take()
    }
}

impl<'a> Records<'a> {
    /// The records of `collection` in the repository of `did`, at its PDS, within `bounds`. `egress` has the
    /// egress rules.
    pub(crate) fn of(
        egress: &'a Egress,
        pds: &'a XrpcHost,
        did: &Did,
        collection: &str,
        bounds: Bounds,
    ) -> Self {
        let parameters = vec![
            ("repo", did.as_str().to_owned()),
            ("collection", collection.to_owned()),
            ("limit", RECORDS_OF_A_PAGE.to_string()),
        ];
        let Bounds { pages, bytes, time } = bounds;
        let pages = Pages {
            egress,
            host: pds,
            nsid: "com.atproto.repo.listRecords",
            parameters,
            entries_left: pages * RECORDS_OF_A_PAGE,
            bytes_left: bytes,
            // A PDS gives a cursor with the last record too: an empty page follows.
            pages_left: pages + 1,
            deadline: Instant::now() + time,
            cursor: None,
            seen: HashSet::new(),
            ended: false,
        };
        Self { pages, prefix: format!("at://{did}/{collection}/") }
    }

    /// The next page, which may be empty. `None`: there are no more records.
    ///
    /// # Errors
    ///
    /// The listing is not whole; there is no next page.
    pub(crate) async fn next_page(&mut self) -> Result<Option<Vec<Listed>>, RepoError> {
        let Some(page) = self.pages.next::<RecordsPage>().await? else { return Ok(None) };
        let mut listed = Vec::with_capacity(page.records.len());
        for RawListed { uri, value } in page.records {
            let rkey = uri.strip_prefix(&self.prefix).filter(|rkey| RecordKey::try_from(*rkey).is_ok());
            let Some(rkey) = rkey else {
                self.pages.ended = true;
                return Err(RepoError::Foreign);
            };
            listed.push(Listed { rkey: rkey.to_owned(), record: value });
        }
        Ok(Some(listed))
    }
}

/// Lists the repositories that have records of a collection, as a relay knows them.
pub(crate) struct Relay {
    egress: Egress,
    host: XrpcHost,
}

/// A listing of a relay.
pub(crate) struct Repos<'a>(Pages<'a>);

#[derive(Deserialize)]
struct ReposPage {
    repos: Vec<RawRepo>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct RawRepo {
    did: String,
}

impl Page for ReposPage {
    fn entries(&self) -> usize {
        self.repos.len()
    }

    fn cursor(&mut self) -> Option<String> {
        self.cursor.take()
    }
}

impl Relay {
    /// The relay at `url`, which the operator names: it may be anywhere.
    pub(crate) fn new(url: Url, egress: &Egress) -> Self {
        Self { egress: egress.with_policy(Policy::unrestricted()), host: XrpcHost::of_operator(url) }
    }

    /// The repositories with records of `collection`, within `time`.
    pub(crate) fn with_collection(&self, collection: &str, time: Duration) -> Repos<'_> {
        Repos(Pages {
            egress: &self.egress,
            host: &self.host,
            nsid: "com.atproto.sync.listReposByCollection",
            parameters: vec![("collection", collection.to_owned()), ("limit", REPOS_OF_A_PAGE.to_string())],
            entries_left: MAX_REPO_PAGES * REPOS_OF_A_PAGE,
            bytes_left: MAX_REPO_PAGES * MAX_PAGE_BYTES,
            pages_left: MAX_REPO_PAGES + 1,
            deadline: Instant::now() + time,
            cursor: None,
            seen: HashSet::new(),
            ended: false,
        })
    }
}

impl Repos<'_> {
    /// The next page, which may be empty; what is no DID of atproto is left out. `None`: there are no more.
    ///
    /// # Errors
    ///
    /// The listing is not whole; there is no next page.
    pub(crate) async fn next_page(&mut self) -> Result<Option<Vec<Did>>, RepoError> {
        let Some(page) = self.0.next::<ReposPage>().await? else { return Ok(None) };
        Ok(Some(page.repos.iter().filter_map(|repo| Did::of_event("did", &repo.did).ok()).collect()))
    }
}

/// The revision of the repository of `did`, at its PDS.
///
/// # Errors
///
/// The host refuses it, or its answer has no revision.
pub(crate) async fn latest_rev(egress: &Egress, pds: &XrpcHost, did: &Did) -> Result<Tid, RepoError> {
    #[derive(Deserialize)]
    struct Commit {
        rev: String,
    }
    let parameters = [("did", did.as_str())];
    let body = pds
        .get(egress, "com.atproto.sync.getLatestCommit", &parameters, PAGE_LIMIT, MAX_COMMIT_BYTES)
        .await?;
    let Commit { rev } = serde_json::from_slice(&body).map_err(|_| RepoError::Malformed)?;
    Tid::try_from(rev.as_str()).map_err(|_| RepoError::Malformed)
}

#[cfg(test)]
mod tests;
