//! Every write of a call: a closed set of jobs, a queue, and transactions that the jobs share.
//!
//! Owns the jobs, their queue, and the result of each. Connections are [`database`](super::database)'s, and
//! retries of a transaction are [`transaction`](super::transaction)'s.
//!
//! # Shared commits
//!
//! A call puts a [`Job`] into the queue and waits. A writer task takes the jobs that wait, runs them in one
//! transaction, and answers each of them after the commit. A job that comes alone is written at once; the
//! jobs that come during a commit share the next one, up to 256 of them, of which 32 may be other than
//! creations. SQLite has one writer, because it has one connection that writes. Postgres has two: while one
//! waits for its commit, the other fills its transaction. All jobs of an owner go to the same writer, so the
//! writers of a process never wait for each other's locks.
//!
//! One transaction ([`batch`]):
//!
//! 1. Insert or update the account row of each owner, in the order of their DIDs, adding the rows that are to
//!    be created to its counts. That locks the accounts, in an order that all processes share, and returns
//!    the counts. Whatever touches the rows of an owner holds this lock.
//! 2. Insert the new secrets with `ON CONFLICT DO NOTHING`. If fewer rows were written than offered, ask
//!    which: the others exist already. Of the written ones, the first stay, up to the limit of their owner;
//!    the rest is deleted again ([`admission`]).
//! 3. The same for the new webhooks, after a look at which of the secrets they name exist.
//! 4. Run the other jobs in the order of their arrival, each in a savepoint, so that one that is refused or
//!    fails takes back its own changes alone.
//! 5. Correct the counts that are not what step 1 stored, and delete the account rows of owners who have
//!    nothing. So a refused creation, or a change by somebody who has nothing, leaves no account behind.
//!
//! Creations therefore go before the other jobs of their batch. No client can tell: its calls were under way
//! at the same time. "Exists" goes before "over the limit", and both are exact with any number of processes
//! on one database.
//!
//! When something fails ([`fault`](super::fault)):
//!
//! | what happened | what the writer does |
//! | --- | --- |
//! | conflict, deadlock | the database undid it: the batch again, 5 tries in all |
//! | the connection was lost before the commit | the batch again on another connection, 3 tries in all |
//! | the connection is read-only | the same, once: a failover may have moved the server |
//! | a statement of a job in its savepoint failed | that job gets `Internal`, the others go on |
//! | another statement failed, before the commit | the jobs one by one; the bad one gets `Internal` |
//! | the commit itself failed, or 7 s passed | `Unavailable`: it may be stored, unless the session was ended instead |
//! | database locked, full, read-only, starting | `Unavailable` |
//! | a file of SQLite was removed or replaced | `Unavailable`, also if that is noticed after the commit |
//!
//! At most 1,024 jobs of calls wait for a writer; more get `Overloaded`. The engine's wait in a queue of
//! their own, so that outcomes never crowd out calls. A job whose caller has gone is dropped before it is
//! begun. A batch runs in a task of its own, so a panic costs that batch and not the writer.
//!
//! # A new job
//!
//! A variant of [`Job`] with the type of its answer, a file of its own below this module with its statements,
//! and an arm in [`batch`]; the compiler asks for the rest.

mod accounts;
mod admission;
mod batch;
mod cancelled;
mod claim;
mod creations;
mod delete_secret;
mod delete_webhook;
pub(super) mod end_leases;
pub(crate) mod event_batch;
pub(crate) mod expire;
mod fan_out;
mod finish;
pub(super) mod holds;
pub(super) mod intake;
#[cfg(test)]
mod lease_model;
mod leases;
mod locks;
mod name;
mod paused_origins;
pub(super) mod pauses;
pub(super) mod publish;
pub(crate) mod purge;
pub(super) mod queue;
mod redeliver;
mod reply;
pub(crate) mod requeue;
pub(super) mod rotate_secret;
mod savepoint;
mod send_test;
pub(super) mod states;
mod targets;
pub(super) mod update_webhook;
mod waiting;
mod writer;

use std::sync::Arc;

use process::traces::TraceContext;
use uuid::Uuid;

