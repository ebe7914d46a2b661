//! Tokens and webhook URLs are nowhere in clear: neither in the database nor in the logs.

use std::net::SocketAddr;

use sea_orm::{ConnectionTrait as _, Database as Connect};
use serde_json::{Value, json};

use crate::database_starts::require_password;
use crate::faults::database::server_and_name;
use crate::harness::answer::Answer;
use crate::harness::database::{Database, Kind};
use crate::harness::hook::Hook;
use crate::harness::identity::{Identity, Key, SERVICE};
use crate::harness::logs;
use crate::harness::on_both;
use crate::harness::processes::{KEY, Service};
use crate::harness::publisher::{Publisher, chat};
use crate::harness::stack::{
    CREATE_SECRET, CREATE_WEBHOOK, GET_WEBHOOK, LIST_WEBHOOKS, ROTATE_SECRET, Setup, Stack, UPDATE_WEBHOOK,
    read,
};

on_both! { token_and_url_are_nowhere_in_clear }

async fn token_and_url_are_nowhere_in_clear(kind: Kind) {
    let mut stack = Setup::on(kind).core("--probe", "off").core("--rotation-overlap", "1h").start().await;
    let made = stack.create_secret("deploys").await.ok()["token"].as_str().unwrap().to_owned();
    let own = format!("own-token-{kind:?}-{}", "0123456789abcdef".repeat(2));
    stack.call(CREATE_SECRET, &json!({ "name": "own", "token": own })).await.ok();
    stack.call(CREATE_SECRET, &json!({ "name": "own", "token": own })).await.error(400, "AlreadyExists");
    let rotated = stack.call(ROTATE_SECRET, &json!({ "name": "deploys" })).await.ok();
    let rotated = rotated["token"].as_str().unwrap().to_owned();
    let next = format!("next-token-{kind:?}-{}", "0123456789abcdef".repeat(2));
    stack.call(ROTATE_SECRET, &json!({ "name": "own", "token": next })).await.ok();
    stack.call(ROTATE_SECRET, &json!({ "name": "none", "token": next })).await.error(400, "NotFound");
    stack.call(ROTATE_SECRET, &json!({ "name": ".", "token": next })).await.error(400, "InvalidRequest");
    let credential = format!("credential-in-the-path-{kind:?}");
    let input = json!({ "url": format!("https://hooks.example.com/{credential}"), "events": ["chat"] });
    let webhook = stack.call(CREATE_WEBHOOK, &input).await.ok()["webhook"].take();
    stack.call(CREATE_WEBHOOK, &input).await.error(400, "DuplicateWebhook");
    let refused =
        json!({ "url": format!("https://127.0.0.9.nip.invalid:22/{credential}"), "events": ["chat"] });
    stack.call(CREATE_WEBHOOK, &refused).await.error(400, "InvalidUrl");

    let other = format!("credential-after-an-update-{kind:?}");
    let change = json!({ "id": webhook["id"], "url": format!("https://hooks.example.com/{other}") });
    stack.call(UPDATE_WEBHOOK, &change).await.ok();
    stack.query(GET_WEBHOOK, &[("id", webhook["id"].as_str().unwrap())]).await.ok();
    stack.query(LIST_WEBHOOKS, &[]).await.ok();

    let bare = |token: &str| token.trim_start_matches("whsec_").to_owned();
    let hidden = [&made, &bare(&made), &rotated, &bare(&rotated), &own, &next, &credential, &other];
    let hidden = hidden.map(String::as_str);
    assert_hidden(&stored(&stack).await, &hidden, "the database");
    stack.stop_core().await;
    assert_hidden(&stored(&stack).await, &hidden, "the database after a stop");
    assert_hidden(logs::text().as_bytes(), &hidden, "the logs");
}

#[tokio::test]
async fn bearer_tokens_are_not_logged() {
    let stack = Stack::start(Kind::Sqlite).await;
    let token = stack.alice.token(crate::harness::stack::SERVICE, CREATE_SECRET);
    let signature = token.rsplit('.').next().unwrap().to_owned();
    stack.call_with(&token, CREATE_SECRET, &json!({ "name": "a" })).await.ok();
    stack.call_with(&token, CREATE_WEBHOOK, &json!({})).await.error(401, "AuthenticationRequired");
    assert_hidden(logs::text().as_bytes(), &[&token, &signature], "the logs");
}

/// What both services log: all that they and the database's driver can.
const EVERYTHING: &str = "trace,sqlx=trace,sea_orm=trace,sea_orm_migration=trace,tonic=trace,reqwest=trace,\
                          rustls=trace,hyper=trace,hyper_util=trace,h2=trace,tower=trace";
/// The password of the database, and as it is written in a URL.
const PASSWORD: [&str; 2] = ["let:me/in@9", "let%3Ame%2Fin%409"];
const CORE_TOKEN: &str = "0123456789abcdef-shared-by-services";

/// A client of a gateway, and the tokens that it has used.
struct Client {
    gateway: SocketAddr,
    caller: Identity,
    tokens: Vec<String>,
}

impl Client {
    async fn call(&mut self, nsid: &str, input: &Value) -> Answer {
        let token = self.caller.token(SERVICE, nsid);
        let request = reqwest::Client::new().post(format!("http://{}/xrpc/{nsid}", self.gateway));
        let answer = read(request.bearer_auth(&token).json(input)).await;
        self.tokens.push(token);
        answer
    }
}

