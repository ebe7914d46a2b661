//! Starts: a database that can't ever be used ends the start at once and says why, one that may come is
//! waited for, and no text about either has a user, a password or a value of the URL.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use sea_orm::{ConnectionTrait as _, Database as Connect, DatabaseConnection};
use tokio::net::TcpListener;

use crate::faults::database::server_and_name;
use crate::harness::commands::{Ended, run};
use crate::harness::database::{Database, Kind, rows};
use crate::harness::processes::Service;
use crate::harness::receiver::Authority;

/// What a log says while it waits.
const WAITING: &str = "waiting for the database";
/// What no text may have.
const SECRETS: [&str; 4] = ["guarded", "letmein", "value-of-the-url", "nobody"];

async fn migrate(url: &str) -> Ended {
    run(&["migrate", "--database-url", url]).await
}

/// The error of a start that fails at once, with this exit code.
async fn refused(url: &str, code: i32) -> String {
    let ended = migrate(url).await;
    let error = ended.failed(code).to_owned();
    assert!(!ended.log.contains(WAITING), "{url}: {}", ended.log);
    assert_hidden(&ended.log);
    error
}

fn assert_hidden(log: &str) {
    for secret in SECRETS {
        assert!(!log.contains(secret), "{secret} is told: {log}");
    }
}

async fn connect(server: std::net::SocketAddr, name: &str) -> DatabaseConnection {
    Connect::connect(format!("postgres://athook@{server}/{name}")).await.unwrap()
}

/// Has the server of `admin` write `text` to a file beside its configuration.
async fn write(admin: &DatabaseConnection, name: &str, text: &str) -> PathBuf {
    let folder = &rows(admin, "SELECT current_setting('data_directory') AS folder").await[0];
    let path = Path::new(&folder.try_get::<String>("", "folder").unwrap()).join(name);
    let lines = format!("SELECT unnest(string_to_array($text${}$text$, chr(10)))", text.trim_end());
    admin.execute_unprepared(&format!("COPY ({lines}) TO '{}'", path.display())).await.unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// Makes a role that needs a password on this server, which trusts all others.
pub(crate) async fn require_password(admin: &DatabaseConnection, role: &str, password: &str) {
    let rules = format!("host all {role} all scram-sha-256\nhost all,replication all all trust\n");
    write(admin, "pg_hba.conf", &rules).await;
    for statement in ["SELECT pg_reload_conf()", &format!("CREATE ROLE {role} LOGIN PASSWORD '{password}'")] {
        admin.execute_unprepared(statement).await.unwrap();
    }
}

#[tokio::test]
async fn wrong_url() {
    for (url, told) in [
        ("postgres://guarded:let@me@db.example/t", "percent-encode user, password, database and values: "),
        ("postgres://guarded:letmein/@db.example/t", "percent-encode user, password, database and values: "),
        (
            "postgres://guarded:letmein@db.example/t?sslMode=value-of-the-url",
            "the parameter sslMode is not supported; supported are sslmode, ",
        ),
        (
            "postgres://guarded:letmein@one,other/t",
            "several hosts are not supported; give one name or address that leads to the primary",
        ),
        ("sqlite://athook.db?cache=shared", "the parameter cache is not supported; supported are mode"),
    ] {
        let error = refused(url, 2).await;
        assert!(error.contains(&format!("--database-url: {told}")), "{url}: {error}");
    }
}

#[tokio::test]
async fn sqlite_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("text.db"), "a text and no database ".repeat(100)).unwrap();
    assert!(migrate(&format!("sqlite://{}?mode=rwc", path("made.db"))).await.status.success());
    for (url, told) in [
        (format!("sqlite://{}?mode=rwc", path("none/a.db")), format!("there is no folder {}", path("none"))),
        (format!("sqlite://{}?mode=rwc", folder.path().display()), "is a folder".to_owned()),
        (format!("sqlite://{}", path("text.db")), "file is not a database".to_owned()),
        (format!("sqlite://{}", path("none.db")), "With ?mode=rwc it is made".to_owned()),
        (format!("sqlite://{}?mode=ro", path("made.db")), "attempt to write a readonly database".to_owned()),
    ] {
        let error = refused(&url, 1).await;
        assert!(error.ends_with(&told), "{url}: {error}");
    }
}

