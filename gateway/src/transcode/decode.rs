//! What a client sent, as the encoded request message of the rpc.
//!
//! One pass over the JSON, driven by the bound shapes, without a tree in between. Unknown fields are ignored but
//! must be well-formed; `null` is a wrong type; a key given twice in an object that is decoded is refused, and so
//! is U+0000 in a string. Text in error messages comes from the lexicon or says what was expected: values are
//! never repeated.

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

/// Why an input or a query string is no request of the method: always the client's fault, in words for the client.
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

/// The request for a procedure: the JSON object in `body`, the defaults of the lexicon, the `caller`'s DID.
///
/// A method that takes no input takes an empty body, or any JSON object.
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

/// The request for a query: its parameters, percent-encoded, the defaults of the lexicon, the `caller`'s DID.
pub(crate) fn query(method: &Method, query: Option<&str>, caller: &str) -> Result<Bytes, DecodeError> {
    let root = Path::root("params");
    let mut draft = Draft::new(method.object(method.request().object));
    params::read(&mut draft, query.unwrap_or_default(), &root)?;
    draft.complete(&root)?;
    Ok(draft.into_request(method, caller))
}
