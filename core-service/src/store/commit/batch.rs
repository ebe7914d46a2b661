//! One transaction of many jobs, each of which succeeds or fails by itself.
//!
//! Owns the order of the steps (see [`commit`](super)) and what each job adds to the counts of its account.
//! The statements of the jobs are in the modules beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use sea_orm::{DatabaseTransaction, DbErr};

use super::accounts::{Accounts, Counts};
use super::cancelled::write_cancelled;
use super::delete_secret::delete_secret;
use super::delete_webhook::delete_webhook;
use super::end_leases::end_leases;
use super::expire::expire;
use super::pauses;
use super::publish::FannedOut;
use super::purge::{purge, purge_events};
use super::redeliver::{redeliver, redeliver_failed};
use super::rotate_secret::rotate_secret;
use super::savepoint::in_savepoint;
use super::send_test::send_test;
use super::update_webhook::update_webhook;
use super::{Job, Kind, Limits, Queued, claim, creations, event_batch, finish, intake, name, publish};
use crate::delivery::lease::Leased;
use crate::domain::did::Did;
use crate::store::metrics::DatabaseMetrics;

/// What the jobs need beside the database.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) limits: Limits,
    pub(super) metrics: Arc<DatabaseMetrics>,
    pub(super) deliveries: event_batch::Context,
}

/// Jobs of one kind, which share a transaction.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) context: Arc<Context>,
    pub(super) kind: Kind,
    pub(super) jobs: Vec<Queued>,
    /// The leases that the transaction takes. They hold once it is committed.
    pub(super) leased: Vec<Leased>,
    /// Whether it leaves something due.
    pub(super) wake: bool,
}

impl Batch {
    /// Runs the jobs in `transaction` and decides their results, which hold once it is committed.
    ///
    /// # Errors
    ///
    /// A statement failed outside of the savepoints, or the database can't go on: nothing may be committed.
    pub(super) async fn write(&mut self, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
        let Self { context, kind, jobs, leased, wake } = self;
        // Places of a try that failed are free again.
        leased.clear();
        match kind {
            Kind::Account => {
                let released = change_accounts(transaction, context, jobs).await?;
                *wake = released || jobs.iter().any(|queued| may_make_due(&queued.job));
            }
            Kind::Intake => {
                let fanned_out = take_in(transaction, &context.deliveries, jobs).await?;
                *wake = fanned_out.leaves_due;
                *leased = fanned_out.leased;
            }
            Kind::Finish => finish_all(transaction, &context.deliveries, jobs).await?,
            Kind::Name => name_all(transaction, &context.deliveries, jobs).await?,
            Kind::Claim => *leased = claim_all(transaction, &context.deliveries, jobs).await?,
            Kind::Pause => {
                *wake = true;
                pause_all(transaction, &context.deliveries, jobs).await?;
            }
            Kind::Upkeep => keep_up(transaction, &context.deliveries, jobs).await?,
            Kind::Publish => {
                let fanned_out = publish_all(transaction, &context.deliveries, jobs).await?;
                *wake = fanned_out.leaves_due;
                *leased = fanned_out.leased;
            }
        }
        Ok(())
    }
}

/// Whether something may be due after this job. With another secret, or a new token of it, deliveries go on
/// that waited for that.
fn may_make_due(job: &Job) -> bool {
    matches!(
        job,
        Job::RotateSecret { .. }
            | Job::UpdateWebhook { .. }
            | Job::Redeliver { .. }
            | Job::RedeliverFailed { .. }
            | Job::SendTest { .. }
    )
}

async fn change_accounts(
    transaction: &DatabaseTransaction,
    context: &Context,
    jobs: &mut [Queued],
) -> Result<bool, DbErr> {
    let mut accounts = Accounts::lock(transaction, &to_create(jobs)).await?;
    let now_ms = context.deliveries.clock.unix_ms();
    let released = creations::insert(transaction, context.limits, &mut accounts, jobs, now_ms).await?;
    for queued in jobs {
        let request = queued.request.clone();
        request.scope(change(transaction, context, &mut accounts, queued)).await?;
    }
    accounts.store(transaction).await?;
    Ok(released)
}

