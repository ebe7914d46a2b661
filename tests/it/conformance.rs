//! What holds for every method, checked for each one that a lexicon declares: verbs, callers, and the form of
//! requests (docs/methods.md, "Conventions"). Of a method these tests need its least input and nothing else;
//! one without it fails them.

mod client;

use http::Method as Verb;
use serde_json::{Value, json};

use self::client::clients;
use crate::harness::answer::{Answer, error, invalid};
use crate::harness::database::Kind;
use crate::harness::identity::{Identity, Key};
use crate::harness::stack::{CREATE_SECRET, LIST_SECRETS, SERVICE, Setup, Stack};
use crate::harness::table::Table;

/// The largest body, in bytes.
const MAX_BODY_BYTES: usize = 65_536;
/// JSON values of every type, each with the word for it in error messages.
const VALUES: [(&str, &str); 6] = [
    ("null", "null"),
    ("true", "a boolean"),
    ("1", "an integer"),
    ("\"text\"", "a string"),
    ("[]", "an array"),
    ("{}", "an object"),
];

async fn start() -> Stack {
    Setup::on(Kind::Sqlite).core("--probe", "off").core("--delivery", "off").start().await
}

#[tokio::test]
async fn wrong_verb() {
    let stack = start().await;
    let mut table = Table::default();
    for client in clients(&stack).await {
        let (message, allow) = match client.is_query() {
            true => ("a query: call it with GET", "GET, HEAD"),
            false => ("a procedure: call it with POST", "POST"),
        };
        let verbs = [Verb::GET, Verb::HEAD, Verb::POST, Verb::PUT, Verb::DELETE, Verb::PATCH];
        for verb in verbs.into_iter().filter(|verb| !allow.split(", ").any(|allowed| allowed == verb)) {
            let answer = stack.send(stack.request(verb.clone(), &format!("/xrpc/{}", client.nsid))).await;
            let body = if verb == Verb::HEAD { String::new() } else { invalid(message).1 };
            let case = format!("{verb} {}", client.nsid);
            table.check(case, (answer.whole(), answer.header("allow")), ((400, body), allow));
        }
    }
    table.finish();
}

#[tokio::test]
async fn caller_must_be_known() {
    let stack = start().await;
    let mut table = Table::default();
    for client in clients(&stack).await {
        let before = client.state().await;
        let stranger = Identity::new("did:plc:stranger2222222222222222", Key::k256());
        let another = if client.nsid == LIST_SECRETS { CREATE_SECRET } else { LIST_SECRETS };
        for (case, token, code, message) in [
            ("no token", "", "", "a service-auth token is needed: Authorization: Bearer <JWT>"),
            (
                "token of another method",
                &client.caller.token(SERVICE, another),
                "error=\"invalid_token\", ",
                "wrong method: the lxm of the token is not the method called",
            ),
            (
                "unknown caller",
                &stranger.token(SERVICE, client.nsid),
                "error=\"invalid_token\", ",
                "the DID of the issuer is not known to its directory",
            ),
        ] {
            // With its input, and with one that is wrong: who calls is checked before.
            for input in [&client.least, &json!({ "limit": 0 })] {
                let mut request = client.request(input);
                if !token.is_empty() {
                    request = request.bearer_auth(token);
                }
                let answer = stack.send(request).await;
                table.check(
                    format!("{case}: {} {input}", client.nsid),
                    (answer.whole(), answer.header("www-authenticate")),
                    (
                        error(401, "AuthenticationRequired", message),
                        &*format!("Bearer {code}error_description=\"{message}\""),
                    ),
                );
            }
        }
        table.check(format!("{} did something", client.nsid), client.state().await, before);
    }
    table.finish();
}

