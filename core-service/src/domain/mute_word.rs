//! Mute words: an event whose text has one is not delivered.

use std::str::FromStr;

use super::rule::{BrokenField, Rule, storable};

/// The longest mute word, in UTF-8 bytes (docs/methods.md, createWebhook).
const MAX_BYTES: usize = 100;
/// The most mute words of a webhook (docs/methods.md, createWebhook).
const MAX_WORDS: usize = 100;

/// One mute word: 1 to 100 bytes, not only white space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MuteWord(String);

impl FromStr for MuteWord {
    type Err = Rule;

    fn from_str(text: &str) -> Result<Self, Rule> {
        storable(text, 1, MAX_BYTES)?;
        if text.chars().all(char::is_whitespace) {
            return Err(Rule::Blank);
        }
        Ok(Self(text.to_owned()))
    }
}

/// At most 100 mute words, in the order given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MuteWords(Vec<MuteWord>);

impl MuteWords {
    /// Parses the entries of the field at `path`.
    ///
    /// # Errors
    ///
    /// There are too many, or the first that breaks a rule.
    pub(crate) fn parse(path: &str, texts: &[String]) -> Result<Self, BrokenField> {
        if texts.len() > MAX_WORDS {
            return Err(Rule::AtMostEntries { max: MAX_WORDS }.at(path));
        }
        let mut words = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            let word = text.parse().map_err(|rule: Rule| rule.at(format!("{path}[{index}]")))?;
            words.push(word);
        }
        Ok(Self(words))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|word| word.0.as_str())
    }

    pub(crate) fn into_texts(self) -> Vec<String> {
        self.0.into_iter().map(|word| word.0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(texts: &[&str]) -> Result<MuteWords, String> {
        let texts: Vec<String> = texts.iter().copied().map(str::to_owned).collect();
        MuteWords::parse("mute_words", &texts).map_err(|error| error.to_string())
    }

    #[test]
    fn length_counts_bytes() {
        assert!(parse(&["é".repeat(50).as_str()]).is_ok());
        assert_eq!(
            parse(&["a", "é".repeat(51).as_str()]).unwrap_err(),
            "mute_words[1]: must be 1 to 100 bytes"
        );
        assert_eq!(parse(&[""]).unwrap_err(), "mute_words[0]: must be 1 to 100 bytes");
    }

    #[test]
    fn blank() {
        for text in [" ", "\t\n", "\u{3000}\u{a0}"] {
            assert_eq!(parse(&[text]).unwrap_err(), "mute_words[0]: must not be blank");
        }
        assert!(parse(&[" a "]).is_ok());
    }

    #[test]
    fn count() {
        assert!(parse(&["a"; 100]).is_ok());
        assert_eq!(parse(&["a"; 101]).unwrap_err(), "mute_words: must have at most 100 entries");
    }
}