#[tokio::test]
async fn postgres_that_refuses() {
    let database = Database::create(Kind::Postgres, true).await;
    let (server, name) = server_and_name(&database.url());
    let admin = connect(server, "postgres").await;
    require_password(&admin, "guarded", "letmein").await;
    for statement in [
        "CREATE ROLE nobody_connects LOGIN",
        "CREATE DATABASE closed",
        "REVOKE CONNECT ON DATABASE closed FROM PUBLIC",
        "CREATE DATABASE latin1 TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'",
        "CREATE DATABASE sql_ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'",
    ] {
        admin.execute_unprepared(statement).await.unwrap();
    }
    let encoding = |encoding: &str| {
        format!(
            "the encoding of the database is {encoding}, and must be UTF8: CREATE DATABASE … TEMPLATE template0 \
             ENCODING 'UTF8'"
        )
    };
    let no_tls = "server does not support TLS".to_owned();
    for (url, told) in [
        (
            format!("postgres://guarded:value-of-the-url@{server}/{name}"),
            "the server refuses the password, or has no such role (SQLSTATE 28P01)".to_owned(),
        ),
        (
            format!("postgres://nobody:letmein@{server}/{name}"),
            "the server has no such role, or does not let it in: see LOGIN, pg_hba.conf and sslmode (SQLSTATE \
             28000)"
                .to_owned(),
        ),
        (
            format!("postgres://athook:letmein@{server}/none"),
            "the server has no such database (SQLSTATE 3D000)".to_owned(),
        ),
        (
            format!("postgres://nobody_connects@{server}/closed"),
            "the role may not connect to the database: see GRANT CONNECT (SQLSTATE 42501)".to_owned(),
        ),
        (format!("postgres://athook@{server}/{name}?sslmode=require"), no_tls.clone()),
        (format!("postgres://athook@{server}/{name}?sslmode=verify-full"), no_tls),
        (format!("postgres://athook@{server}/latin1"), encoding("LATIN1")),
        (format!("postgres://athook@{server}/sql_ascii"), encoding("SQL_ASCII")),
    ] {
        let error = refused(&url, 1).await;
        let place = url.split_once('@').unwrap().1.split('?').next().unwrap();
        assert!(error.contains(&format!("Postgres {place}: ")), "{url}: {error}");
        assert!(error.ends_with(&told), "{url}: {error}");
    }
    // With its password the role gets as far as the schema.
    let error = refused(&format!("postgres://guarded:letmein@{server}/{name}"), 1).await;
    assert!(error.contains("; run `core-service migrate` as"), "{error}");
}

#[tokio::test]
async fn certificate_of_postgres() {
    let database = Database::create(Kind::Postgres, true).await;
    let (server, name) = server_and_name(&database.url());
    let admin = connect(server, "postgres").await;
    let authority = Authority::shared();
    let (certificate, key) = authority.issue(&["127.0.0.1"]);
    write(&admin, "server.crt", &certificate.pem()).await;
    write(&admin, "server.key", &key.serialize_pem()).await;
    for statement in ["ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"] {
        admin.execute_unprepared(statement).await.unwrap();
    }
    // Until it has read its configuration again.
    let encrypted = format!("postgres://athook@{server}/{name}?sslmode=require");
    while Connect::connect(&encrypted).await.is_err() {
        tokio::task::yield_now().await;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let good = file("ca.pem", &authority.pem);
    let stranger = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let other = file("other-value-of-the-url.pem", &stranger.cert.pem());
    let text = file("text-value-of-the-url.pem", "-----BEGIN CERTIFICATE-----\nno certificate\n");
    let url = |mode: &str, authority: &str| {
        format!("postgres://athook@{server}/{name}?sslmode={mode}&sslrootcert={authority}")
    };
    for mode in ["verify-full", "verify-ca"] {
        let error = refused(&url(mode, &other), 1).await;
        assert!(error.contains("invalid peer certificate: "), "{error}");
        let error = refused(&url(mode, &text), 1).await;
        assert!(error.ends_with("the file of sslrootcert has no certificates (PEM)"), "{error}");
        migrate(&url(mode, &good)).await.ok();
    }
    // The right authority, another name.
    let port = server.port();
    let named = format!("postgres://athook@localhost:{port}/{name}?sslmode=verify-full&sslrootcert={good}");
    let error = refused(&named, 1).await;
    assert!(error.contains("certificate not valid for name \"localhost\""), "{error}");
    migrate(&named.replace("verify-full", "verify-ca")).await.ok();
}

#[tokio::test]
async fn ipv6_address() {
    let database = Database::create(Kind::Postgres, false).await;
    let (server, name) = server_and_name(&database.url());
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let relay = tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = tokio::net::TcpStream::connect(server).await.unwrap();
                drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
            });
        }
    });
    migrate(&format!("postgres://athook@{address}/{name}")).await.ok();
    relay.abort();
}

#[tokio::test]
async fn what_may_come_is_waited_for() {
    let mut database = Database::create(Kind::Postgres, true).await;
    database.pause();
    let url = database.url();
    let (server, name) = server_and_name(&url);
    // Until nobody listens.
    while tokio::net::TcpStream::connect(server).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let mut starting = Service::core_service(&url).begin();
    let waiting = starting.logged(WAITING).await;
    assert!(waiting.contains(&format!("{WAITING}: Postgres {server}/{name}")), "{waiting}");
    assert!(waiting.contains("Connection refused"), "{waiting}");
    // Who is asked to stop meanwhile does so at once.
    let (ended, log) = starting.terminate().await;
    assert!(ended.success() && !log.contains("error: "), "{log}");
    let mut starting = Service::core_service(&url).begin();
    starting.logged(WAITING).await;
    database.resume();
    starting.served().await;
}