async fn finish_all(
    transaction: &DatabaseTransaction,
    context: &event_batch::Context,
    jobs: &mut [Queued],
) -> Result<(), DbErr> {
    let now = context.now(transaction).await?;
    let mut ended = Vec::new();
    for queued in &*jobs {
        if let Job::Finish { finished, .. } = &queued.job {
            ended.push(&**finished);
        }
    }
    finish::finish(transaction, context, now, &ended).await?;
    for queued in jobs {
        if let Job::Finish { reply, .. } = &mut queued.job {
            reply.decide(Ok(()));
        }
    }
    Ok(())
}

async fn name_all(
    transaction: &DatabaseTransaction,
    context: &event_batch::Context,
    jobs: &mut [Queued],
) -> Result<(), DbErr> {
    let now = context.now(transaction).await?;
    let mut namings = Vec::new();
    for queued in &*jobs {
        if let Job::Name { naming, .. } = &queued.job {
            namings.push(&**naming);
        }
    }
    let named = name::name(transaction, context, now, &namings).await?;
    for (queued, named) in jobs.iter_mut().zip(named) {
        if let Job::Name { reply, .. } = &mut queued.job {
            reply.decide(Ok(named));
        }
    }
    Ok(())
}

/// One claim serves all that wait for one.
async fn claim_all(
    transaction: &DatabaseTransaction,
    context: &event_batch::Context,
    jobs: &mut [Queued],
) -> Result<Vec<Leased>, DbErr> {
    let now = context.now(transaction).await?;
    let (leased, report) = claim::claim(transaction, context, now).await?;
    for queued in jobs {
        if let Job::Claim { reply } = &mut queued.job {
            reply.decide(Ok(report));
        }
    }
    Ok(leased)
}

async fn publish_all(
    transaction: &DatabaseTransaction,
    context: &event_batch::Context,
    jobs: &mut [Queued],
) -> Result<FannedOut, DbErr> {
    let now = context.now(transaction).await?;
    let mut publications = Vec::new();
    for queued in jobs {
        if let Job::Publish { publication, reply } = &mut queued.job {
            publications.push((&*publication, reply));
        }
    }
    publish::publish(transaction, context, now, &mut publications).await
}

async fn pause_all(
    transaction: &DatabaseTransaction,
    context: &event_batch::Context,
    jobs: &mut [Queued],
) -> Result<(), DbErr> {
    let now = context.now(transaction).await?;
    for queued in jobs {
        if let Job::Pause { what, paused, reply } = &mut queued.job {
            reply.decide(pauses::pause(transaction, context, now, what, *paused).await?);
        }
    }
    Ok(())
}

async fn take_in(
    transaction: &DatabaseTransaction,
    context: &event_batch::Context,
    jobs: &mut [Queued],
) -> Result<FannedOut, DbErr> {
    let now = context.now(transaction).await?;
    let mut all = FannedOut { leased: Vec::new(), leaves_due: false };
    for queued in jobs {
        match &mut queued.job {
            Job::TakeIntake { holder, starts, reply } => {
                reply.decide(Ok(intake::take(transaction, now, *holder, *starts).await?));
            }
            Job::GiveBackIntake { holder, reply } => {
                reply.decide(Ok(intake::give_back(transaction, *holder).await?));
            }
            Job::WriteIntake { batch, reply } => {
                let (written, fanned_out) = intake::write(transaction, context, now, batch).await?;
                reply.decide(Ok(written));
                all.leased.extend(fanned_out.leased);
                all.leaves_due |= fanned_out.leaves_due;
            }
            _ => {}
        }
    }
    Ok(all)
}

