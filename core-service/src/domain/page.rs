//! Pages of an owner's webhooks: what is asked for, and what comes back (METHODS.md, listWebhooks).

use super::cursor::Cursor;
use super::event_type::EventType;
use super::rule::Rule;
use super::webhook::Webhook;

/// The most webhooks of a page, and the least that may be asked for.
const MAX: u32 = 100;
const MIN: u32 = 1;
/// The webhooks of a page when nobody says how many.
const DEFAULT: u32 = 50;

/// How many webhooks a page may have: 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageLimit(u32);

impl PageLimit {
    pub(crate) fn get(self) -> u32 {
        self.0
    }
}

impl Default for PageLimit {
    fn default() -> Self {
        Self(DEFAULT)
    }
}

impl TryFrom<i64> for PageLimit {
    type Error = Rule;

    fn try_from(limit: i64) -> Result<Self, Rule> {
        let limit = u32::try_from(limit).ok().filter(|limit| (MIN..=MAX).contains(limit));
        limit.map(Self).ok_or(Rule::Between { min: MIN, max: MAX })
    }
}

/// Which of an owner's webhooks to show.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PageRequest {
    pub(crate) limit: PageLimit,
    /// Those behind it. `None`: from the newest on.
    pub(crate) after: Option<Cursor>,
    /// Only those that are active, or are not.
    pub(crate) active: Option<bool>,
    /// Only those that ask for this type of event.
    pub(crate) event: Option<EventType>,
}

/// Webhooks, newest first.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) webhooks: Vec<Webhook>,
    /// Where the next page begins, if there are more.
    pub(crate) next: Option<Cursor>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        for limit in [1, 50, 100] {
            assert_eq!(PageLimit::try_from(limit).map(|limit| i64::from(limit.get())), Ok(limit));
        }
        for limit in [0, -1, 101, i64::MIN, i64::MAX, 1 + (1 << 32)] {
            assert_eq!(PageLimit::try_from(limit), Err(Rule::Between { min: 1, max: 100 }), "{limit}");
        }
        assert_eq!(PageLimit::default().get(), 50);
    }
}
