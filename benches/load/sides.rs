//! The contestants that are measured over HTTP: a front process and the process behind it.

use std::path::Path;
use std::time::Duration;

use process::exit::Failure;

use crate::calls::Dialect;
use crate::databases::OpenDatabase;
use crate::programs::{Program, Programs, UNLIMITED};
use crate::sample::Cost;
use crate::usage;

/// The process that clients call, and the one behind it.
pub(crate) struct Side {
    // Dropped before the core-service, so that no gateway logs that the core-service is gone.
    pub(crate) front: Program,
    /// The core-service or its stub. `None`: the front does everything.
    pub(crate) core: Option<Program>,
    pub(crate) dialect: Dialect,
}

/// The processor time that both processes have used so far.
pub(crate) struct Cpu {
    front: Duration,
    core: Duration,
}

impl Side {
    /// Gateway and core-service of `athook`.
    pub(crate) fn pair(programs: &Programs, athook: &Path, database: &OpenDatabase) -> Result<Self, Failure> {
        let core = programs.core_service(athook, &database.url, &UNLIMITED)?;
        let front = programs.gateway(athook, core.address())?;
        Ok(Self { front, core: Some(core), dialect: Dialect::Xrpc })
    }

    /// The gateway of `athook` with a stub of the core-service, which answers at once.
    pub(crate) fn before_stub(programs: &Programs, athook: &Path) -> Result<Self, Failure> {
        let core = programs.stub()?;
        let front = programs.gateway(athook, core.address())?;
        Ok(Self { front, core: Some(core), dialect: Dialect::Xrpc })
    }

    /// Envoy in place of the gateway, with the same stub.
    pub(crate) fn envoy(programs: &Programs, envoy: &Path) -> Result<Self, Failure> {
        let core = programs.stub()?;
        let front = programs.envoy(envoy, core.address())?;
        Ok(Self { front, core: Some(core), dialect: Dialect::Transcoded })
    }

    /// The Node server in place of both services, on an SQLite file.
    pub(crate) fn node(programs: &Programs, node: &Path, file: &Path) -> Result<Self, Failure> {
        Ok(Self { front: programs.node(node, file)?, core: None, dialect: Dialect::Xrpc })
    }

    pub(crate) fn cpu(&self) -> Result<Cpu, Failure> {
        let core = self.core.as_ref().map_or(Ok(Duration::ZERO), |core| usage::cpu(core.pid()))?;
        Ok(Cpu { front: usage::cpu(self.front.pid())?, core })
    }

    /// The cost of `calls` calls between two readings, and the current memory.
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