use self::expire::{Expired, Progress, Retention};
use self::pauses::Paused;
use self::publish::Publication;
use self::purge::{Purged, PurgedBatch};
use self::reply::{AnyReply, Reply};
use self::rotate_secret::SecretRotation;
use self::update_webhook::WebhookUpdate;
use super::table::{secret, webhook};
use crate::delivery::finished::Finished;
use crate::delivery::lease::{ClaimReport, Named};
use crate::delivery::naming::Naming;
use crate::delivery::publication::Published;
use crate::delivery::shown::ShownDelivery;
use crate::domain::did::Did;
use crate::domain::event_type::EventType;
use crate::domain::rule::Rule;
use crate::domain::secret::SecretName;
use crate::domain::webhook::Webhook;
use crate::error::Error;
use crate::intake::batch::{Batch, Holder, LeaseReport, Written};
use crate::request_id::RequestId;

/// Rows of one INSERT; more rows take more statements. So there are few different texts, and a connection
/// keeps them prepared.
const STATEMENT_ROWS: usize = 32;

/// How many rows one owner may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// `--max-secrets`.
    pub(crate) secrets: u32,
    /// `--max-webhooks`.
    pub(crate) webhooks: u32,
}

/// What one call writes, and where its answer goes.
#[derive(Debug)]
pub(super) enum Job {
    CreateSecret {
        row: secret::Model,
        reply: Reply<()>,
    },
    CreateWebhook {
        row: Box<webhook::Model>,
        reply: Reply<()>,
    },
    UpdateWebhook {
        update: Box<WebhookUpdate>,
        reply: Reply<Box<Webhook>>,
    },
    DeleteWebhook {
        id: Uuid,
        reply: Reply<()>,
    },
    RotateSecret {
        rotation: SecretRotation,
        reply: Reply<()>,
    },
    DeleteSecret {
        name: SecretName,
        reply: Reply<()>,
    },
    /// What an owner has configured.
    Purge {
        reply: Reply<Purged>,
    },
    /// Some of the events of `owner` after the event `after`, with their deliveries.
    PurgeEvents {
        owner: Did,
        after: Uuid,
        reply: Reply<PurgedBatch>,
    },
    Redeliver {
        id: Uuid,
        reply: Reply<Box<ShownDelivery>>,
    },
    /// Answered with how many.
    RedeliverFailed {
        webhook: Uuid,
        since_ms: i64,
        reply: Reply<u32>,
    },
    /// Answered with the delivery's id.
    SendTest {
        webhook: Uuid,
        event_type: Option<EventType>,
        reply: Reply<Uuid>,
    },
    /// Answered with how many webhooks.
    Pause {
        what: Paused,
        paused: bool,
        reply: Reply<u64>,
    },
    Publish {
        publication: Publication,
        reply: Reply<Vec<Published>>,
    },
    Claim {
        reply: Reply<ClaimReport>,
    },
    Finish {
        finished: Box<Finished>,
        reply: Reply<()>,
    },
    /// Answered with what is sent; `None`: nothing.
    Name {
        naming: Box<Naming>,
        reply: Reply<Option<Named>>,
    },
    EndLeases {
        reply: Reply<()>,
    },
    /// Answered with whether there may be more to do.
    WriteCancelled {
        reply: Reply<bool>,
    },
    Expire {
        retention: Retention,
        progress: Progress,
        reply: Reply<Expired>,
    },
    /// Takes the right to read the network, or renews it.
    TakeIntake {
        holder: Uuid,
        /// The process has just started.
        starts: bool,
        reply: Reply<LeaseReport>,
    },
    GiveBackIntake {
        holder: Holder,
        reply: Reply<()>,
    },
    WriteIntake {
        batch: Arc<Batch>,
        reply: Reply<Written>,
    },
    ExpireIntake {
        reply: Reply<()>,
    },
}

/// Jobs of one kind share a transaction; each kind has an order of locks of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// What the stream says goes before all others: the next batch waits for it.
    Intake,
    /// Changes of what an owner has.
    Account,
    Finish,
    Name,
    Claim,
    Publish,
    /// What an operator pauses: a transaction of its own, as it locks a table.
    Pause,
    /// What can wait.
    Upkeep,
}

