//! The syntax of identifiers, as far as a caller who stores them depends on it. Looks nothing up.

/// The longest DID, in bytes.
const DID_MAX_BYTES: usize = 2_048;
/// The longest NSID, in bytes.
const NSID_MAX_BYTES: usize = 317;
/// The longest record key, in bytes.
const RKEY_MAX_BYTES: usize = 512;
/// The longest revision and the longest CID, in bytes. A revision has 13 and a CID 59.
const HASH_MAX_BYTES: usize = 256;
/// The longest status of an account, in bytes.
const STATUS_MAX_BYTES: usize = 128;

pub(crate) fn is_did(text: &str) -> bool {
    let Some((method, rest)) = text.strip_prefix("did:").and_then(|rest| rest.split_once(':')) else {
        return false;
    };
    !method.is_empty()
        && method.bytes().all(|byte| byte.is_ascii_lowercase())
        && is(rest, DID_MAX_BYTES - "did:".len() - method.len() - 1, b"._:%-")
}

pub(crate) fn is_nsid(text: &str) -> bool {
    is(text, NSID_MAX_BYTES, b".-") && text.contains('.')
}

pub(crate) fn is_rkey(text: &str) -> bool {
    is(text, RKEY_MAX_BYTES, b"._~:-") && text != "." && text != ".."
}

pub(crate) fn is_rev(text: &str) -> bool {
    is(text, HASH_MAX_BYTES, b"._~:-")
}

pub(crate) fn is_cid(text: &str) -> bool {
    is(text, HASH_MAX_BYTES, b"")
}

pub(crate) fn is_status(text: &str) -> bool {
    is(text, STATUS_MAX_BYTES, b"._:#-")
}

/// ASCII letters, digits and `others`; not empty.
fn is(text: &str, max: usize, others: &[u8]) -> bool {
    (1..=max).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::{is_did, is_nsid, is_rkey};

    #[test]
    fn identifiers() {
        let long = |prefix: &str, length: usize| format!("{prefix}{}", "a".repeat(length - prefix.len()));
        for (text, expected) in [
            ("did:plc:ewvi7nxzyoun6zhxrhs64oiz", true),
            ("did:web:example.com%3A8080:a", true),
            (&long("did:plc:", 2_048), true),
            (&long("did:plc:", 2_049), false),
            ("did:plc:", false),
            ("did::a", false),
            ("did:plc:a\0", false),
            ("did:PLC:a", false),
            ("at://a", false),
        ] {
            assert_eq!(is_did(text), expected, "{text}");
        }
        for (text, expected) in [
            ("app.bsky.feed.post", true),
            (&long("a.", 317), true),
            (&long("a.", 318), false),
            ("post", false),
            ("app.bsky/post", false),
        ] {
            assert_eq!(is_nsid(text), expected, "{text}");
        }
        for (text, expected) in [
            ("3kabc", true),
            ("did:plc:a::did:web:b.example", true),
            (&long("", 512), true),
            (&long("", 513), false),
            ("", false),
            (".", false),
            ("..", false),
            ("a/b", false),
            ("a%b", false),
            ("a@b", false),
            ("a+b", false),
            ("a\0b", false),
            ("ä", false),
        ] {
            assert_eq!(is_rkey(text), expected, "{text}");
        }
    }
}
