//! Two roles of Postgres: one owns the schema and brings it up to date, the other serves and may only read
//! and write rows.

use sea_orm::{ConnectionTrait as _, Database as Connect};

use crate::faults::database::server_and_name;
use crate::harness::commands::run;
use crate::harness::database::{Database, Kind};
use crate::harness::processes::Service;
use crate::harness::tour::tour;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn role_that_only_reads_and_writes_rows() {
    let database = Database::create(Kind::Postgres, false).await;
    let (server, name) = server_and_name(&database.url());
    // Roles belong to the server, which tests share.
    let (owner, serves) = (format!("{name}_owner"), format!("{name}_serves"));
    let admin = database.connect().await;
    for statement in [
        format!("CREATE ROLE {owner} LOGIN"),
        format!("CREATE ROLE {serves} LOGIN"),
        format!("ALTER DATABASE {name} OWNER TO {owner}"),
        // As it is on Postgres 15 and later.
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC".to_owned(),
    ] {
        admin.execute_unprepared(&statement).await.unwrap();
    }
    let url = |role: &str| format!("postgres://{role}@{server}/{name}");

    // It can't migrate, and is told what to do.
    let ended = run(&["migrate", "--database-url", &url(&serves)]).await;
    let error = ended.failed(1);
    assert!(error.contains("run `core-service migrate` as the owner of the tables, and grant"), "{error}");

    let as_owner = Connect::connect(url(&owner)).await.unwrap();
    // In advance, for the tables of later releases as well.
    let grant =
        format!("ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {serves}");
    as_owner.execute_unprepared(&grant).await.unwrap();
    run(&["migrate", "--database-url", &url(&owner)]).await.ok();

    let serving = url(&serves);
    let core = || {
        let core = Service::core_service(&serving).flag("--allow-http", "true");
        core.flag("--allow-private-ranges", "127.0.0.0/8")
    };
    let (one, other) = tokio::join!(core().start(), core().start());
    tour(&[one.address, other.address], &database).await;
    for service in [one, other] {
        let (status, log) = service.terminate().await;
        assert!(status.success() && !log.contains("permission denied"), "{log}");
    }
    // Nothing is to be done.
    run(&["migrate", "--database-url", &serving]).await.ok();
    run(&["export", "--database-url", &serving]).await.ok();
}
