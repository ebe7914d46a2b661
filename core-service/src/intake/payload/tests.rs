//! Payloads, byte for byte.

use serde_json::json;

use super::*;

const ID: Uuid = Uuid::from_u128(0x0193_0000_0000_8000_8000_0000_0000_0001);
const DID: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
/// 2026-11-29T12:00:00.123456Z in microseconds.
const TIME_US: i64 = 1_795_953_600_123_456;

fn commit(collection: &str, operation: Operation, record: Option<&str>) -> Commit {
    Commit {
        rev: "3l6oveex3ii2l".to_owned(),
        operation,
        collection: collection.to_owned(),
        rkey: "3l6oveex3ii2k".to_owned(),
        cid: record.map(|_| "bafyrei".to_owned()),
        record: record.map(|json| RawValue::from_string(json.to_owned()).unwrap()),
    }
}

/// The record of the payload for a record.
fn record_in(collection: &str, record: &str) -> Result<String, NoPayload> {
    let json = payload(DID, &commit(collection, Operation::Create, Some(record)), TIME_US)?.of(ID);
    let begin = r#""record":"#;
    let end = r#","rkey":"3l6oveex3ii2k","timestamp":"2026-11-29T12:00:00.123Z"}"#;
    Ok(json.split_once(begin).unwrap().1.strip_suffix(end).unwrap().to_owned())
}

