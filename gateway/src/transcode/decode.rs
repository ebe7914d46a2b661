//! Decodes what a client sent into the request message of the rpc.
//!
//! JSON is deserialized straight into the message, driven by the bound shapes. Unknown fields are ignored but
//! must be well-formed, and `null` is a wrong type. A key that is given twice in a decoded object is an
//! error, and so is U+0000 in a string. Error messages have the path of the value and never the value itself.

mod draft;
mod json;
mod params;
mod scalar;
mod scan;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use crate::binding::Method;
use crate::transcode::decode::draft::Draft;
use crate::transcode::path::Path;

/// Why an input or a query string is invalid, as a message for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct DecodeError(String);

impl DecodeError {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    fn at(path: &Path<'_>, rule: &str) -> Self {
        Self(format!("{path}: {rule}"))
    }
}

/// The encoded request of a procedure: the JSON object in `body`, the lexicon's defaults and the `caller`'s
/// DID.
///
/// For a method without input, the body is empty or any JSON object.
pub(crate) fn json(method: &Method, body: &[u8], caller: &str) -> Result<Bytes, DecodeError> {
    let root = Path::root("input");
    if body.is_empty() && !method.requires_input() {
        let mut draft = Draft::new(method.object(method.request().object));
        draft.complete(&root)?;
        return Ok(draft.into_request(method, caller));
    }
    let draft = json::object(method, body, &root)?;
    Ok(draft.into_request(method, caller))
}

/// The encoded request of a query: its percent-encoded parameters, the lexicon's defaults and the `caller`'s
/// DID.
pub(crate) fn query(method: &Method, query: Option<&str>, caller: &str) -> Result<Bytes, DecodeError> {
    let root = Path::root("params");
    let mut draft = Draft::new(method.object(method.request().object));
    params::read(&mut draft, query.unwrap_or_default(), &root)?;
    draft.complete(&root)?;
    Ok(draft.into_request(method, caller))
}
