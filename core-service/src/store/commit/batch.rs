//! One transaction of many jobs, each of which succeeds or fails by itself.
//!
//! Owns the order of the steps (see [`commit`](super)) and what each job adds to the counts of its account.
//! The statements of the jobs are in the modules beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use sea_orm::{DatabaseTransaction, DbErr};

use super::accounts::{Accounts, Counts};
use super::delete_secret::delete_secret;
use super::delete_webhook::delete_webhook;
use super::purge::purge;
use super::rotate_secret::rotate_secret;
use super::savepoint::in_savepoint;
use super::update_webhook::update_webhook;
use super::{Job, Limits, Queued, creations};
use crate::store::metrics::DatabaseMetrics;
use crate::store::sealer::Sealer;

/// What the jobs need beside the database.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) limits: Limits,
    pub(super) sealer: Arc<Sealer>,
    pub(super) metrics: Arc<DatabaseMetrics>,
}

/// Jobs that share a transaction.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) context: Arc<Context>,
    pub(super) jobs: Vec<Queued>,
}

impl Batch {
    /// Runs the jobs in `transaction` and decides their results, which hold once it is committed.
    ///
    /// # Errors
    ///
    /// A statement failed outside of the savepoints, or the database can't go on: nothing may be committed.
    pub(super) async fn write(&mut self, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
        let Self { context, jobs } = self;
        let mut accounts = Accounts::lock(transaction, &to_create(jobs)).await?;
        creations::insert(transaction, context.limits, &mut accounts, jobs).await?;
        for queued in jobs {
            let request = queued.request.clone();
            request.scope(change(transaction, context, &mut accounts, queued)).await?;
        }
        accounts.store(transaction).await
    }
}

/// The owners of `jobs`, and how many rows each wants to create.
fn to_create(jobs: &[Queued]) -> BTreeMap<&str, Counts> {
    let mut owners = BTreeMap::<&str, Counts>::new();
    for Queued { owner, job, .. } in jobs {
        let counts = owners.entry(owner.as_str()).or_default();
        counts.secrets += u32::from(matches!(job, Job::CreateSecret { .. }));
        counts.webhooks += u32::from(matches!(job, Job::CreateWebhook { .. }));
    }
    owners
}

/// Runs a job that creates nothing.
async fn change(
    transaction: &DatabaseTransaction,
    context: &Context,
    accounts: &mut Accounts,
    queued: &mut Queued,
) -> Result<(), DbErr> {
    let Context { limits: _, sealer, metrics } = context;
    let Queued { owner, job, .. } = queued;
    let counts = accounts.of_mut(owner.as_str());
    match job {
        // Already inserted by `creations::insert`.
        Job::CreateSecret { .. } | Job::CreateWebhook { .. } => {}
        Job::UpdateWebhook { update, reply } => {
            let work = async |savepoint: &_| update_webhook(savepoint, sealer, owner, update).await;
            reply.decide(in_savepoint(transaction, metrics, work).await?);
        }
        Job::DeleteWebhook { id, reply } => {
            let work = async |savepoint: &_| delete_webhook(savepoint, owner, *id).await;
            let deleted = in_savepoint(transaction, metrics, work).await?;
            if deleted.is_ok() {
                counts.webhooks = counts.webhooks.saturating_sub(1);
            }
            reply.decide(deleted);
        }
        Job::RotateSecret { rotation, reply } => {
            let work = async |savepoint: &_| rotate_secret(savepoint, owner, rotation).await;
            reply.decide(in_savepoint(transaction, metrics, work).await?);
        }
        Job::DeleteSecret { name, reply } => {
            let work = async |savepoint: &_| delete_secret(savepoint, owner, name).await;
            let deleted = in_savepoint(transaction, metrics, work).await?;
            if deleted.is_ok() {
                counts.secrets = counts.secrets.saturating_sub(1);
            }
            reply.decide(deleted);
        }
        Job::Purge { reply } => {
            let work = async |savepoint: &_| Ok(purge(savepoint, owner).await?);
            let purged = in_savepoint(transaction, metrics, work).await?;
            if purged.is_ok() {
                *counts = Counts::default();
            }
            reply.decide(purged);
        }
    }
    Ok(())
}
