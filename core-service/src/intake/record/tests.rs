//! The rules of a wh record, one by one.

use proptest::prelude::{any, prop_assert, proptest};
use serde_json::{Value, json};

use super::*;

const SCOPE: &str = "at://did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const URL: &str = "https://hooks.example.com/a";

fn parse_raw(json: &str) -> Result<WhRecord, String> {
    let raw: &RawValue = serde_json::from_str(json).unwrap();
    WhRecord::parse(raw, Schemes::Https).map_err(|error| error.to_string())
}

/// The record with `changes`; `null` takes a field away.
fn record(changes: &Value) -> Value {
    let mut record = json!({
        "$type": "place.wisp.v2.wh",
        "scope": {"aturi": SCOPE},
        "url": URL,
        "createdAt": "2026-11-29T12:00:00.000Z",
    });
    let fields = record.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        fields.remove(name);
        if !value.is_null() {
            fields.insert(name.clone(), value.clone());
        }
    }
    record
}

fn parse(changes: &Value) -> Result<WhRecord, String> {
    parse_raw(&record(changes).to_string())
}

#[test]
fn smallest() {
    let WhRecord { scope, url, events, secret, enabled } = parse(&json!({})).unwrap();
    assert_eq!((scope.to_string().as_str(), scope.backlinks), (SCOPE, false));
    assert_eq!(url.expose().as_str(), URL);
    assert_eq!((events, secret, enabled), (Operations::ALL, None, true));
}

#[test]
fn every_field() {
    let changes = json!({
        "scope": {"$type": "place.wisp.v2.wh#atUri", "aturi": format!("{SCOPE}/app.bsky.*/a"), "backlinks": true},
        "events": ["delete", "create"],
        "secretId": "main",
        "enabled": false,
        "phase": {"unknown": [null]},
    });
    let WhRecord { scope, url: _, events, secret, enabled } = parse(&changes).unwrap();
    assert_eq!((scope.to_string(), scope.backlinks), (format!("{SCOPE}/app.bsky.*/a"), true));
    assert_eq!(events.iter().collect::<Vec<_>>(), [Operation::Create, Operation::Delete]);
    assert_eq!(secret, Some(RecordSecret::Named("main".parse().unwrap())));
    assert!(!enabled);
}

#[test]
fn inline_secret_is_kept_and_not_printed() {
    for token in ["s", &"x".repeat(256), "naïve, with spaces"] {
        let secret = parse(&json!({"secret": token})).unwrap().secret;
        assert_eq!(format!("{secret:?}"), "Some(Inline([redacted]))");
        assert_eq!(secret, Some(RecordSecret::Inline(SigningToken::stored(token.to_owned()))));
    }
}

#[test]
fn broken() {
    let datetime = "must be a datetime as RFC 3339 has it, with at most 9 digits of a fraction";
    let events = "events: must be a list of create, update, delete, none of them twice";
    let uri = "scope.aturi: must be at://, a did:plc or did:web in its canonical form (no handle), perhaps a \
               collection, perhaps a record key";
    let secret_id = "secretId: must be 1 to 64 characters of A-Z a-z 0-9 . _ - and neither \".\" nor \"..\"";
    for (changes, reason) in [
        (json!({"$type": null}), "$type: must be place.wisp.v2.wh"),
        (json!({"$type": "place.wisp.v2.wh#main"}), "$type: must be place.wisp.v2.wh"),
        (json!({"scope": null}), "scope: is required"),
        (json!({"scope": SCOPE}), "scope: must be an object"),
        (json!({"scope": []}), "scope: must be an object"),
        (json!({"scope": {}}), "scope.aturi: is required"),
        (json!({"scope": {"aturi": 1}}), uri),
        (json!({"scope": {"aturi": "at://alice.example"}}), uri),
        (json!({"scope": {"aturi": format!("{SCOPE}?q")}}), uri),
        (
            json!({"scope": {"aturi": SCOPE, "$type": "x"}}),
            "scope.$type: must be place.wisp.v2.wh#atUri or absent",
        ),
        (json!({"scope": {"aturi": SCOPE, "backlinks": 1}}), "scope.backlinks: must be true or false"),
        (
            json!({"scope": {"aturi": SCOPE, "backlinks": Value::Null}}),
            "scope.backlinks: must be true or false",
        ),
        (json!({"url": null}), "url: is required"),
        (json!({"url": 1}), "url: must be a text"),
        (json!({"url": ""}), "url: must be an absolute URL"),
        (json!({"url": "http://hooks.example.com/"}), "url: must be https"),
        (json!({"url": "https://a:b@hooks.example.com/"}), "url: must not have a user name or password"),
        (json!({"url": "https://hooks.example.com/#a"}), "url: must not have a fragment"),
        (json!({"url": format!("{URL}{}", "a".repeat(2048))}), "url: must be at most 2048 bytes"),
        (json!({"events": "create"}), events),
        (json!({"events": ["create", "create"]}), events),
        (json!({"events": ["Create"]}), events),
        (json!({"events": ["create", "update", "delete", "x"]}), events),
        (json!({"events": [1]}), events),
        (json!({"secret": ""}), "secret: must be 1 to 256 bytes"),
        (json!({"secret": "x".repeat(257)}), "secret: must be 1 to 256 bytes"),
        (json!({"secret": 5}), "secret: must be 1 to 256 bytes"),
        (json!({"secretId": ""}), secret_id),
        (json!({"secretId": "a b"}), secret_id),
        (json!({"secretId": "a:b"}), secret_id),
        (json!({"secretId": ".."}), secret_id),
        (json!({"secretId": "x".repeat(65)}), secret_id),
        (json!({"secretId": "a", "secret": "b"}), "secretId: must not be there together with secret"),
        (json!({"enabled": "true"}), "enabled: must be true or false"),
        (json!({"createdAt": null}), "createdAt: is required"),
        (json!({"createdAt": 1}), &format!("createdAt: {datetime}")),
        (json!({"createdAt": "2026-11-29"}), &format!("createdAt: {datetime}")),
        (json!({"createdAt": "2026-11-29T12:00:00"}), &format!("createdAt: {datetime}")),
        (json!({"createdAt": "2026-11-29 12:00:00Z"}), &format!("createdAt: {datetime}")),
        (json!({"createdAt": "2026-13-29T12:00:00Z"}), &format!("createdAt: {datetime}")),
        (json!({"createdAt": "2026-11-29T12:00:00.1234567890Z"}), &format!("createdAt: {datetime}")),
    ] {
        assert_eq!(parse(&changes).unwrap_err(), reason, "{changes}");
    }
}

