//! What the intake reads and writes. The statements of its transactions are in
//! [`commit::intake`](super::commit::intake).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sea_orm::sea_query::{Condition, ExprTrait as _};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _};
use uuid::Uuid;

use super::Store;
use super::commit::Job;
use super::row::EVENT_SEPARATOR;
use super::row_of_record::{ACTIVE, DELETED};
use super::table::{account, intake_sync, mirror, mirrored_owner, record_webhook, reference, webhook};
use crate::domain::did::Did;
use crate::domain::event_type::EventType;
use crate::error::Error;
use crate::intake::batch::{Batch, Holder, LeaseReport, RecordOf, Sync, Written};
use crate::intake::interests::WantedRecord;
use crate::intake::mirror::{ACCESS, MirrorKind};
use crate::intake::record::named_operation;
use crate::intake::scope::Scope;
use crate::intake::syncs::MAX_SYNCS;

/// All jobs of the intake go to one writer.
const KEY: &str = "intake";
/// Rows of a page.
const PAGE_ROWS: u64 = 10_000;
/// Records of one query for references.
const KEYS: usize = 100;

impl Store {
    /// Takes the right to read the network for `holder`, or renews it. `starts`: the process has just
    /// started.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub(crate) async fn take_intake(&self, holder: Uuid, starts: bool) -> Result<LeaseReport, Error> {
        self.commits.submit_of_engine(&KEY, |reply| Job::TakeIntake { holder, starts, reply }).await
    }

    /// Lets another process read at once.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub(crate) async fn give_back_intake(&self, holder: Holder) -> Result<(), Error> {
        self.commits.submit_of_engine(&KEY, |reply| Job::GiveBackIntake { holder, reply }).await
    }

    /// Writes what was read, all of it or nothing.
    ///
    /// # Errors
    ///
    /// The database fails: then nothing is written, or it is unknown. Writing the same once more changes
    /// nothing that was written.
    pub(crate) async fn write_intake(&self, batch: Arc<Batch>) -> Result<Written, Error> {
        self.commits.submit_of_engine(&KEY, |reply| Job::WriteIntake { batch, reply }).await
    }

    /// Removes what the intake no longer needs.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub(crate) async fn expire_intake(&self) -> Result<(), Error> {
        self.commits.submit_of_engine(&KEY, |reply| Job::ExpireIntake { reply }).await
    }

    /// Whose active webhooks want which events.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub(crate) async fn streamers(&self) -> Result<HashMap<Did, Vec<EventType>>, Error> {
        let reading = &self.database.reading;
        let rows = || {
            webhook::Entity::find()
                .select_only()
                .columns([webhook::Column::OwnerDid, webhook::Column::Events])
                .filter(webhook::Column::Active.eq(true))
                .distinct()
                .into_tuple::<(String, String)>()
                .all(reading)
        };
        let mut streamers: HashMap<Did, Vec<EventType>> = HashMap::new();
        for (owner, events) in self.database.read(rows).await? {
            let Ok(owner) = owner.parse() else { continue };
            let types = events.split(EVENT_SEPARATOR).filter_map(|name| name.parse::<EventType>().ok());
            streamers.entry(owner).or_default().extend(types);
        }
        Ok(streamers)
    }

    /// Who has a secret or a webhook, or is known by a wh record.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub(crate) async fn record_owners(&self) -> Result<Vec<Did>, Error> {
        let reading = &self.database.reading;
        let accounts = || {
            account::Entity::find()
                .select_only()
                .column(account::Column::Did)
                .into_tuple::<String>()
                .all(reading)
        };
        let owners = || {
            record_webhook::Entity::find()
                .select_only()
                .column(record_webhook::Column::OwnerDid)
                .filter(record_webhook::Column::State.ne(DELETED))
                .distinct()
                .into_tuple::<String>()
                .all(reading)
        };
        let mut all = self.database.read(accounts).await?;
        all.extend(self.database.read(owners).await?);
        all.sort_unstable();
        all.dedup();
        Ok(all.into_iter().filter_map(|did| did.parse().ok()).collect())
    }

    /// The wh records that are active. One whose row can't be read is left out.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub(crate) async fn wanted_records(&self) -> Result<Vec<WantedRecord>, Error> {
        let reading = &self.database.reading;
        let mut wanted = Vec::new();
        let mut after = Uuid::nil();
        loop {
            let page = || {
                record_webhook::Entity::find()
                    .filter(record_webhook::Column::State.eq(ACTIVE))
                    .filter(record_webhook::Column::Id.gt(after))
                    .order_by_asc(record_webhook::Column::Id)
                    .limit(PAGE_ROWS)
                    .all(reading)
            };
            let rows = self.database.read(page).await?;
            let Some(last) = rows.last() else { return Ok(wanted) };
            after = last.id;
            wanted.extend(rows.into_iter().filter_map(wanted_record));
        }
    }

    /// By streamer, whom the access rules of the chat name as verifiers.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub(crate) async fn verifiers(&self) -> Result<HashMap<Did, Vec<Did>>, Error> {
        let reading = &self.database.reading;
        let named = || {
            mirror::Entity::find()
                .select_only()
                .columns([mirror::Column::Did, mirror::Column::Subject])
                .filter(mirror::Column::Collection.eq(ACCESS))
                .filter(mirror::Column::Subject.is_not_null())
                .distinct()
                .into_tuple::<(String, String)>()
                .all(reading)
        };
        let mut verifiers: HashMap<Did, Vec<Did>> = HashMap::new();
        for (streamer, verifier) in self.database.read(named).await? {
            let (Ok(streamer), Ok(verifier)) = (streamer.parse(), verifier.parse()) else { continue };
            verifiers.entry(streamer).or_default().push(verifier);
        }
        Ok(verifiers)
    }

    /// Whose blocks, rules and verifications have been listed.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub(crate) async fn mirrored_owners(&self) -> Result<HashSet<(Did, MirrorKind)>, Error> {
        let reading = &self.database.reading;
        let listed = || mirrored_owner::Entity::find().all(reading);
        let rows = self.database.read(listed).await?;
        let kind = |row: mirrored_owner::Model| {
            Some((row.did.parse().ok()?, MirrorKind::of_collection(&row.collection)?))
        };
        Ok(rows.into_iter().filter_map(kind).collect())
    }

    /// The last revisions with which the stream sends whole repositories, the oldest first.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub(crate) async fn syncs(&self) -> Result<Vec<Sync>, Error> {
        let reading = &self.database.reading;
        let last = || {
            let newest_first = intake_sync::Entity::find().order_by_desc(intake_sync::Column::AtMs);
            newest_first.limit(MAX_SYNCS as u64).all(reading)
        };
        let rows = self.database.read(last).await?.into_iter().rev();
        Ok(rows.map(|intake_sync::Model { did, rev, at_ms: _ }| Sync { did, rev }).collect())
    }

    /// The wh records of `owner` that are active. One whose row can't be read is left out.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub(crate) async fn wanted_records_of(&self, owner: &Did) -> Result<Vec<WantedRecord>, Error> {
        let reading = &self.database.reading;
        let rows = || {
            record_webhook::Entity::find()
                .filter(record_webhook::Column::OwnerDid.eq(owner.as_str()))
                .filter(record_webhook::Column::State.eq(ACTIVE))
                .all(reading)
        };
        Ok(self.database.read(rows).await?.into_iter().filter_map(wanted_record).collect())
    }

    /// What these records refer to, as far as that is stored.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub(crate) async fn references_of(
        &self,
        records: &[RecordOf],
    ) -> Result<HashMap<RecordOf, Vec<String>>, Error> {
        let reading = &self.database.reading;
        let mut references: HashMap<RecordOf, Vec<String>> = HashMap::new();
        for some in records.chunks(KEYS) {
            let found = || {
                let mut any = Condition::any();
                for (did, collection, rkey) in some {
                    let of_did = reference::Column::Did.eq(did.as_str());
                    let of_collection = reference::Column::Collection.eq(collection.as_str());
                    any = any.add(of_did.and(of_collection).and(reference::Column::Rkey.eq(rkey.as_str())));
                }
                reference::Entity::find().filter(any).all(reading)
            };
            for row in self.database.read(found).await? {
                let reference::Model { did, collection, rkey, target, stored_at_ms: _ } = row;
                references.entry((did, collection, rkey)).or_default().push(target);
            }
        }
        Ok(references)
    }
}

fn wanted_record(row: record_webhook::Model) -> Option<WantedRecord> {
    let scope = Scope::parse(row.scope.as_deref()?, row.backlinks)?;
    let events = row.events.split(EVENT_SEPARATOR).filter_map(named_operation).collect();
    Some(WantedRecord { id: row.id, owner: row.owner_did.parse().ok()?, rkey: row.rkey, scope, events })
}
