//! Which DID a handle names: by DNS, or else by HTTPS (atproto's handle specification).
//!
//! Owns the two places, their limits and what each answer means. Whether the document of that DID claims the
//! handle, caches and how often somebody may ask are the caller's.

use std::time::Duration;

use http::StatusCode;
use tokio::time::timeout;
use url::Url;

use crate::client::{Answer, Egress};
use crate::error::GetError;

const ACCEPT: &str = "text/plain";

/// How long asking a handle may take, by DNS and then by HTTPS.
pub const HANDLE_LIMIT: Duration = Duration::from_secs(3);
/// The part of it that DNS gets.
const TEXTS_LIMIT: Duration = Duration::from_millis(1_500);
/// The answer of a handle's host, in bytes: a DID.
const MAX_HANDLE_BYTES: usize = 4 * 1024;

/// Why it is not known what a handle names.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// Neither place answered in time.
    #[error("nothing answered within {HANDLE_LIMIT:?}")]
    TimedOut,
    /// DNS has no record, and the handle's host gave no whole answer.
    #[error("the handle's host gave no answer")]
    Get(#[from] GetError),
}

/// The DID that `handle` names, as it stands there: the text may be no DID. `None`: it names none, or more
/// than one. `handle` is a valid handle. `port` is that of its host, where it is not 443.
///
/// # Errors
///
/// [`HandleError`].
pub async fn named_did(
    egress: &Egress,
    handle: &str,
    port: Option<u16>,
) -> Result<Option<String>, HandleError> {
    timeout(HANDLE_LIMIT, ask(egress, handle, port)).await.unwrap_or(Err(HandleError::TimedOut))
}

async fn ask(egress: &Egress, handle: &str, port: Option<u16>) -> Result<Option<String>, HandleError> {
    let Ok(mut url) = Url::parse(&format!("https://{handle}/.well-known/atproto-did")) else {
        return Ok(None);
    };
    _ = url.set_port(port);
    if egress.check_url(&url).is_err() {
        return Ok(None);
    }
    let texts = timeout(TEXTS_LIMIT, egress.texts(&format!("_atproto.{handle}"))).await;
    if let Ok(Ok(texts)) = texts {
        match did_of_texts(&texts) {
            TextAnswer::None => {}
            TextAnswer::One(named) => return Ok(Some(named.to_owned())),
            TextAnswer::Many => return Ok(None),
        }
    }
    let Answer { status, body, date: _ } = egress.get(&url, ACCEPT, HANDLE_LIMIT, MAX_HANDLE_BYTES).await?;
    let named = std::str::from_utf8(body.trim_ascii()).ok();
    Ok(named.filter(|_| status == StatusCode::OK).map(str::to_owned))
}

/// What TXT records say of a handle.
#[derive(Debug, PartialEq, Eq)]
enum TextAnswer<'a> {
    None,
    One(&'a str),
    /// Which is none, as the specification of handles says.
    Many,
}

fn did_of_texts(texts: &[String]) -> TextAnswer<'_> {
    let mut dids = texts.iter().filter_map(|text| text.strip_prefix("did="));
    match (dids.next(), dids.next()) {
        (None, _) => TextAnswer::None,
        (Some(did), None) => TextAnswer::One(did.trim()),
        (Some(_), Some(_)) => TextAnswer::Many,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_handles() {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        for (given, expected) in [
            (&[][..], TextAnswer::None),
            (&["v=spf1", "DID=did:plc:a"], TextAnswer::None),
            (&["v=spf1", "did=did:plc:a"], TextAnswer::One("did:plc:a")),
            (&["did=did:plc:a", "did=did:plc:a"], TextAnswer::Many),
            (&["did=did:plc:a", "did=did:plc:b"], TextAnswer::Many),
        ] {
            assert_eq!(did_of_texts(&texts(given)), expected, "{given:?}");
        }
    }
}
