//! What the transactions of deliveries share: settings, time, ids, and what turns a webhook off.
//!
//! Their jobs share transactions by kind ([`Kind`](super::Kind)): publications one, claims one, outcomes one.

use std::sync::Arc;
use std::time::Duration;

use process::clock::Clock;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement};
use tokio::sync::mpsc;
use uuid::{Builder, Uuid};

use super::states::State;
use crate::delivery::lanes::Lanes;
use crate::delivery::lease::Leased;
use crate::delivery::metrics::DeliveryMetrics;
use crate::delivery::outcome::Verdict;
use crate::delivery::record_rates::RecordRates;
use crate::delivery::schedule::{Plan, Schedule, Step, Tried};
use crate::delivery::wake::Wake;
use crate::intake::owners::{RecordLimits, RecordOwners};
use crate::randomness::Randomness;
use crate::store::sealer::Sealer;
use crate::store::table::delivery;

/// What a webhook is turned off for, as its owner sees it.
const GONE: &str = "gone";
const FAILING: &str = "failing";

/// Settings of deliveries that their transactions need.
#[derive(Debug, Clone)]
pub(crate) struct DeliverySettings {
    /// `--max-pending`.
    pub(crate) max_pending: u32,
    /// How long a lease lasts, in milliseconds: `--delivery-timeout` and some time to write the outcome.
    pub(crate) lease_ms: i64,
    /// `--disable-after`.
    pub(crate) disable_after: u32,
    /// `--disable-after-time`, in milliseconds.
    pub(crate) disable_after_ms: i64,
    /// `--retry-schedule`.
    pub(crate) schedule: Schedule,
}

impl DeliverySettings {
    /// Turns the webhook of `state` off, if its receiver is gone or has failed for too long. Returns whether
    /// it was on.
    pub(super) fn disable(&self, state: &mut State, step: Step, now: Now) -> bool {
        let reason = match step {
            Step::Failed { is_gone: true, counts_as_error: _ } => GONE,
            Step::Failed { is_gone: false, counts_as_error: _ } => {
                let failing_ms = state.row.failing_since_ms.map_or(0, |since| now.ms - since);
                let failing = state.row.error_count.cast_unsigned() >= self.disable_after;
                if !failing || failing_ms <= self.disable_after_ms {
                    return false;
                }
                FAILING
            }
            Step::Delivered | Step::Retry { .. } => return false,
        };
        let was_on = state.row.disabled_at_ms.is_none();
        if was_on {
            state.row.disabled_reason = Some(reason.to_owned());
            state.row.disabled_at_ms = Some(now.ms);
            state.cancel(now.ms);
        }
        was_on
    }
}

/// Which wh records count, and how many.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordSettings {
    /// `--record-owners`.
    pub(crate) owners: RecordOwners,
    /// `--max-record-webhooks` and `--max-record-webhooks-in-all`.
    pub(crate) limits: RecordLimits,
    /// `--intake-network`.
    pub(crate) network: bool,
}

/// What a store needs for deliveries.
#[derive(Debug)]
pub(crate) struct DeliveryParts {
    pub(crate) settings: DeliverySettings,
    /// Goes before the clock of the database if it is a test's.
    pub(crate) clock: Clock,
    pub(crate) lanes: Lanes,
    /// Where leases go; `None` in a process that delivers nothing.
    pub(crate) leased: Option<mpsc::UnboundedSender<Leased>>,
    /// Woken after a commit that leaves something due.
    pub(crate) wake: Wake,
    pub(crate) record_rates: RecordRates,
    pub(crate) records: RecordSettings,
    pub(crate) metrics: Arc<DeliveryMetrics>,
    /// Whether this process sends spans.
    pub(crate) traced: bool,
}

/// What the jobs of deliveries need beside the database.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) settings: DeliverySettings,
    pub(super) sealer: Arc<Sealer>,
    pub(super) randomness: Randomness,
    pub(super) clock: Clock,
    pub(super) lanes: Lanes,
    /// Where leases go that a committed transaction took; `None` in a process that delivers nothing. The
    /// number of places bounds it.
    pub(super) leased: Option<mpsc::UnboundedSender<Leased>>,
    /// Woken after a commit that leaves something due.
    pub(super) wake: Wake,
    pub(super) record_rates: RecordRates,
    pub(super) records: RecordSettings,
    pub(super) metrics: Arc<DeliveryMetrics>,
    /// Whether this process sends spans.
    pub(super) traced: bool,
}

/// The time of a transaction, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Now {
    pub(in crate::store) ms: i64,
}

impl Now {
    /// The time of `connection`, a transaction or not. Replicas share the clock of Postgres; a test's clock
    /// goes before it.
    pub(in crate::store) async fn of(
        connection: &impl ConnectionTrait,
        clock: &Clock,
    ) -> Result<Self, DbErr> {
        if !clock.is_system() || connection.get_database_backend() != DbBackend::Postgres {
            return Ok(Self { ms: clock.unix_ms() });
        }
        let query = Statement::from_string(
            DbBackend::Postgres,
            "SELECT (extract(epoch FROM now()) * 1000)::bigint AS ms",
        );
        let row = connection.query_one_raw(query).await?;
        let row = row.ok_or_else(|| DbErr::RecordNotFound("now".to_owned()))?;
        Ok(Self { ms: row.try_get("", "ms")? })
    }

    /// How long ago `ms` was; zero if it is to come.
    pub(in crate::store) fn since(self, ms: i64) -> Duration {
        Duration::from_millis(u64::try_from(self.ms.saturating_sub(ms)).unwrap_or(0))
    }
}

/// From when the age of a delivery counts.
pub(super) fn begun_at_ms(row: &delivery::Model) -> i64 {
    row.redelivered_at_ms.unwrap_or(row.created_at_ms)
}

impl Context {
    /// The time of `transaction`.
    pub(super) async fn now(&self, transaction: &DatabaseTransaction) -> Result<Now, DbErr> {
        Now::of(transaction, &self.clock).await
    }

    /// What follows from `verdict` for the delivery of `row`.
    pub(super) fn plan(&self, row: &delivery::Model, verdict: &Verdict, now: Now) -> Plan {
        let random: [u8; 4] = self.randomness.bytes().unwrap_or_default();
        let tried = Tried {
            attempts: (row.attempts - row.attempts_before).cast_unsigned() + 1,
            begun_at_ms: begun_at_ms(row),
            now_ms: now.ms,
            random: u32::from_le_bytes(random),
        };
        self.settings.schedule.plan(tried, verdict)
    }

    /// Turns the webhook of `state` off, if its receiver is gone or has failed for too long.
    pub(super) fn disable(&self, state: &mut State, step: Step, now: Now) {
        if self.settings.disable(state, step, now) {
            self.metrics.disabled.inc();
        }
    }

    /// A UUIDv7 of the time `ms`.
    pub(super) fn new_id(&self, ms: i64) -> Result<Uuid, DbErr> {
        let random = self.random::<10>()?;
        Ok(Builder::from_unix_timestamp_millis(u64::try_from(ms).unwrap_or(0), &random).into_uuid())
    }

    /// A lease that no other process has.
    pub(super) fn new_lease(&self) -> Result<Uuid, DbErr> {
        Ok(Builder::from_random_bytes(self.random()?).into_uuid())
    }

    /// A transaction that needs an id can't go on without random bytes: two equal leases would be one.
    fn random<const N: usize>(&self) -> Result<[u8; N], DbErr> {
        self.randomness.bytes().map_err(|none| DbErr::Custom(none.to_string()))
    }
}
