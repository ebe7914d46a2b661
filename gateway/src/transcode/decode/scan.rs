//! Checks what serde_json does not check in values that it skips: nesting depth, lone surrogates and U+0000.

/// How deep arrays and objects may nest. The core-service's prost decodes no message that nests deeper than
/// 100 levels, and its error would look like a fault of the server.
pub(super) const MAX_DEPTH: usize = 100;

/// Why a JSON text is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    TooDeep,
    /// An escape like `\ud83d` without the other half of the surrogate pair.
    LoneSurrogate,
}

/// Checks `text` for flaws, and returns whether a string contains an escaped U+0000. Invalid JSON is left to
/// the parser.
pub(super) fn check(text: &str) -> Result<bool, Flaw> {
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    let mut nul = false;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => at = after_string(bytes, at, &mut nul)?,
            b'[' | b'{' if depth == MAX_DEPTH => return Err(Flaw::TooDeep),
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(nul)
}

/// The index after the string whose content starts at `at`. Sets `nul` if the string contains U+0000.
fn after_string(bytes: &[u8], mut at: usize, nul: &mut bool) -> Result<usize, Flaw> {
    loop {
        match bytes.get(at) {
            None => return Ok(at),
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => match escaped_unit(bytes, at) {
                Some(0xD800..=0xDBFF) => match escaped_unit(bytes, at + 6) {
                    Some(0xDC00..=0xDFFF) => at += 12,
                    _ => return Err(Flaw::LoneSurrogate),
                },
                Some(0xDC00..=0xDFFF) => return Err(Flaw::LoneSurrogate),
                Some(unit) => {
                    *nul |= unit == 0;
                    at += 6;
                }
                None => at += 2,
            },
            Some(_) => at += 1,
        }
    }
}

/// The UTF-16 code unit of the escape `\uXXXX` at `at`, if there is one.
fn escaped_unit(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(br"\u")?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u16::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::{Flaw, MAX_DEPTH, check};

    #[test]
    fn depth() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(check(&nested(MAX_DEPTH)), Ok(false));
        assert_eq!(check(&nested(MAX_DEPTH + 1)), Err(Flaw::TooDeep));
        assert_eq!(check(&"[],".repeat(10_000)), Ok(false));
        assert_eq!(check(&format!(r#""{}""#, "[".repeat(10_000))), Ok(false));
        assert_eq!(check(&format!(r#"{{"a\"": "{}"}}"#, "{".repeat(10_000))), Ok(false));
        assert_eq!(check(&"]".repeat(10)), Ok(false));
    }

    #[test]
    fn nul() {
        for text in [r#""\u0000""#, r#"{"a\u0000": 1}"#, r#"["b", "\\\u0000"]"#] {
            assert_eq!(check(text), Ok(true), "{text}");
        }
        for text in [r#""\\u0000""#, r"\u0000", r#""\u0001""#] {
            assert_eq!(check(text), Ok(false), "{text}");
        }
    }

    #[test]
    fn surrogates() {
        for whole in [
            r#""\ud83d\ude00""#,
            r#""\uD83D\uDE00""#,
            r#""\\ud83d""#,
            r#""\u0041""#,
            r#""\ud83"#,
            r#""\u+123""#,
            r"\ud83d",
            "",
        ] {
            assert_eq!(check(whole), Ok(false), "{whole}");
        }
        for lone in [
            r#""\ud83d""#,
            r#""\ude00""#,
            r#""\ud83d\ud83d""#,
            r#""\ud83d\n""#,
            r#""\ud83d"#,
            r#"["\\\ud83d"]"#,
            r#"{"\udc00": 1}"#,
        ] {
            assert_eq!(check(lone), Err(Flaw::LoneSurrogate), "{lone}");
        }
    }
}