#[tokio::test]
async fn head_is_get_without_its_body() {
    let stack = start().await;
    let mut table = Table::default();
    for client in clients(&stack).await.iter().filter(|client| client.is_query()) {
        let wrong = json!({ "id": "\0", "limit": 0 });
        for (token, input) in
            [(client.token(), &client.least), (client.token(), &wrong), (String::new(), &client.least)]
        {
            let target = client.target(input);
            let send = async |verb: Verb| stack.send(stack.request(verb, &target).bearer_auth(&token)).await;
            let (head, get) = (send(Verb::HEAD).await, send(Verb::GET).await);
            let described = |answer: &Answer| {
                let header = |name: &str| answer.header(name).to_owned();
                (answer.status, header("content-type"), header("content-length"))
            };
            table.check(&target, described(&head), described(&get));
            table.check(&target, (head.body.as_str(), get.body.is_empty()), ("", false));
        }
    }
    table.finish();
}

/// What the lexicon does not have is ignored; above all nothing there names another caller.
#[tokio::test]
async fn unknown_fields_are_ignored() {
    let stack = start().await;
    let mut table = Table::default();
    let clients = clients(&stack).await;
    for (client, victim) in clients.iter().zip(clients.iter().cycle().skip(1)) {
        let before = victim.state().await;
        let mut input = client.least.clone();
        for name in ["callerDid", "caller_did", "did", "iss", "owner"] {
            input[name] = json!(victim.caller.did);
        }
        for (name, value) in [("", json!(null)), ("$type", json!(1)), ("other", json!([1, { "deep": [] }]))] {
            input[name] = value;
        }
        for (name, _) in client.fields() {
            input[name.to_uppercase()] = json!(1);
            let snake_case = name.replace('I', "_i").replace('W', "_w").replace('F', "_f");
            if snake_case != name {
                input[snake_case] = json!(1);
            }
        }
        let answer = client.call(&input).await;
        table.check(client.nsid, (answer.status.as_u16(), answer.body.contains("error\":\"")), (200, false));
        table.check(format!("{}: another caller", client.nsid), victim.state().await, before);
        if client.is_query() {
            let twice = client.query("other=1&other=2").await;
            table.check(format!("{}: twice", client.nsid), twice.whole(), answer.whole());
        }
    }
    table.finish();
}

#[tokio::test]
async fn required_fields() {
    let stack = start().await;
    let mut table = Table::default();
    for client in clients(&stack).await {
        for field in client.schema()["required"].as_array().into_iter().flatten() {
            let field = field.as_str().unwrap();
            let mut input = client.least.clone();
            input.as_object_mut().unwrap().remove(field);
            let expected = invalid(&format!("{}.{field}: required", client.root()));
            table.check(format!("{} {field}", client.nsid), client.call(&input).await.whole(), expected);
        }
    }
    table.finish();
}

/// The word for a field's type in error messages.
fn expected_type(schema: &Value) -> &'static str {
    match schema["type"].as_str().unwrap() {
        "string" => "a string",
        "boolean" => "a boolean",
        "integer" => "an integer",
        "array" => "an array",
        "ref" | "object" => "an object",
        other => panic!("add the word for {other}"),
    }
}

/// `null` is a wrong type as well.
#[tokio::test]
async fn wrong_types_are_named_with_their_path() {
    let stack = start().await;
    let mut table = Table::default();
    for client in clients(&stack).await {
        for (field, schema) in client.fields() {
            if client.is_query() {
                let message = match expected_type(schema) {
                    "an integer" => "expected an integer",
                    "a boolean" => "expected true or false",
                    _ => continue,
                };
                let expected = invalid(&format!("params.{field}: {message}"));
                for text in ["text", "null"] {
                    let answer = client.call(&client.with(field, json!(text))).await;
                    table.check(
                        format!("{} {field} {text:?}", client.nsid),
                        answer.whole(),
                        expected.clone(),
                    );
                }
                continue;
            }
            let mut places = vec![(field.to_owned(), "{}", schema)];
            if schema["type"] == "array" {
                places.push((format!("{field}[0]"), "[{}]", &schema["items"]));
            }
            for (path, around, schema) in places {
                let word = expected_type(schema);
                let expected = invalid(&format!("input.{path}: expected {word}"));
                for (text, _) in VALUES.iter().filter(|(_, of)| *of != word) {
                    let value = serde_json::from_str(&around.replace("{}", text)).unwrap();
                    let answer = client.call(&client.with(field, value)).await;
                    table.check(format!("{} {path} {text}", client.nsid), answer.whole(), expected.clone());
                }
            }
        }
    }
    table.finish();
}