#[test]
fn whole() {
    let create = commit("a.b.c", Operation::Create, Some(r#"{"z":1,"a":["x"]}"#));
    assert_eq!(
        payload(DID, &create, TIME_US).unwrap().of(ID),
        concat!(
            r#"{"cid":"bafyrei","collection":"a.b.c","did":"did:plc:ewvi7nxzyoun6zhxrhs64oiz","event":"create","#,
            r#""id":"01930000-0000-8000-8000-000000000001","record":{"a":["x"],"z":1},"rkey":"3l6oveex3ii2k","#,
            r#""timestamp":"2026-11-29T12:00:00.123Z"}"#,
        )
    );
    let delete = commit("a.b.c", Operation::Delete, None);
    assert_eq!(
        payload(DID, &delete, -1).unwrap().of(ID),
        concat!(
            r#"{"collection":"a.b.c","did":"did:plc:ewvi7nxzyoun6zhxrhs64oiz","event":"delete","#,
            r#""id":"01930000-0000-8000-8000-000000000001","rkey":"3l6oveex3ii2k","#,
            r#""timestamp":"1969-12-31T23:59:59.999Z"}"#,
        )
    );
    // No calendar has it.
    assert_eq!(payload(DID, &delete, i64::MAX), Err(NoPayload::Unreadable));
}

#[test]
fn keys_are_sorted_as_javascript_sorts_them() {
    // A sorrel horse is U+D83D U+DC0E in UTF-16, before U+FF01; in UTF-8 it is behind it.
    let record = r#"{"b":{"é":1,"e":2,"E":3},"\uff01":1,"\ud83d\udc0e":2,"a":[{"y":1,"x":2}],"10":1,"9":2,"":0,"a":[]}"#;
    let sorted = r#"{"":0,"10":1,"9":2,"a":[],"b":{"E":3,"e":2,"é":1},"🐎":2,"！":1}"#;
    assert_eq!(record_in("a.b.c", record).unwrap(), sorted);
}

#[test]
fn texts_are_escaped_as_javascript_escapes_them() {
    let record = r#"["\u0000\u001F\b\f\n\r\t\"\\\/\u007f\u2028é\ud83d\udc0e"]"#;
    let escaped = "[\"\\u0000\\u001f\\b\\f\\n\\r\\t\\\"\\\\/\u{7f}\u{2028}é🐎\"]";
    assert_eq!(record_in("a.b.c", record).unwrap(), escaped);
}

/// What `JSON.stringify(JSON.parse(text))` of Node 20 makes of them.
#[test]
fn numbers() {
    for (text, written) in [
        ("0", "0"),
        ("-0", "0"),
        ("1", "1"),
        ("-1", "-1"),
        ("1.0", "1"),
        ("1.50", "1.5"),
        ("0.1", "0.1"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("100", "100"),
        ("1e20", "100000000000000000000"),
        ("123456789012345680000", "123456789012345680000"),
        ("1e21", "1e+21"),
        ("1.5e21", "1.5e+21"),
        ("-1e21", "-1e+21"),
        ("1E22", "1e+22"),
        ("123e-20", "1.23e-18"),
        ("0.000001", "0.000001"),
        ("0.0000015", "0.0000015"),
        ("0.0000001", "1e-7"),
        ("-1.25e-7", "-1.25e-7"),
        ("5e-324", "5e-324"),
        ("1.7976931348623157e308", "1.7976931348623157e+308"),
        ("9007199254740991", "9007199254740991"),
        ("9007199254740993", "9007199254740992"),
        ("18446744073709551615", "18446744073709552000"),
        ("-9223372036854775808", "-9223372036854776000"),
        ("4.35", "4.35"),
        ("0.5e-6", "5e-7"),
        ("1e300", "1e+300"),
        ("12345678901234567890123", "1.2345678901234568e+22"),
        ("2.2250738585072011e-308", "2.225073858507201e-308"),
        ("6.8000000000000005", "6.800000000000001"),
        ("1.2345678901234567e-5", "0.000012345678901234568"),
        ("8.41e21", "8.41e+21"),
        ("9.5e-322", "9.5e-322"),
    ] {
        assert_eq!(record_in("a.b.c", text).unwrap(), written, "{text}");
    }
}

#[test]
fn secrets_of_wh_records_are_left_out() {
    let record = r#"{"url":"https://a.example/","secret":"s3cret","scope":{"secret":1},"secretId":"main"}"#;
    let stripped = r#"{"scope":{"secret":1},"secretId":"main","url":"https://a.example/"}"#;
    assert_eq!(record_in(COLLECTION, record).unwrap(), stripped);
    // Also a second one, and one written with escapes.
    assert_eq!(
        record_in(COLLECTION, r#"{"secret":"a","\u0073ecret":{"b":[]},"a":true}"#).unwrap(),
        r#"{"a":true}"#
    );
    assert!(record_in("a.b.c", record).unwrap().contains("s3cret"));
}

#[test]
fn bounds() {
    let large = Err(NoPayload::TooLarge);
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    // The record itself is a level below the payload.
    assert_eq!(record_in("a.b.c", &nested(MAX_DEPTH)), Ok(nested(MAX_DEPTH)));
    assert_eq!(record_in("a.b.c", &nested(MAX_DEPTH + 1)), large);
    assert_eq!(record_in("a.b.c", &nested(20_000)), large);

    // The payload, its seven texts, and the list.
    let list = |values: usize| record_in("a.b.c", &json!(vec![0; values]).to_string());
    assert!(list(MAX_NODES - 9).is_ok());
    assert_eq!(list(MAX_NODES - 8), large);

    let key = |units: usize| {
        record_in("a.b.c", &json!({"🐎".repeat(units / 2) + &"a".repeat(units % 2): 1}).to_string())
    };
    assert!(key(MAX_KEY_UNITS).is_ok());
    assert_eq!(key(MAX_KEY_UNITS + 1), large);

    let create = |bytes: usize| {
        let record = json!("x".repeat(bytes)).to_string();
        payload(DID, &commit("a.b.c", Operation::Create, Some(&record)), TIME_US)
            .map(|payload| payload.of(ID))
    };
    let others = create(0).unwrap().len();
    assert_eq!(create(MAX_BYTES - others).unwrap().len(), MAX_BYTES);
    assert_eq!(create(MAX_BYTES - others + 1), large);
    assert_eq!(create(4 * MAX_BYTES), large);
    // Escapes count as they are sent.
    let controls = "\\u0001".repeat(MAX_BYTES / 6);
    assert_eq!(record_in("a.b.c", &format!("\"{controls}\"")), large);
}

#[test]
fn samples() {
    let of = |rest: &str| {
        let scope = Scope::parse(&format!("at://{DID}{rest}"), true).unwrap();
        sample(ID, &scope, TIME_US).unwrap()
    };
    assert_eq!(
        of("/app.bsky.actor.profile/self"),
        concat!(
            r#"{"cid":"bafyreib2rxk3rybk3aobmv5cjuql3bm2twh4jo5uwqf5z4p7y6l5sudoqq","#,
            r#""collection":"app.bsky.actor.profile","did":"did:plc:ewvi7nxzyoun6zhxrhs64oiz","event":"create","#,
            r#""id":"01930000-0000-8000-8000-000000000001","#,
            r#""record":{"$type":"app.bsky.actor.profile","createdAt":"2026-11-29T12:00:00.123Z","text":"A sample record."},"#,
            r#""rkey":"self","timestamp":"2026-11-29T12:00:00.123Z"}"#,
        )
    );
    for rest in ["", "/app.bsky.*", "/nothing"] {
        assert!(of(rest).contains(r#""collection":"app.bsky.feed.post""#), "{rest}");
    }
}

#[test]
fn unreadable() {
    for record in [r#""\ud800""#, r#"{"\udc00":1}"#, "1e400", r#"[1,{"a":"\ud800x"}]"#] {
        assert_eq!(record_in("a.b.c", record), Err(NoPayload::Unreadable), "{record}");
    }
}
