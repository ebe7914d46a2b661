//! Behind a pooler in transaction mode, with `--prepared-statements off`.

use crate::faults::database::server_and_name;
use crate::harness::commands::run;
use crate::harness::database::{Database, Kind};
use crate::harness::pooler::Pooler;
use crate::harness::processes::Service;
use crate::harness::tour::tour;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas() {
    let database = Database::create(Kind::Postgres, false).await;
    let (server, name) = server_and_name(&database.url());
    let pooler = Pooler::start(server, &name).await;
    let url = format!("postgres://athook@{}/{name}", pooler.address);
    let core = || {
        let core = Service::core_service(&url).flag("--prepared-statements", "off");
        core.flag("--allow-http", "true").flag("--allow-private-ranges", "127.0.0.0/8")
    };
    // Both bring the schema up to date.
    let (one, other) = tokio::join!(core().start(), core().start());
    tour(&[one.address, other.address], &database).await;
    one.terminate().await;
    other.terminate().await;
    let export = ["export", "--database-url", &url, "--prepared-statements", "off"];
    let exported = run(&export).await.ok();
    assert!(exported.output.contains("deploys"), "{}", exported.output);
    assert_eq!(pooler.prepared_statements().await, [""; 0]);
}