#[test]
fn just_within_the_rules() {
    for changes in [
        json!({"events": []}),
        json!({"events": ["delete", "update", "create"]}),
        json!({"secretId": "x".repeat(64)}),
        json!({"secretId": "A.z_0-"}),
        json!({"url": "https://hooks.example.com/#"}),
        json!({"createdAt": "2026-11-29T12:00:00Z"}),
        json!({"createdAt": "2026-11-29T12:00:00.123456789+01:00"}),
        json!({"scope": {"aturi": SCOPE, "backlinks": false, "more": 1}}),
    ] {
        let parsed = parse(&changes);
        assert!(parsed.is_ok(), "{changes}: {parsed:?}");
    }
}

#[test]
fn at_uris() {
    let owner: Did = "did:web:localhost%3A8080".parse().unwrap();
    let uri = at_uri(owner.as_str(), "self");
    assert_eq!(uri, "at://did:web:localhost%3A8080/place.wisp.v2.wh/self");
    assert_eq!(rkey_of(&uri, &owner), Some("self"));
    for uri in [
        "",
        "at://did:web:localhost%3A8080",
        "at://did:web:localhost%3A8080/place.wisp.v2.wh",
        "at://did:web:localhost%3A8080/place.wisp.v2.wh/",
        "at://did:web:localhost%3A8080/place.wisp.v2.whs/self",
        "at://did:web:localhost%3A80801/place.wisp.v2.wh/self",
        "at://did:plc:a/place.wisp.v2.wh/self",
    ] {
        assert_eq!(rkey_of(uri, &owner), None, "{uri}");
    }
}

#[test]
fn http_where_it_is_allowed() {
    let record = record(&json!({"url": "http://127.0.0.1:9100/"})).to_string();
    let raw: &RawValue = serde_json::from_str(&record).unwrap();
    assert!(WhRecord::parse(raw, Schemes::Https).is_err());
    assert!(WhRecord::parse(raw, Schemes::HttpsAndHttp).is_ok());
}

/// The network has records like these.
#[test]
fn hostile() {
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let with =
        |field: &str, json: &str| record(&json!({field: "HERE"})).to_string().replace("\"HERE\"", json);
    for json in ["null", "1", "\"a\"", "[]", &deep, "[\"place.wisp.v2.wh\", {}, \"https://a.example/\"]"] {
        assert_eq!(parse_raw(json).unwrap_err(), "the record: must be an object");
    }
    // A field of no concern may hold anything.
    assert!(parse_raw(&with("more", &deep)).is_ok());
    assert_eq!(parse_raw(&with("enabled", &deep)).unwrap_err(), "enabled: must be true or false");
    assert_eq!(parse_raw(&with("url", "\"\\ud800\"")).unwrap_err(), "url: must be a text");
    assert_eq!(
        parse_raw(&with("url", "\"https://a.example/\\u0000\"")).unwrap_err(),
        "url: must be an absolute URL"
    );
    let twice =
        record(&json!({})).to_string().replace("{\"$type\"", "{\"url\":\"https://b.example/\",\"$type\"");
    assert_eq!(parse_raw(&twice).unwrap_err(), "the record: must be an object");
}

proptest! {
    #[test]
    fn reasons_have_no_value_in_them(field in "scope|url|events|secret|secretId|enabled|createdAt", value in "[a-z]{8}") {
        for value in [json!(value), json!([value]), json!({"aturi": value}), json!(format!("https://{value}@x/"))] {
            if let Err(reason) = parse(&json!({field.as_str(): value})) {
                prop_assert!(!reason.contains(&value.to_string().replace(['"', '[', ']'], "")), "{}", reason);
            }
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>(), field in "url|secret|secretId|createdAt") {
        let changes = json!({field.as_str(): text});
        if let Ok(record) = parse(&changes) {
            prop_assert!(record.url.expose().scheme() == "https");
        }
    }
}
