//! What names and tokens of secrets may look like, for each method that takes them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::harness::answer::invalid;
use crate::harness::database::Kind;
use crate::harness::stack::{CREATE_SECRET, DELETE_SECRET, ROTATE_SECRET, Stack};
use crate::harness::table::Table;

const NAME_RULE: &str = "input.name: must be a record key: 1 to 512 bytes of A-Z a-z 0-9 . _ ~ : - \
                         and neither \".\" nor \"..\"";
const TOKEN_RULE: &str = "input.token: must be 32 to 256 bytes of printable ASCII without space";
const TOKEN_KEY_RULE: &str =
    "input.token: must continue after \"whsec_\" with standard base64 of 24 to 64 bytes";

#[tokio::test]
async fn names_just_inside() {
    let stack = Stack::start(Kind::Sqlite).await;
    let longest = "n".repeat(512);
    for name in ["a", "...", ".a", "A-Z_~:.09", "self", &longest] {
        assert_eq!(stack.create_secret(name).await.ok()["name"], name);
        assert_eq!(stack.call(ROTATE_SECRET, &json!({ "name": name })).await.ok()["name"], name);
        let deleted = stack.call(DELETE_SECRET, &json!({ "name": name })).await;
        assert_eq!(deleted.whole(), (200, String::new()));
    }
}

#[tokio::test]
async fn names_just_outside() {
    let stack = Stack::start(Kind::Sqlite).await;
    let mut table = Table::default();
    let too_long = "n".repeat(513);
    for nsid in [CREATE_SECRET, ROTATE_SECRET, DELETE_SECRET] {
        for name in ["", ".", "..", &too_long, "a b", "a/b", "a%b", "é", "a\n", "a#", "a@b", "a(b)"] {
            let answer = stack.call(nsid, &json!({ "name": name })).await;
            table.check(format!("{nsid} {name:?}"), answer.whole(), invalid(NAME_RULE));
        }
    }
    table.finish();
}

#[tokio::test]
async fn tokens_just_inside_are_kept_as_they_are() {
    let stack = Stack::start(Kind::Sqlite).await;
    for (name, token) in [
        ("shortest", "!".repeat(32)),
        ("longest", "~".repeat(256)),
        ("shortest-key", format!("whsec_{}", STANDARD.encode([0xfb; 24]))),
        ("longest-key", format!("whsec_{}", STANDARD.encode([0xfb; 64]))),
        ("other-prefix", format!("whsek_{}", "!".repeat(26))),
    ] {
        // The same token again is no mistake: the client may not have got the first answer.
        for nsid in [CREATE_SECRET, ROTATE_SECRET, ROTATE_SECRET] {
            let answer = stack.call(nsid, &json!({ "name": name, "token": token })).await;
            assert_eq!(answer.ok()["token"], token);
        }
    }
}

#[tokio::test]
async fn tokens_just_outside() {
    let stack = Stack::start(Kind::Sqlite).await;
    let mut table = Table::default();
    stack.create_secret("deploys").await.ok();
    let with = |odd: &str| format!("{}{odd}{}", "x".repeat(20), "x".repeat(20));
    for (nsid, name) in [(CREATE_SECRET, "new"), (ROTATE_SECRET, "deploys")] {
        for token in
            [String::new(), "x".repeat(31), "x".repeat(257), with(" "), with("\t"), with("\u{7f}"), with("é")]
        {
            let answer = stack.call(nsid, &json!({ "name": name, "token": token })).await;
            table.check(format!("{nsid} {token:?}"), answer.whole(), invalid(TOKEN_RULE));
        }
        for rest in [
            STANDARD.encode([0; 23]),
            STANDARD.encode([0; 65]),
            STANDARD.encode([0; 25]).trim_end_matches('=').to_owned(),
            "-_".repeat(16),
            "!".repeat(26),
        ] {
            let answer = stack.call(nsid, &json!({ "name": name, "token": format!("whsec_{rest}") })).await;
            table.check(format!("{nsid} whsec_{rest}"), answer.whole(), invalid(TOKEN_KEY_RULE));
        }
    }
    table.finish();
    // None of these calls has written anything.
    let secrets = stack.secrets().await;
    assert_eq!((secrets.len(), secrets[0].get("lastRotatedAt")), (1, None));
}
