//! Rewrite rules: the text replacements that a webhook makes in messages.

use super::rule::{BrokenField, Rule, storable};

/// The longest `from` and the longest `to`, in UTF-8 bytes (docs/methods.md, createWebhook).
const MAX_BYTES: usize = 100;
/// The most rules of a webhook (docs/methods.md, createWebhook).
const MAX_RULES: usize = 50;

/// One replacement: literal, case-sensitive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RewriteRule {
    from: String,
    to: String,
}

impl RewriteRule {
    /// Makes the rule at `path`.
    ///
    /// # Errors
    ///
    /// `from` is not 1 to 100 bytes, or `to` is more than 100.
    pub(crate) fn parse(path: &str, from: String, to: String) -> Result<Self, BrokenField> {
        storable(&from, 1, MAX_BYTES).map_err(|rule| rule.at(format!("{path}.from")))?;
        storable(&to, 0, MAX_BYTES).map_err(|rule| rule.at(format!("{path}.to")))?;
        Ok(Self { from, to })
    }

    pub(crate) fn from(&self) -> &str {
        &self.from
    }

    pub(crate) fn to(&self) -> &str {
        &self.to
    }

    /// `from` and `to`.
    pub(crate) fn into_pair(self) -> (String, String) {
        (self.from, self.to)
    }
}

/// At most 50 replacements, in the order in which they apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rewrite(Vec<RewriteRule>);

impl Rewrite {
    /// Makes the rules of the field at `path` from pairs of `from` and `to`.
    ///
    /// # Errors
    ///
    /// There are too many, or the first that breaks a rule.
    pub(crate) fn parse(path: &str, pairs: Vec<(String, String)>) -> Result<Self, BrokenField> {
        if pairs.len() > MAX_RULES {
            return Err(Rule::AtMostEntries { max: MAX_RULES }.at(path));
        }
        let mut rules = Vec::with_capacity(pairs.len());
        for (index, (from, to)) in pairs.into_iter().enumerate() {
            rules.push(RewriteRule::parse(&format!("{path}[{index}]"), from, to)?);
        }
        Ok(Self(rules))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &RewriteRule> {
        self.0.iter()
    }

    pub(crate) fn into_rules(self) -> Vec<RewriteRule> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<Rewrite, String> {
        let pairs = pairs.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
        Rewrite::parse("rewrite", pairs).map_err(|error| error.to_string())
    }

    #[test]
    fn lengths() {
        let (fits, too_long) = ("a".repeat(100), "a".repeat(101));
        assert!(parse(&[(&fits, &fits), ("a", "")]).is_ok());
        for (pair, error) in [
            (("", "b"), "rewrite[1].from: must be 1 to 100 bytes"),
            ((too_long.as_str(), "b"), "rewrite[1].from: must be 1 to 100 bytes"),
            (("a", too_long.as_str()), "rewrite[1].to: must be at most 100 bytes"),
            (("a", "\0"), "rewrite[1].to: must not contain U+0000"),
        ] {
            assert_eq!(parse(&[("a", "b"), pair]).unwrap_err(), error);
        }
    }

    #[test]
    fn count() {
        assert!(parse(&[("a", "b"); 50]).is_ok());
        assert_eq!(parse(&[("a", "b"); 51]).unwrap_err(), "rewrite: must have at most 50 entries");
    }
}
