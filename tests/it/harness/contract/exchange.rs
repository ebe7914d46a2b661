//! Requests and answers as the contract checks them, also read from the bytes of HTTP/1.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::harness::answer::Answer;
use crate::harness::contract::Violation;

/// How much of a body an error message shows, in bytes.
const MAX_SHOWN_BYTES: usize = 2000;
/// The most header fields that are read.
const MAX_HEADERS: usize = 128;

/// A request as it was sent.
#[derive(Debug)]
pub(crate) struct SentRequest {
    pub(crate) verb: Method,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    /// `None`: it was sent in chunks and not kept.
    pub(crate) body: Option<Vec<u8>>,
}

impl SentRequest {
    /// Describes a request that is about to be sent.
    pub(crate) fn of(request: &reqwest::Request) -> Self {
        let body = request.body().map_or(Some(&[][..]), reqwest::Body::as_bytes).map(<[u8]>::to_vec);
        Self {
            verb: request.method().clone(),
            path: request.url().path().to_owned(),
            query: request.url().query().map(str::to_owned),
            body,
        }
    }

    /// The first HTTP/1 request in `bytes`; `None` if they begin with no whole request.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let httparse::Status::Complete(head) = request.parse(bytes).ok()? else { return None };
        let target: Uri = request.path?.parse().ok()?;
        Some(Self {
            verb: request.method?.parse().ok()?,
            path: target.path().to_owned(),
            query: target.query().map(str::to_owned),
            body: body(&fields(request.headers), &bytes[head..]),
        })
    }

    /// The method that the path names, whether it exists or not. Health is not a method.
    pub(super) fn nsid(&self) -> Option<&str> {
        self.path.strip_prefix("/xrpc/").filter(|nsid| *nsid != "_health")
    }

    /// The body, which is JSON.
    pub(super) fn json(&self) -> Result<Value, Violation> {
        let body = self.body.as_ref().ok_or("nobody kept the body")?;
        let whole = serde_json::from_slice(body);
        whole.map(value).map_err(|error| format!("the body was taken and is no JSON: {error}"))
    }

    /// The request for an error message, cut short.
    pub(super) fn summary(&self) -> String {
        let Self { verb, path, query, body } = self;
        let body =
            body.as_deref().map(|body| String::from_utf8_lossy(&body[..body.len().min(MAX_SHOWN_BYTES)]));
        format!("{verb} {path} {query:?} {body:?}")
    }
}

impl Answer {
    /// The first answer in `bytes`; `None` if they begin with no whole answer.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut answer = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(head) = answer.parse(bytes).ok()? else { return None };
        let headers = fields(answer.headers);
        let body = body(&headers, &bytes[head..])?;
        Some(Self {
            status: StatusCode::from_u16(answer.code?).ok()?,
            headers,
            body: String::from_utf8(body).ok()?,
        })
    }
}

/// The value of any JSON. A number that does not fit 64 bits becomes `null`: wrong as well in a field of the
/// lexicon, and ignored as well elsewhere.
fn value(json: &RawValue) -> Value {
    let text = json.get();
    if let Ok(members) = serde_json::from_str::<BTreeMap<String, &RawValue>>(text) {
        let members = members.into_iter().map(|(name, member)| (name, value(member)));
        Value::Object(Map::from_iter(members))
    } else if let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(text) {
        Value::Array(items.into_iter().map(value).collect())
    } else {
        serde_json::from_str(text).unwrap_or(Value::Null)
    }
}

fn fields(headers: &[httparse::Header<'_>]) -> HeaderMap {
    let field = |header: &httparse::Header<'_>| {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        Some((name, HeaderValue::from_bytes(header.value).ok()?))
    };
    headers.iter().filter_map(field).collect()
}

/// The body, if the headers say how long it is. Chunked bodies are not read.
fn body(headers: &HeaderMap, rest: &[u8]) -> Option<Vec<u8>> {
    if headers.contains_key("transfer-encoding") {
        return None;
    }
    let length = headers.get("content-length").map_or(Some(0), |value| value.to_str().ok()?.parse().ok())?;
    Some(rest.get(..length)?.to_vec())
}