/// A job on its way through a queue and a batch.
#[derive(Debug)]
struct Queued {
    /// Whose rows a job of the kind [`Kind::Account`] touches.
    owner: Option<Did>,
    job: Job,
    /// The request of the call, for the log.
    request: RequestId,
    /// The span of the job.
    trace: TraceContext,
}

impl Job {
    /// The reply of a job that creates a row; `None` for the other jobs.
    fn creation(&self) -> Option<&Reply<()>> {
        match self {
            Self::CreateSecret { reply, .. } | Self::CreateWebhook { reply, .. } => Some(reply),
            Self::UpdateWebhook { .. }
            | Self::DeleteWebhook { .. }
            | Self::RotateSecret { .. }
            | Self::DeleteSecret { .. }
            | Self::Purge { .. }
            | Self::Redeliver { .. }
            | Self::RedeliverFailed { .. }
            | Self::SendTest { .. }
            | Self::Pause { .. }
            | Self::Publish { .. }
            | Self::Claim { .. }
            | Self::Finish { .. }
            | Self::Name { .. }
            | Self::EndLeases { .. }
            | Self::PurgeEvents { .. }
            | Self::Expire { .. }
            | Self::TakeIntake { .. }
            | Self::GiveBackIntake { .. }
            | Self::WriteIntake { .. }
            | Self::ExpireIntake { .. }
            | Self::WriteCancelled { .. } => None,
        }
    }

    fn reply(&mut self) -> &mut dyn AnyReply {
        match self {
            Self::CreateSecret { reply, .. }
            | Self::CreateWebhook { reply, .. }
            | Self::DeleteWebhook { reply, .. }
            | Self::RotateSecret { reply, .. }
            | Self::DeleteSecret { reply, .. }
            | Self::Finish { reply, .. }
            | Self::GiveBackIntake { reply, .. }
            | Self::ExpireIntake { reply }
            | Self::EndLeases { reply } => reply,
            Self::UpdateWebhook { reply, .. } => reply,
            Self::Purge { reply } => reply,
            Self::PurgeEvents { reply, .. } => reply,
            Self::Redeliver { reply, .. } => reply,
            Self::RedeliverFailed { reply, .. } => reply,
            Self::SendTest { reply, .. } => reply,
            Self::Pause { reply, .. } => reply,
            Self::Publish { reply, .. } => reply,
            Self::Claim { reply } => reply,
            Self::Name { reply, .. } => reply,
            Self::WriteCancelled { reply } => reply,
            Self::Expire { reply, .. } => reply,
            Self::TakeIntake { reply, .. } => reply,
            Self::WriteIntake { reply, .. } => reply,
        }
    }

    /// Whether the job changes rows of an account that exist.
    fn is_change(&self) -> bool {
        self.kind() == Kind::Account && self.creation().is_none()
    }

    /// How many events the job stores.
    fn events(&self) -> usize {
        match self {
            Self::Publish { publication, .. } => publication.events.len(),
            _ => 0,
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::CreateSecret { .. }
            | Self::CreateWebhook { .. }
            | Self::UpdateWebhook { .. }
            | Self::DeleteWebhook { .. }
            | Self::RotateSecret { .. }
            | Self::DeleteSecret { .. }
            | Self::Purge { .. }
            | Self::Redeliver { .. }
            | Self::RedeliverFailed { .. }
            | Self::SendTest { .. } => Kind::Account,
            Self::Publish { .. } => Kind::Publish,
            Self::Pause { .. } => Kind::Pause,
            Self::Claim { .. } => Kind::Claim,
            Self::Finish { .. } => Kind::Finish,
            Self::Name { .. } => Kind::Name,
            Self::TakeIntake { .. } | Self::GiveBackIntake { .. } | Self::WriteIntake { .. } => Kind::Intake,
            Self::EndLeases { .. }
            | Self::ExpireIntake { .. }
            | Self::WriteCancelled { .. }
            | Self::Expire { .. }
            | Self::PurgeEvents { .. } => Kind::Upkeep,
        }
    }
}

/// A webhook names a secret that its owner does not have.
pub(super) fn unknown_secret() -> Error {
    Rule::UnknownSecret.at("secret_id").into()
}