async fn keep_up(
    transaction: &DatabaseTransaction,
    context: &event_batch::Context,
    jobs: &mut [Queued],
) -> Result<(), DbErr> {
    let now = context.now(transaction).await?;
    for queued in jobs {
        match &mut queued.job {
            Job::EndLeases { reply } => reply.decide(Ok(end_leases(transaction, now).await?)),
            Job::WriteCancelled { reply } => reply.decide(Ok(write_cancelled(transaction, now).await?)),
            Job::PurgeEvents { owner, after, reply } => {
                reply.decide(Ok(purge_events(transaction, owner, *after).await?));
            }
            Job::ExpireIntake { reply } => reply.decide(Ok(intake::expire_intake(transaction, now).await?)),
            Job::Expire { retention, progress, reply } => {
                reply.decide(Ok(expire(transaction, now, *retention, *progress).await?));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whose rows a job of the kind [`Kind::Account`] touches.
fn owner_of(owner: &Option<Did>) -> &Did {
    owner.as_ref().expect("a job that changes an account has an owner")
}

/// The owners of `jobs`, and how many rows each wants to create.
fn to_create(jobs: &[Queued]) -> BTreeMap<&str, Counts> {
    let mut owners = BTreeMap::<&str, Counts>::new();
    for Queued { owner, job, .. } in jobs {
        let counts = owners.entry(owner_of(owner).as_str()).or_default();
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
    let Context { limits: _, metrics, deliveries } = context;
    let Queued { owner, job, trace, .. } = queued;
    let owner = owner_of(owner);
    let counts = accounts.of_mut(owner.as_str());
    match job {
        // Already inserted by `creations::insert`.
        Job::CreateSecret { .. } | Job::CreateWebhook { .. } => {}
        Job::Publish { .. }
        | Job::Pause { .. }
        | Job::Claim { .. }
        | Job::Finish { .. }
        | Job::Name { .. }
        | Job::EndLeases { .. }
        | Job::PurgeEvents { .. }
        | Job::Expire { .. }
        | Job::TakeIntake { .. }
        | Job::GiveBackIntake { .. }
        | Job::WriteIntake { .. }
        | Job::ExpireIntake { .. }
        | Job::WriteCancelled { .. } => {}
        Job::UpdateWebhook { update, reply } => {
            let work = async |savepoint: &_| update_webhook(savepoint, deliveries, owner, update).await;
            reply.decide(in_savepoint(transaction, metrics, work).await?);
        }
        Job::DeleteWebhook { id, reply } => {
            let now_ms = deliveries.clock.unix_ms();
            let work = async |savepoint: &_| delete_webhook(savepoint, owner, *id, now_ms).await;
            let deleted = in_savepoint(transaction, metrics, work).await?;
            if deleted.is_ok() {
                counts.webhooks = counts.webhooks.saturating_sub(1);
            }
            reply.decide(deleted);
        }
        Job::RotateSecret { rotation, reply } => {
            let now_ms = deliveries.now(transaction).await?.ms;
            let work = async |savepoint: &_| rotate_secret(savepoint, owner, rotation, now_ms).await;
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
        Job::Redeliver { id, reply } => {
            let now = deliveries.now(transaction).await?;
            let work = async |savepoint: &_| redeliver(savepoint, deliveries, now, owner, *id).await;
            reply.decide(in_savepoint(transaction, metrics, work).await?);
        }
        Job::RedeliverFailed { webhook, since_ms, reply } => {
            let now = deliveries.now(transaction).await?;
            let work = async |savepoint: &_| {
                redeliver_failed(savepoint, deliveries, now, owner, *webhook, *since_ms).await
            };
            reply.decide(in_savepoint(transaction, metrics, work).await?);
        }
        Job::SendTest { webhook, event_type, reply } => {
            let now = deliveries.now(transaction).await?;
            let work = async |savepoint: &_| {
                send_test(savepoint, deliveries, now, owner, *webhook, *event_type, trace).await
            };
            reply.decide(in_savepoint(transaction, metrics, work).await?);
        }
        Job::Purge { reply } => {
            let now_ms = deliveries.clock.unix_ms();
            let work = async |savepoint: &_| Ok(purge(savepoint, owner, now_ms).await?);
            let purged = in_savepoint(transaction, metrics, work).await?;
            if purged.is_ok() {
                *counts = Counts::default();
            }
            reply.decide(purged);
        }
    }
    Ok(())
}
