//! The same deliveries in other circumstances: to receivers with TLS, beside receivers that hang, beside a
//! full queue, by several core-services; and by the peer.
//!
//! Every circumstance has a database of its own. Its processes are started for each measurement, so that
//! nothing else runs beside it.

use std::fmt;
use std::path::Path;

use clap::ValueEnum as _;
use process::exit::Failure;
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::databases::{Database, Databases, OpenDatabase};
use crate::graphile::Graphile;
use crate::pace::{Deliverer, Measured, Pace};
use crate::programs::Programs;
use crate::publishing::Publishing;
use crate::receiver::{Behaviour, Receiver};
use crate::sample::Sample;
use crate::waiting;

/// Receivers that hang, each with one webhook.
const HANGING: usize = 500;
/// Webhooks of one streamer whose receivers hang.
const HANGING_OF_STREAMER: usize = 50;
/// Events for each of these streamers before a measurement: more than are attempted in it.
const HANGING_EVENTS: u32 = 10;
/// Ports of the receiver, each an origin.
const ORIGINS: usize = 50;

/// In which circumstances deliveries are made, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Circumstance {
    /// One core-service, nothing else
    Plain,
    /// Receivers with TLS
    Tls,
    /// Beside 500 receivers that never answer
    Hanging,
    /// Both, all receivers with TLS
    HangingTls,
    /// Beside a million deliveries that wait, of 100,000 webhooks
    Waiting,
    /// Two core-services on one database; Postgres only
    Two,
    /// Three of them
    Three,
    /// graphile-worker with its defaults; Postgres only
    Graphile,
    /// graphile-worker that fetches and completes jobs in batches
    GraphileBatches,
}

impl fmt::Display for Circumstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Plain => "one core-service",
            Self::Tls => "TLS",
            Self::Hanging => "500 hang",
            Self::HangingTls => "500 hang, TLS",
            Self::Waiting => "a million wait",
            Self::Two => "two core-services",
            Self::Three => "three core-services",
            Self::Graphile => "graphile-worker",
            Self::GraphileBatches => "the same, batches",
        };
        f.pad(name)
    }
}

impl Circumstance {
    fn is_graphile(self) -> bool {
        matches!(self, Self::Graphile | Self::GraphileBatches)
    }

    fn hangs(self) -> bool {
        matches!(self, Self::Hanging | Self::HangingTls)
    }

    fn tls(self) -> bool {
        matches!(self, Self::Tls | Self::HangingTls)
    }

    fn replicas(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Three => 3,
            _ => 1,
        }
    }

    fn fits(self, database: Database, graphile: Option<&Path>) -> bool {
        let postgres_only = self.replicas() > 1 || self.is_graphile();
        (database == Database::Postgres || !postgres_only) && (graphile.is_some() || !self.is_graphile())
    }
}

/// What a measurement needs.
pub(crate) struct Setting<'a> {
    pub(crate) programs: &'a Programs,
    pub(crate) authority: &'a Path,
    pub(crate) runtime: &'a Runtime,
    pub(crate) athook: &'a Path,
    pub(crate) graphile: Option<&'a Path>,
    pub(crate) measured: &'a Measured,
    pub(crate) fan_out: usize,
}

/// A circumstance that is set up.
pub(crate) struct Prepared {
    pub(crate) circumstance: Circumstance,
    database: OpenDatabase,
    receiver: Receiver,
    webhooks: Vec<Uuid>,
    next_hanging: u32,
}

/// Sets up those of `circumstances` that this database and what is installed allow.
pub(crate) fn prepare(
    setting: &Setting<'_>,
    database: Database,
    databases: &Databases,
    circumstances: &[Circumstance],
) -> Result<Vec<Prepared>, Failure> {
    let fitting = circumstances.iter().filter(|one| one.fits(database, setting.graphile));
    fitting.map(|circumstance| Prepared::new(setting, *circumstance, databases)).collect()
}

impl Prepared {
    fn new(
        setting: &Setting<'_>,
        circumstance: Circumstance,
        databases: &Databases,
    ) -> Result<Self, Failure> {
        let name = circumstance.to_possible_value().ok_or("a circumstance without a name")?;
        let database = databases.create(&name.get_name().replace('-', "_"), setting.athook)?;
        let behaviour = Behaviour { tls: circumstance.tls(), hangs: false };
        let receiver = Receiver::start(ORIGINS, behaviour)?;
        let mut prepared = Self { circumstance, database, receiver, webhooks: Vec::new(), next_hanging: 0 };
        if circumstance.is_graphile() {
            return Ok(prepared);
        }
        let mut publishing = prepared.publishing(setting)?;
        setting.runtime.block_on(async {
            prepared.webhooks = publishing.make_webhooks(&prepared.receiver, setting.fan_out).await?;
            if circumstance.hangs() {
                let hanging = Receiver::start(HANGING, Behaviour { hangs: true, ..behaviour })?;
                for (number, origin) in hanging.origins().enumerate() {
                    let owner = hanging_streamer(number / HANGING_OF_STREAMER);
                    publishing.make_webhook(&owner, &origin, number).await?;
                }
            }
            if circumstance == Circumstance::Waiting {
                waiting::fill(&prepared.database.url).await?;
            }
            Ok::<_, Failure>(())
        })?;
        Ok(prepared)
    }

    fn publishing(&self, setting: &Setting<'_>) -> Result<Publishing, Failure> {
        Publishing::start(
            setting.programs,
            setting.authority,
            setting.runtime,
            setting.athook,
            &self.database.url,
            self.circumstance.replicas(),
            self.webhooks.clone(),
        )
    }

    /// Starts the processes, and measures after a warm-up.
    pub(crate) fn measure(
        &mut self,
        setting: &Setting<'_>,
        warm_up: Pace,
        paces: &[Pace],
    ) -> Result<Vec<Sample>, Failure> {
        let deliverer: Box<dyn Deliverer> = if let Some(graphile) = setting.graphile
            && self.circumstance.is_graphile()
        {
            let batches = self.circumstance == Circumstance::GraphileBatches;
            let url = &self.database.url;
            Box::new(Graphile::start(setting.runtime, graphile, url, batches, &self.receiver)?)
        } else {
            let publishing = self.publishing(setting)?;
            if self.circumstance.hangs() {
                setting.runtime.block_on(self.publish_hanging(&publishing))?;
            }
            Box::new(publishing)
        };
        setting.runtime.block_on(async {
            let mut samples = Vec::new();
            let Setting { measured, fan_out, .. } = setting;
            measured.run(&*deliverer, &self.receiver, *fan_out, warm_up).await?;
            for pace in paces {
                samples.push(measured.run(&*deliverer, &self.receiver, *fan_out, *pace).await?);
            }
            Ok(samples)
        })
    }

    async fn publish_hanging(&mut self, publishing: &Publishing) -> Result<(), Failure> {
        for number in 0..HANGING / HANGING_OF_STREAMER {
            let streamer = hanging_streamer(number);
            publishing.publish_for(&streamer, HANGING_EVENTS, self.next_hanging).await?;
        }
        self.next_hanging += HANGING_EVENTS;
        Ok(())
    }
}

/// One of the streamers whose receivers hang.
fn hanging_streamer(number: usize) -> String {
    format!("did:web:hanging-{number}.example")
}
