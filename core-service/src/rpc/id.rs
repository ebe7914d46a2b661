//! The ids of webhooks and deliveries as text.

use uuid::Uuid;

/// Parses an id, in capitals too (RFC 9562, section 4). `None` for any other spelling than that of answers:
/// nothing has such an id.
pub(super) fn id(text: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(text).ok()?;
    let mut canonical = Uuid::encode_buffer();
    id.hyphenated().encode_lower(&mut canonical).eq_ignore_ascii_case(text).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::id;

    #[test]
    fn spellings() {
        let text = "01979f2e-7a3b-7c4d-8e5f-60718293a4b5";
        for same in [text.to_owned(), text.to_uppercase(), text.replace('a', "A")] {
            assert_eq!(id(&same).map(|id| id.to_string()).as_deref(), Some(text), "{same}");
        }
        for odd in [
            String::new(),
            "webhook".to_owned(),
            text.replace('-', ""),
            format!("{{{text}}}"),
            format!("urn:uuid:{text}"),
            format!("{text} "),
            format!("{text}0"),
            text[1..].to_owned(),
            text.replace('a', "g"),
        ] {
            assert_eq!(id(&odd), None, "{odd:?}");
        }
    }
}
