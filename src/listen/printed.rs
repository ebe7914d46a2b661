//! A request as `athook listen` prints it.

use std::fmt::Write as _;

use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Map, Value, json};

use crate::event_types::EVENT_TYPES;
use crate::printable::escaped;
use crate::verdict::Verdict;

/// Of a longer body so many characters are printed, unless all are asked for.
const SHOWN_CHARS: usize = 1_000;

/// For people, or a line of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Text {
        /// Bodies as a whole.
        verbose: bool,
    },
    Json,
}

/// A request and its answer.
pub(super) struct Printed<'a> {
    pub(super) method: &'a Method,
    pub(super) uri: &'a Uri,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
    pub(super) verdict: &'a Verdict,
    pub(super) status: StatusCode,
    /// Why the receiver that the request was passed on to did not answer; then the status is 502.
    pub(super) no_answer: Option<String>,
    pub(super) milliseconds: u128,
}

impl Printed<'_> {
    /// Characters that could control a terminal are escaped: anybody on the machine can send a request, and
    /// strangers write what events say.
    pub(super) fn text(&self, form: Form) -> String {
        match form {
            Form::Json => format!("{}\n", self.json()),
            Form::Text { verbose } => self.lines(verbose),
        }
    }

    fn lines(&self, verbose: bool) -> String {
        let Self { method, uri, headers, body, verdict, status, no_answer, milliseconds } = self;
        let signature = if verdict.is_verified() { "ok" } else { "not verified" };
        let id = headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or("no webhook-id");
        let mut text =
            format!("--> {} [{}] signature {signature}\n", escaped(&event_type(body)), escaped(id));
        let _ = writeln!(text, "{method} {uri}");
        for (name, value) in *headers {
            let _ = writeln!(text, "{name}: {}", escaped(&String::from_utf8_lossy(value.as_bytes())));
        }
        let _ = writeln!(text, "\n{}\n\n{verdict}", shown(&String::from_utf8_lossy(body), verbose));
        let cause = no_answer.as_ref().map(|cause| format!(", no answer: {}", escaped(cause)));
        let _ = writeln!(
            text,
            "<-- {} {method} {uri} {milliseconds} ms{}\n",
            status.as_u16(),
            cause.unwrap_or_default()
        );
        text
    }

    fn json(&self) -> Value {
        let Self { method, uri, headers, body, verdict, status, no_answer, milliseconds } = self;
        let mut fields = Map::new();
        for (name, value) in *headers {
            fields.insert(name.to_string(), String::from_utf8_lossy(value.as_bytes()).into());
        }
        json!({
            "method": method.as_str(),
            "path": uri.to_string(),
            "headers": fields,
            "body": String::from_utf8_lossy(body),
            "verified": verdict.is_verified(),
            "verdict": verdict.to_string(),
            "status": status.as_u16(),
            "noAnswer": no_answer,
            "durationMs": u64::try_from(*milliseconds).unwrap_or(u64::MAX),
        })
    }
}

/// The types of events for people.
pub(super) fn types(events: &[String]) -> String {
    if events.len() == EVENT_TYPES.len() { "every event".to_owned() } else { events.join(", ") }
}

/// What the body says that it is about; the forms of Discord and Slack say nothing of it.
fn event_type(body: &[u8]) -> String {
    let body: Option<Value> = serde_json::from_slice(body).ok();
    let named = body.as_ref().and_then(|body| body["type"].as_str());
    named.unwrap_or("request").to_owned()
}

fn shown(body: &str, verbose: bool) -> String {
    match body.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) if !verbose => {
            format!("{}… ({} bytes; -v shows all)", escaped(&body[..end]), body.len())
        }
        _ => escaped(body),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn printed(body: &str, form: Form) -> String {
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", HeaderValue::from_static("msg_1"));
        headers.insert("x-odd", HeaderValue::from_bytes(b"\xe4").unwrap());
        let printed = Printed {
            method: &Method::POST,
            uri: &Uri::from_static("/a?b"),
            headers: &headers,
            body: body.as_bytes(),
            verdict: &Verdict::NoToken,
            status: StatusCode::NO_CONTENT,
            no_answer: None,
            milliseconds: 12,
        };
        printed.text(form)
    }

    #[test]
    fn whole_request() {
        let body = "{\n\"type\":\"chat\",\"text\":\"\u{202e}é\"\r\n}";
        assert_eq!(
            printed(body, Form::Text { verbose: false }),
            "--> chat [msg_1] signature not verified\nPOST /a?b\nwebhook-id: msg_1\nx-odd: \u{fffd}\n\n{\n\
             \"type\":\"chat\",\"text\":\"\\u{202e}é\"\\r\n}\n\nnot verified: there is no token (--secret \
             TOKEN)\n<-- 204 POST /a?b 12 ms\n\n"
        );
        let line: Value = serde_json::from_str(&printed(body, Form::Json)).unwrap();
        assert_eq!(
            (&line["body"], &line["verified"], &line["status"]),
            (&json!(body), &json!(false), &json!(204))
        );
        assert_eq!(line["headers"], json!({ "webhook-id": "msg_1", "x-odd": "\u{fffd}" }));
    }

    #[test]
    fn long_bodies_are_cut() {
        let body = "é".repeat(SHOWN_CHARS + 1);
        let cut = format!("{}… (2002 bytes; -v shows all)", "é".repeat(SHOWN_CHARS));
        assert!(printed(&body, Form::Text { verbose: false }).contains(&cut));
        assert!(printed(&body, Form::Text { verbose: true }).contains(&body));
    }
}
