//! What is measured over HTTP: a front and what is behind it; and the databases that are there to be written to.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use process::exit::Failure;

use crate::calls::Dialect;
use crate::inserts;
use crate::postgres::{self, Server};
use crate::programs::{Program, Programs, migrate};
use crate::report::Cost;
use crate::usage;

/// What clients call, and the process behind it.
pub(crate) struct Side {
    // Goes first when dropped: else a gateway would tell in its log that the core-service is gone.
    pub(crate) front: Program,
    /// The core-service, or its stub. `None`: the front does everything.
    pub(crate) core: Option<Program>,
    pub(crate) dialect: Dialect,
}

/// The processor time of both processes so far.
pub(crate) struct Cpu {
    front: Duration,
    core: Duration,
}

impl Side {
    /// The real pair of `athook`.
    pub(crate) fn pair(programs: &Programs, athook: &Path, database: &Opened) -> Result<Self, Failure> {
        let core = programs.core_service(athook, &database.url)?;
        let front = programs.gateway(athook, core.address())?;
        Ok(Self { front, core: Some(core), dialect: Dialect::Xrpc })
    }

    /// The gateway of `athook` before a core-service that answers at once.
    pub(crate) fn before_stub(programs: &Programs, athook: &Path) -> Result<Self, Failure> {
        let core = programs.stub()?;
        let front = programs.gateway(athook, core.address())?;
        Ok(Self { front, core: Some(core), dialect: Dialect::Xrpc })
    }

    /// Envoy in the gateway's place.
    pub(crate) fn envoy(programs: &Programs, envoy: &Path) -> Result<Self, Failure> {
        let core = programs.stub()?;
        let front = programs.envoy(envoy, core.address())?;
        Ok(Self { front, core: Some(core), dialect: Dialect::Transcoded })
    }

    /// The Node server in the place of both, on an SQLite file.
    pub(crate) fn node(programs: &Programs, node: &Path, file: &Path) -> Result<Self, Failure> {
        Ok(Self { front: programs.node(node, file)?, core: None, dialect: Dialect::Xrpc })
    }

    pub(crate) fn cpu(&self) -> Result<Cpu, Failure> {
        let core = self.core.as_ref().map_or(Ok(Duration::ZERO), |core| usage::cpu(core.pid()))?;
        Ok(Cpu { front: usage::cpu(self.front.pid())?, core })
    }

    /// What `calls` calls cost between two readings; memory as it is now.
    pub(crate) fn cost(&self, before: &Cpu, after: &Cpu, calls: u64) -> Result<Cost, Failure> {
        let calls = f64::from(u32::try_from(calls.max(1))?);
        let us = |before: Duration, after: Duration| (after - before).as_secs_f64() * 1e6 / calls;
        Ok(Cost {
            front_us: us(before.front, after.front),
            core_us: us(before.core, after.core),
            front_mib: usage::memory_mib(self.front.pid())?,
            core_mib: self.core.as_ref().map_or(Ok(0.0), |core| usage::memory_mib(core.pid()))?,
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

/// A migrated database of its own for each of those that write.
pub(crate) struct Databases {
    pub(crate) pair: Opened,
    pub(crate) earlier: Opened,
    pub(crate) inserts: Opened,
    pub(crate) node: Opened,
    /// Stops when dropped.
    _server: Option<Server>,
}

/// One of them.
pub(crate) struct Opened {
    pub(crate) url: String,
    /// Of SQLite.
    pub(crate) file: Option<PathBuf>,
}

impl Database {
    /// Makes the databases, each with the schema of the `athook` that will use it; files go into `folder`. `None`: the
    /// database's programs are not here.
    pub(crate) fn open(
        self,
        athook: &Path,
        earlier_athook: Option<&Path>,
        folder: &Path,
    ) -> Result<Option<Databases>, Failure> {
        let names = ["pair", "earlier", "inserts", "node"];
        let (opened, server) = match self {
            Self::Sqlite => {
                let opened = names.map(|name| {
                    let file = folder.join(format!("{name}.db"));
                    Opened { url: format!("sqlite://{}?mode=rwc", file.display()), file: Some(file) }
                });
                (opened, None)
            }
            Self::Postgres => {
                if postgres::programs().is_none() {
                    return Ok(None);
                }
                let server = Server::start("on").ok_or("Postgres does not start; its words are above")?;
                inserts::create_databases(&server.url("postgres"), names)?;
                (names.map(|name| Opened { url: server.url(name), file: None }), Some(server))
            }
        };
        let [pair, earlier, inserts, node] = opened;
        for Opened { url, file: _ } in [&pair, &inserts, &node] {
            migrate(athook, url)?;
        }
        migrate(earlier_athook.unwrap_or(athook), &earlier.url)?;
        Ok(Some(Databases { pair, earlier, inserts, node, _server: server }))
    }
}