/// A run of both services with a database that has a password, receivers that are there and that are not, and
/// the end of the password.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_told_at_the_level_trace() {
    let database = Database::create(Kind::Postgres, true).await;
    let (server, name) = server_and_name(&database.url());
    let admin = Connect::connect(format!("postgres://athook@{server}/postgres")).await.unwrap();
    require_password(&admin, "guarded", PASSWORD[0]).await;
    admin.execute_unprepared(&format!("ALTER DATABASE {name} OWNER TO guarded")).await.unwrap();
    let url = format!("postgres://guarded:{}@{server}/{name}?application_name=value-of-the-url", PASSWORD[1]);

    let folder = tempfile::tempdir().unwrap();
    let token_file = folder.path().join("token").display().to_string();
    std::fs::write(&token_file, CORE_TOKEN).unwrap();
    let caller = Identity::new("did:plc:alice2222222222222222222", Key::k256());
    std::fs::write(folder.path().join("alice.json"), caller.document().to_string()).unwrap();
    let core = Service::core_service_that_tries(&url, &[KEY], "connect")
        .flag("--log", EVERYTHING)
        .flag("--core-token-file", &token_file)
        .flag("--allow-http", "true")
        .flag("--allow-private-ranges", "127.0.0.0/8")
        .flag("--retry-schedule", "10ms");
    let mut core = core.start().await;
    let gateway = Service::gateway(core.address, folder.path())
        .flag("--log", EVERYTHING)
        .flag("--core-token-file", &token_file);
    let gateway = gateway.start().await;

    let mut client = Client { gateway: gateway.address, caller, tokens: Vec::new() };
    while client.call(CREATE_SECRET, &json!({ "name": "deploys" })).await.status == 502 {}
    let rotated = client.call(ROTATE_SECRET, &json!({ "name": "deploys" })).await.ok();
    let signing = rotated["token"].as_str().unwrap().to_owned();
    let mut hook = Hook::start().await;
    let webhook = |place: &str| {
        let url = format!("{place}/path-with-a-credential?and=another-credential");
        json!({ "url": url, "events": ["chat"], "active": true, "secretId": "deploys" })
    };
    let there = client.call(CREATE_WEBHOOK, &webhook(&hook.url(""))).await.ok()["webhook"].take();
    client.call(CREATE_WEBHOOK, &webhook(&hook.url(""))).await.error(400, "DuplicateWebhook");
    for nowhere in
        ["http://127.0.0.1:9", "http://receiver.invalid", "https://10.0.0.1", "ftp://receiver.example"]
    {
        client.call(CREATE_WEBHOOK, &webhook(nowhere)).await.error(400, "InvalidUrl");
    }
    let publisher = Publisher::with_token(core.address, CORE_TOKEN);
    let did = client.caller.did.clone();
    publisher.publish(vec![chat(&did, "one", "words-of-a-message")]).await.unwrap();
    hook.next().await;
    // Nobody receives any more.
    drop(hook);
    publisher.publish(vec![chat(&did, "other", "words-of-a-message")]).await.unwrap();
    core.logged("attempt").await;
    client
        .call(
            UPDATE_WEBHOOK,
            &json!({ "id": there["id"], "url": "http://127.0.0.1:9/path-with-a-credential" }),
        )
        .await;

    // New sessions are refused, and the server names the user.
    for statement in [
        "ALTER ROLE guarded PASSWORD 'another'".to_owned(),
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"),
    ] {
        admin.execute_unprepared(&statement).await.unwrap();
    }
    core.logged("the server refuses the password, or has no such role (SQLSTATE 28P01)").await;
    client.call(CREATE_SECRET, &json!({ "name": "more" })).await.error(502, "UpstreamFailure");

    let bare = signing.trim_start_matches("whsec_").to_owned();
    let mut hidden = vec![signing, bare, CORE_TOKEN.to_owned(), "guarded".to_owned()];
    hidden.extend(PASSWORD.map(str::to_owned));
    hidden.extend(client.tokens.iter().map(|token| token.rsplit('.').next().unwrap().to_owned()));
    for text in ["path-with-a-credential", "another-credential", "value-of-the-url", "words-of-a-message"] {
        hidden.push(text.to_owned());
    }
    for service in [core, gateway] {
        let (_, log) = service.terminate().await;
        assert!(log.contains("\"TRACE\""), "it is the level trace");
        assert_hidden(log.as_bytes(), &hidden.iter().map(String::as_str).collect::<Vec<_>>(), "the log");
    }
}

/// Every byte of a SQLite database's files, or every row of a Postgres database as text.
async fn stored(stack: &Stack) -> Vec<u8> {
    match &stack.database {
        Database::Sqlite { .. } => {
            let files = stack.database.files();
            assert!(!files.is_empty());
            files.iter().flat_map(|file| std::fs::read(file).unwrap()).collect()
        }
        Database::Postgres { .. } => {
            let mut rows = String::new();
            for table in ["account", "secret", "webhook", "index_key"] {
                rows.push_str(&stack.database.rows_as_text(table).await);
            }
            assert!(rows.contains("deploys"), "the search finds what is not sealed: {rows}");
            // Postgres shows bytes in hexadecimal.
            let bytes: Vec<u8> = rows
                .split("\\x")
                .skip(1)
                .flat_map(|hex| {
                    let digits: Vec<u8> = hex.bytes().take_while(u8::is_ascii_hexdigit).collect();
                    digits
                        .chunks_exact(2)
                        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
                        .collect::<Vec<_>>()
                })
                .collect();
            [rows.into_bytes(), bytes].concat()
        }
    }
}

fn assert_hidden(bytes: &[u8], hidden: &[&str], place: &str) {
    assert!(!bytes.is_empty());
    for text in hidden {
        let line = bytes
            .split(|byte| *byte == b'\n')
            .find(|line| line.windows(text.len()).any(|window| window == text.as_bytes()));
        assert!(line.is_none(), "{place} has {text}: {}", String::from_utf8_lossy(line.unwrap_or_default()));
    }
}
