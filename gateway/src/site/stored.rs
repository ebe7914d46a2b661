//! An answer that is the same for everybody: content, ETag, and the content compressed.
//!
//! Owns what a client's `If-None-Match` and `Accept-Encoding` mean. Knows no path.

use std::io::Write as _;
use std::sync::OnceLock;

use axum::body::Body;
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use ring::digest;

/// Bytes of the hash in an ETag.
const ETAG_BYTES: usize = 18;

/// Content that browsers keep, and ask each time whether it has changed.
pub(super) struct Stored {
    content_type: &'static str,
    content: Bytes,
    /// Compressed when it is first asked for, unless it was before.
    zipped: OnceLock<Bytes>,
    /// Without quotes.
    etag: String,
}

impl Stored {
    /// With this content.
    pub(super) fn new(content_type: &'static str, content: impl Into<Bytes>) -> Self {
        let content = content.into();
        let hash = digest::digest(&digest::SHA256, &content);
        let etag = BASE64URL_NOPAD.encode(&hash.as_ref()[..ETAG_BYTES]);
        Self { content_type, content, zipped: OnceLock::new(), etag }
    }

    /// With this content, which compressed is `zipped`.
    pub(super) fn with_zipped(
        content_type: &'static str,
        content: &'static [u8],
        zipped: &'static [u8],
    ) -> Self {
        let stored = Self::new(content_type, Bytes::from_static(content));
        stored.zipped.get_or_init(|| Bytes::from_static(zipped));
        stored
    }

    /// The answer to a request with these headers: 200, or 304 where the client has the content.
    pub(super) fn answer(&self, headers: &HeaderMap) -> Response<Body> {
        let zipped = accepts_gzip(headers).then(|| self.zipped());
        // The two are not the same bytes (RFC 9110, section 8.8.3.3).
        let etag = format!("\"{}{}\"", self.etag, if zipped.is_some() { "-gzip" } else { "" });
        let is_known = is_named(headers, &etag);
        let mut response = Response::new(Body::empty());
        if let Ok(etag) = HeaderValue::try_from(etag) {
            response.headers_mut().insert(ETAG, etag);
        }
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if zipped.is_some() {
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        *response.body_mut() = zipped.unwrap_or_else(|| self.content.clone()).into();
        response
    }

    fn zipped(&self) -> Bytes {
        let zip = || {
            let mut zipped = GzEncoder::new(Vec::new(), Compression::best());
            // Writing to memory does not fail.
            _ = zipped.write_all(&self.content);
            zipped.finish().unwrap_or_default().into()
        };
        self.zipped.get_or_init(zip).clone()
    }
}

/// The elements of a header that is a list (RFC 9110, section 5.6.1).
fn elements(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

/// Whether gzip is accepted by name (RFC 9110, section 12.5.3).
fn accepts_gzip(headers: &HeaderMap) -> bool {
    elements(headers, ACCEPT_ENCODING).any(|element| {
        let (coding, weight) = element.split_once(';').unwrap_or((element, "q=1"));
        let weight = weight.trim().strip_prefix(['q', 'Q']).and_then(|weight| weight.strip_prefix('='));
        let accepted = weight.and_then(|weight| weight.parse().ok()).is_some_and(|weight: f32| weight > 0.0);
        coding.trim().eq_ignore_ascii_case("gzip") && accepted
    })
}

/// Whether `If-None-Match` has `etag` (RFC 9110, section 13.1.2: a weak comparison).
fn is_named(headers: &HeaderMap, etag: &str) -> bool {
    elements(headers, IF_NONE_MATCH)
        .any(|given| given == "*" || given.strip_prefix("W/").unwrap_or(given) == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::try_from(value).unwrap())])
    }

    #[test]
    fn encodings() {
        for (value, expected) in [
            ("gzip, deflate, br, zstd", true),
            ("br;q=1.0, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000, *", false),
            ("gzip;Q=0", false),
            ("gzip;q=-1", false),
            ("gzip;q=abc", false),
            ("br", false),
            ("*", false),
            ("x-gzip", false),
            ("", false),
        ] {
            assert_eq!(accepts_gzip(&headers(ACCEPT_ENCODING, value)), expected, "{value}");
        }
    }

    #[test]
    fn etags() {
        let stored = Stored::new("text/plain", "hello");
        let first = stored.answer(&HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        let etag = first.headers()[ETAG].to_str().unwrap().to_owned();
        let zipped = etag.replace("\"", "").to_owned() + "-gzip";
        for (value, expected) in [
            (etag.clone(), StatusCode::NOT_MODIFIED),
            (format!("\"other\", W/{etag}"), StatusCode::NOT_MODIFIED),
            (format!("\"{zipped}\""), StatusCode::OK),
            ("*".to_owned(), StatusCode::NOT_MODIFIED),
            ("\"other\"".to_owned(), StatusCode::OK),
            (etag.replace('"', ""), StatusCode::OK),
        ] {
            assert_eq!(stored.answer(&headers(IF_NONE_MATCH, &value)).status(), expected, "{value}");
        }
        let other = Stored::new("text/plain", "hello!").answer(&HeaderMap::new());
        assert_ne!(other.headers()[ETAG], *etag);
    }
}