#[tokio::test]
async fn nul_in_any_string() {
    let stack = start().await;
    let mut table = Table::default();
    for client in clients(&stack).await {
        for (field, schema) in client.fields() {
            let (path, value) = match (schema["type"].as_str(), schema["items"]["type"].as_str()) {
                (Some("string"), _) => (field.to_owned(), json!("a\0b")),
                (_, Some("string")) => (format!("{field}[1]"), json!(["a", "\0"])),
                _ => continue,
            };
            let answer = client.call(&client.with(field, value)).await;
            let expected = invalid(&format!("{}.{path}: contains U+0000", client.root()));
            table.check(format!("{} {path}", client.nsid), answer.whole(), expected);
        }
        if !client.is_query() {
            let answer = client.call(&client.with("other", json!(["\0"]))).await;
            let expected = invalid("the body contains U+0000 in a string");
            table.check(format!("{} other", client.nsid), answer.whole(), expected);
        }
    }
    table.finish();
}

#[tokio::test]
async fn field_given_twice() {
    let stack = start().await;
    let mut table = Table::default();
    for client in clients(&stack).await {
        let any = json!({ "type": "string" });
        let fields: Vec<(&str, &Value)> = client.fields().collect();
        for (field, schema) in fields.into_iter().chain((!client.is_query()).then_some(("other", &any))) {
            let (value, _) = match schema["format"].as_str() {
                Some("datetime") => &("\"2026-01-01T00:00:00Z\"", "a string"),
                _ => VALUES.iter().find(|(_, of)| *of == expected_type(schema)).unwrap(),
            };
            let answer = if client.is_query() {
                let value = value.trim_matches('"');
                client.query(&format!("{field}={value}&{field}={value}")).await
            } else {
                client.post(format!("{{\"{field}\":{value},\"{field}\":{value}}}")).await
            };
            let expected = invalid(&format!("{}.{field}: given twice", client.root()));
            table.check(format!("{} {field}", client.nsid), answer.whole(), expected);
        }
    }
    table.finish();
}

#[tokio::test]
async fn body_is_json_of_at_most_64_kib() {
    let stack = start().await;
    let mut table = Table::default();
    let no_type = invalid("Content-Type: must be application/json");
    for client in clients(&stack).await.iter().filter(|client| !client.is_query()) {
        let least = client.least.to_string();
        for (case, headers, expected) in [
            ("no type", &[][..], &no_type),
            ("text", &[("content-type", "text/plain")], &no_type),
            ("a longer name", &[("content-type", "application/jsonx")], &no_type),
            ("a form", &[("content-type", "application/x-www-form-urlencoded")], &no_type),
            (
                "compressed",
                &[("content-type", "application/json"), ("content-encoding", "gzip")],
                &invalid("Content-Encoding: not taken here"),
            ),
        ] {
            let mut request = stack.post(client.nsid).bearer_auth(client.token()).body(least.clone());
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            table.check(
                format!("{} {case}", client.nsid),
                stack.send(request).await.whole(),
                expected.clone(),
            );
        }
        let padded = |bytes: usize| {
            let start = format!("{},\"other\":\"", least.strip_suffix('}').unwrap());
            format!("{start}{}\"}}", "x".repeat(bytes - start.len() - 2))
        };
        let over = client.post(padded(MAX_BODY_BYTES + 1)).await;
        let expected = error(413, "PayloadTooLarge", "the body is over 65536 bytes");
        table.check(format!("{} over the limit", client.nsid), over.whole(), expected);
        let at = client.post(padded(MAX_BODY_BYTES)).await;
        table.check(format!("{} at the limit", client.nsid), at.status.as_u16(), 200);
    }
    table.finish();
}
