//! What a URL asks for, and the log's answer to it. As the hosts do it, refusals included.

use std::collections::BTreeSet;

use super::Wire;
use super::item::Item;

/// From here on a cursor is a time in microseconds since 1970.
const SEQUENCES_END: i64 = 1_000_000_000_000_000;
/// What the proxies in front of hosts take, in bytes.
const LONGEST_URL: usize = 8_192;

/// A refusal before the upgrade: status, the error's name.
pub(super) type Refusal = (u16, &'static str);

/// What a client asks for.
#[derive(Debug, Clone, Default)]
pub(super) struct Query {
    pub(super) cursor: Option<i64>,
    pub(super) dictionary: Option<u32>,
    pub(super) filter: Filter,
}

/// Which items a client wants. Empty: all.
#[derive(Debug, Clone, Default)]
pub(super) struct Filter {
    pub(super) collections: BTreeSet<String>,
    pub(super) dids: BTreeSet<String>,
    pub(super) kinds: BTreeSet<String>,
}

impl Query {
    pub(super) fn parse(wire: Wire, path_and_query: &str) -> Result<Self, Refusal> {
        const INVALID: Refusal = (400, "InvalidRequest");
        if path_and_query.len() > LONGEST_URL {
            return Err(INVALID);
        }
        let (_, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let mut read = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = value.into_owned();
            match (wire, &*name) {
                (_, "cursor") => {
                    let cursor = value.parse().ok().filter(|cursor: &i64| *cursor >= 0);
                    read.cursor = Some(cursor.ok_or(INVALID)?);
                }
                (Wire::V1, "wantedCollections") | (Wire::V2, "collections") => {
                    read.filter.collections.insert(value);
                }
                (Wire::V1, "wantedDids") | (Wire::V2, "dids") => {
                    read.filter.dids.insert(value);
                }
                (Wire::V2, "kinds") => {
                    if !["commit", "identity", "account", "sync"].contains(&&*value) {
                        return Err(INVALID);
                    }
                    read.filter.kinds.insert(value);
                }
                (Wire::V2, "zstdDictionary") => read.dictionary = Some(value.parse().map_err(|_| INVALID)?),
                (Wire::V2, "wantedCollections" | "wantedDids" | "compress") => return Err(INVALID),
                (_, _) => {}
            }
        }
        read.filter.check()?;
        let excludes_commits = !read.filter.kinds.is_empty() && !read.filter.kinds.contains("commit");
        if excludes_commits && !read.filter.collections.is_empty() {
            return Err(INVALID);
        }
        Ok(read)
    }
}

impl Filter {
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let is_broken = |collection: &String| {
            let stem = collection.strip_suffix(".*").unwrap_or(collection);
            stem.is_empty() || stem.contains('*')
        };
        let is_too_much = self.collections.len() > 100 || self.dids.len() > 10_000;
        if is_too_much || self.collections.iter().any(is_broken) {
            return Err((400, "InvalidRequest"));
        }
        Ok(())
    }

    pub(super) fn wants(&self, item: &Item) -> bool {
        let Some(kind) = item.kind() else { return true };
        let is_of_kind = self.kinds.is_empty() || self.kinds.contains(kind);
        let is_of_did = self.dids.is_empty() || self.dids.contains(&item.did);
        let is_of_collection = item.collection().is_none_or(|collection| {
            self.collections.is_empty() || self.collections.iter().any(|wanted| matches(wanted, collection))
        });
        is_of_kind && is_of_did && is_of_collection
    }
}

fn matches(wanted: &str, collection: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(prefix) => collection.starts_with(prefix),
        None => wanted == collection,
    }
}

/// Where to begin in a log of `(seq, time_us)`, of which what lies before `floor` is not kept any more.
/// With it the name of the `#info` to send first.
pub(super) fn begin(
    wire: Wire,
    cursor: Option<i64>,
    log: &[(i64, i64)],
    floor: usize,
    now_us: i64,
) -> Result<(usize, Option<&'static str>), Refusal> {
    let live = Ok((log.len(), None));
    let Some(cursor) = cursor else { return live };
    if cursor < SEQUENCES_END {
        let next = log.last().map_or(0, |(seq, _)| seq + 1);
        if cursor >= next {
            return live;
        }
        let at = log.partition_point(|(seq, _)| *seq < cursor);
        return match wire {
            Wire::V2 if at < floor => Err((400, "CursorTooOld")),
            Wire::V1 | Wire::V2 => Ok((at.max(floor), None)),
        };
    }
    if cursor > now_us {
        return live;
    }
    let at = log.iter().position(|(_, time_us)| *time_us >= cursor).unwrap_or(log.len());
    let info = (wire == Wire::V2 && at < floor).then_some("OutdatedCursor");
    Ok((at.max(floor), info))
}
