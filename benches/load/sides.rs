//! What is measured over HTTP: a gateway and what is behind it; and the databases that are there to be written to.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use process::exit::Failure;

use crate::inserts;
use crate::postgres::{self, Server};
use crate::programs::{Program, Programs};
use crate::report::Cost;
use crate::usage;

/// A gateway and the core-service, or its stub, behind it.
pub(crate) struct Side {
    // Goes first when dropped: else it would tell in its log that the core-service is gone.
    pub(crate) gateway: Program,
    pub(crate) core: Program,
}

/// The processor time of both processes so far.
pub(crate) struct Cpu {
    gateway: Duration,
    core: Duration,
}

impl Side {
    /// The real pair.
    pub(crate) fn pair(programs: &Programs, database_url: &str) -> Result<Self, Failure> {
        let core = programs.core_service(database_url)?;
        let gateway = programs.gateway(core.address())?;
        Ok(Self { gateway, core })
    }

    /// The same gateway before a core-service that answers at once.
    pub(crate) fn before_stub(programs: &Programs) -> Result<Self, Failure> {
        let core = programs.stub()?;
        let gateway = programs.gateway(core.address())?;
        Ok(Self { gateway, core })
    }

    pub(crate) fn cpu(&self) -> Result<Cpu, Failure> {
        Ok(Cpu { gateway: usage::cpu(self.gateway.pid())?, core: usage::cpu(self.core.pid())? })
    }

    /// What `calls` calls cost between two readings; memory as it is now.
    pub(crate) fn cost(&self, before: &Cpu, after: &Cpu, calls: u64) -> Result<Cost, Failure> {
        let calls = f64::from(u32::try_from(calls.max(1))?);
        let us = |before: Duration, after: Duration| (after - before).as_secs_f64() * 1e6 / calls;
        Ok(Cost {
            gateway_us: us(before.gateway, after.gateway),
            core_us: us(before.core, after.core),
            gateway_mib: usage::memory_mib(self.gateway.pid())?,
            core_mib: usage::memory_mib(self.core.pid())?,
        })
    }
}

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Database {
    Sqlite,
    Postgres,
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "Postgres",
        })
    }
}

/// Two migrated databases of one kind.
pub(crate) struct Opened {
    /// The URL of the one that the pair writes to.
    pub(crate) pair: String,
    /// The URL of the one that the yardstick writes to.
    pub(crate) yardstick: String,
    /// Stops when dropped.
    _server: Option<Server>,
}

impl Database {
    /// Makes the databases; files go into `folder`. `None`: the database's programs are not here.
    pub(crate) fn open(self, programs: &Programs, folder: &Path) -> Result<Option<Opened>, Failure> {
        let names = ["pair", "yardstick"];
        let (urls, server) = match self {
            Self::Sqlite => {
                let url = |name| format!("sqlite://{}?mode=rwc", folder.join(format!("{name}.db")).display());
                (names.map(url), None)
            }
            Self::Postgres => {
                if postgres::programs().is_none() {
                    return Ok(None);
                }
                let server = Server::start("on").ok_or("Postgres does not start; its words are above")?;
                inserts::create_databases(&server.url("postgres"), names)?;
                (names.map(|name| server.url(name)), Some(server))
            }
        };
        for url in &urls {
            programs.migrate(url)?;
        }
        let [pair, yardstick] = urls;
        Ok(Some(Opened { pair, yardstick, _server: server }))
    }
}
