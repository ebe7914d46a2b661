//! A request as `athook listen` prints it.

use std::fmt::Write as _;

use http::{HeaderMap, Method, Uri};

use crate::verdict::Verdict;

/// The request line, the headers, the body and the verdict. Characters that could control a terminal are
/// escaped: anybody on the machine can send a request, and strangers write what events say.
pub(super) fn request(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
    verdict: &Verdict,
) -> String {
    let mut text = format!("{method} {uri}\n");
    for (name, value) in headers {
        let _ = writeln!(text, "{name}: {}", escaped(&String::from_utf8_lossy(value.as_bytes())));
    }
    let _ = writeln!(text, "\n{}\n\n{verdict}\n", escaped(&String::from_utf8_lossy(body)));
    text
}

/// `text` with every control character but line feeds escaped, and those that change the direction of text.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if turns || (c.is_control() && c != '\n') {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn whole_request() {
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", HeaderValue::from_static("msg_1"));
        headers.insert("x-odd", HeaderValue::from_bytes(b"\xe4").unwrap());
        let body = "{\n\"text\":\"\u{1b}[2J\u{9b}2J\u{202e}é\"\r\n}".as_bytes();
        let text = request(&Method::POST, &Uri::from_static("/a?b"), &headers, body, &Verdict::NoToken);
        let expected = "POST /a?b\nwebhook-id: msg_1\nx-odd: \u{fffd}\n\n{\n\"text\":\"\\u{1b}[2J\\u{9b}2J\\u{202e}é\
                        \"\\r\n}\n\nnot verified: there is no token (--secret TOKEN)\n\n";
        assert_eq!(text, expected);
    }
}
