//! The cursor of a page of webhooks: where the page ends, as opaque text.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

/// The first byte. A later format of cursors gets another.
const VERSION: u8 = 1;
/// The length of a cursor in bytes: version, time and id.
const BYTES: usize = 1 + size_of::<i64>() + size_of::<Uuid>();

/// The position after one webhook in the order of the list. Its text is the unpadded URL-safe base64 of the
/// version, the time (64 bits, big-endian) and the id. Each cursor has exactly one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    created_at_ms: i64,
    id: Uuid,
}

/// Text that is not a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor")]
pub(crate) struct NotACursor;

impl Cursor {
    /// The position after the webhook `id`, created at `created_at_ms` (milliseconds since
    /// 1970-01-01T00:00:00Z).
    pub(crate) fn behind(created_at_ms: i64, id: Uuid) -> Self {
        Self { created_at_ms, id }
    }

    pub(crate) fn created_at_ms(self) -> i64 {
        self.created_at_ms
    }

    pub(crate) fn id(self) -> Uuid {
        self.id
    }
}

impl FromStr for Cursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        // One byte more than a cursor has, so that a longer text is noticed.
        let mut bytes = [0; BYTES + 1];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).map_err(|_| NotACursor)?;
        let (version, rest) = bytes[..length].split_first().ok_or(NotACursor)?;
        let (time, id) = rest.split_first_chunk().ok_or(NotACursor)?;
        if *version != VERSION {
            return Err(NotACursor);
        }
        let id = Uuid::from_slice(id).map_err(|_| NotACursor)?;
        Ok(Self { created_at_ms: i64::from_be_bytes(*time), id })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.created_at_ms.to_be_bytes());
        bytes.extend_from_slice(self.id.as_bytes());
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD_NO_PAD;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    /// A cursor whose text has a `_`, which standard base64 writes as `/`.
    fn cursor() -> Cursor {
        Cursor::behind(1_700_000_000_123, Uuid::from_u128(u128::MAX - 1))
    }

    #[test]
    fn text_is_stable() {
        // A client may send a cursor that an earlier release gave out.
        assert_eq!(cursor().to_string(), "AQAAAYvP5Wh7_____________________g");
        assert_eq!("AQAAAYvP5Wh7_____________________g".parse(), Ok(cursor()));
    }

    #[test]
    fn texts_that_are_not_cursors() {
        let text = cursor().to_string();
        let standard = text.replace('_', "/");
        let with_bytes = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let bytes = STANDARD_NO_PAD.decode(&standard).unwrap();
        let mut other_version = bytes.clone();
        other_version[0] = 2;
        // The last letter has four unused bits, which must be zero.
        let other_last_bits = format!("{}h", &text[..text.len() - 1]);
        for odd in [
            String::new(),
            "A".to_owned(),
            "garbage".to_owned(),
            cursor().id.to_string(),
            standard,
            format!("{text}="),
            format!("{text}=="),
            format!("{text} "),
            format!(" {text}"),
            format!("{text}\0"),
            text.to_lowercase(),
            text[1..].to_owned(),
            text[..text.len() - 1].to_owned(),
            other_last_bits,
            with_bytes(&other_version),
            with_bytes(&bytes[..BYTES - 1]),
            with_bytes(&[&bytes[..], &[0]].concat()),
            with_bytes(&[&bytes[..], &[0, 0]].concat()),
            with_bytes(&[0; 4096]),
        ] {
            assert_eq!(odd.parse::<Cursor>(), Err(NotACursor), "{odd:?}");
        }
    }

    proptest! {
        #[test]
        fn text_of_each_is_read_back(created_at_ms in any::<i64>(), id in any::<u128>()) {
            let cursor = Cursor::behind(created_at_ms, Uuid::from_u128(id));
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn any_text_is_none_or_the_one_text_of_a_cursor(text in "\\PC{0,40}|[A-Za-z0-9_-]{34}|AQ[A-Za-z0-9_-]{31}[AQgw]") {
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert_eq!(cursor.to_string(), text);
            }
        }

        #[test]
        fn any_bytes_are_none_or_a_cursor(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let parsed = URL_SAFE_NO_PAD.encode(&bytes).parse::<Cursor>();
            prop_assert_eq!(parsed.is_ok(), bytes.len() == BYTES && bytes[0] == VERSION);
        }

        #[test]
        fn any_25_bytes_of_this_version_are_a_cursor(rest in proptest::collection::vec(any::<u8>(), BYTES - 1)) {
            let text = URL_SAFE_NO_PAD.encode([&[VERSION][..], &rest].concat());
            prop_assert_eq!(text.parse::<Cursor>().map(|cursor| cursor.to_string()), Ok(text));
        }
    }
}
