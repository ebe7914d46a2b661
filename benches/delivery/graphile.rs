//! The peer: deliveries as jobs of graphile-worker. `benches/peers/graphile` has the worker.

use std::path::Path;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use process::exit::Failure;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, Statement};
use serde_json::json;
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::databases::connect;
use crate::pace::Deliverer;
use crate::posting::body;
use crate::programs::{Program, bare, free_address, gateway_is_ready};
use crate::publishing::{TOKEN, WEBHOOKS};
use crate::receiver::Receiver;

/// Connections over which events are published.
const CONNECTIONS: usize = 8;
/// As the package adds many jobs in one statement.
const ADD_JOBS: &str = "SELECT 1 FROM graphile_worker.add_jobs(array(\
    SELECT json_populate_recordset(null::graphile_worker.job_spec, $1::json)), false)";

/// A worker on a database of its own.
pub(crate) struct Graphile {
    worker: Program,
    connections: Vec<DatabaseConnection>,
    urls: Arc<[String]>,
}

impl Graphile {
    /// Starts the worker that is installed in the folder `graphile`.
    pub(crate) fn start(
        runtime: &Runtime,
        graphile: &Path,
        database_url: &str,
        batches: bool,
        receiver: &Receiver,
    ) -> Result<Self, Failure> {
        let address = free_address()?;
        let mut command = bare(Path::new("node"));
        command.arg(graphile.join("worker.js")).args(["--listen", &address.to_string()]);
        command.args(["--database", database_url]);
        if batches {
            command.arg("--batches");
        }
        let worker = Program::start(command, address, || gateway_is_ready(address))?;
        let connections = runtime.block_on(connect(database_url, CONNECTIONS))?;
        let origins = receiver.origins().cycle().take(WEBHOOKS).enumerate();
        let urls = origins.map(|(number, origin)| format!("{origin}/hooks/{number}")).collect();
        Ok(Self { worker, connections, urls })
    }
}

impl Deliverer for Graphile {
    fn publish(&self, number: u32, fan_out: usize) -> BoxFuture<'static, Result<(), Failure>> {
        let connection = self.connections[number as usize % CONNECTIONS].clone();
        let first = number as usize % (WEBHOOKS / fan_out) * fan_out;
        let urls = Arc::clone(&self.urls);
        async move {
            let id = format!("msg_{}", Uuid::from_u128(number.into()));
            let body = body(number);
            let job = |url: &String| {
                let payload = json!({ "id": id, "url": url, "token": TOKEN, "body": body });
                json!({ "identifier": "deliver", "payload": payload })
            };
            let jobs: Vec<_> = urls[first..first + fan_out].iter().map(job).collect();
            let jobs = serde_json::to_string(&jobs)?;
            let statement = Statement::from_sql_and_values(DbBackend::Postgres, ADD_JOBS, [jobs.into()]);
            connection.execute_raw(statement).await?;
            Ok(())
        }
        .boxed()
    }

    fn is_pending(&self) -> BoxFuture<'_, Result<bool, Failure>> {
        let query = "SELECT 1 FROM graphile_worker.jobs LIMIT 1";
        let statement = Statement::from_string(DbBackend::Postgres, query);
        async move { Ok(self.connections[0].query_one_raw(statement).await?.is_some()) }.boxed()
    }

    fn pids(&self) -> Vec<u32> {
        vec![self.worker.pid()]
    }
}
