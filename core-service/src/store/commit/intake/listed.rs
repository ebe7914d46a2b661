//! The wh records of an owner as they were listed at the PDS, compared with what is stored.
//!
//! Whatever the stream said since the listing began wins: its revisions are greater than the one that the
//! repository had then. Rows that are not in the list go only if it is complete.

use std::collections::HashSet;

use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _, QuerySelect as _,
};

use super::accounts::deleted_us;
use super::records::Wins;
use super::{Writing, stream_time_us};
use crate::intake::batch::{Found, ListedRecords, RecordChange};
use crate::store::row_of_record::DELETED;
use crate::store::table::record_webhook;

impl Writing<'_> {
    pub(super) async fn listed(
        &mut self,
        transaction: &DatabaseTransaction,
        listed: &ListedRecords,
    ) -> Result<(), DbErr> {
        let ListedRecords { owner, rev, records, all } = listed;
        // What a deleted account had is gone, though its host may still have it.
        if !self.counts(transaction, owner).await? || deleted_us(transaction, owner).await?.is_some() {
            return Ok(());
        }
        let time_us = stream_time_us(transaction).await?;
        let change = |rkey: &str, found: &Found| RecordChange {
            owner: owner.clone(),
            rkey: rkey.to_owned(),
            rev: rev.clone(),
            time_us,
            found: found.clone(),
        };
        for (rkey, found) in records {
            self.record(transaction, &change(rkey, found), Wins::LaterOrSame).await?;
        }
        let Some(all) = all else { return Ok(()) };
        let there: HashSet<&str> = all.iter().map(String::as_str).collect();
        let stored: Vec<String> = record_webhook::Entity::find()
            .select_only()
            .column(record_webhook::Column::Rkey)
            .filter(record_webhook::Column::OwnerDid.eq(owner.as_str()))
            .filter(record_webhook::Column::State.ne(DELETED))
            .into_tuple()
            .all(transaction)
            .await?;
        for rkey in stored.iter().filter(|rkey| !there.contains(rkey.as_str())) {
            self.record(transaction, &change(rkey, &Found::Deleted), Wins::LaterOrSame).await?;
        }
        Ok(())
    }
}
