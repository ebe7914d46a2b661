//! The short texts of a webhook: name, description, prefix and suffix.

use std::fmt;
use std::str::FromStr;

use super::rule::{Rule, storable};

macro_rules! text_of_at_most {
    ($(#[$doc:meta])* $name:ident, $max:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub(crate) struct $name(String);

        impl FromStr for $name {
            type Err = Rule;

            fn from_str(text: &str) -> Result<Self, Rule> {
                storable(text, 0, $max)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_of_at_most! {
    /// The owner's name for a webhook: at most 100 UTF-8 bytes.
    WebhookName, 100
}
text_of_at_most! {
    /// The owner's description of a webhook: at most 500 UTF-8 bytes.
    Description, 500
}
text_of_at_most! {
    /// Text before each message: at most 100 UTF-8 bytes.
    Prefix, 100
}
text_of_at_most! {
    /// Text after each message: at most 100 UTF-8 bytes.
    Suffix, 100
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds_at_most<T: FromStr<Err = Rule> + fmt::Display>(max: usize) {
        let fits = "é".repeat(max / 2);
        assert_eq!(fits.parse::<T>().map(|text| text.to_string()), Ok(fits.clone()));
        let parsed = format!("{fits}a").parse::<T>().map(|text| text.to_string());
        assert_eq!(parsed, Err(Rule::AtMostBytes { max }));
        let parsed = "a\0".parse::<T>().map(|text| text.to_string());
        assert_eq!(parsed, Err(Rule::Nul));
    }

    #[test]
    fn length_counts_bytes() {
        holds_at_most::<WebhookName>(100);
        holds_at_most::<Description>(500);
        holds_at_most::<Prefix>(100);
        holds_at_most::<Suffix>(100);
    }
}
