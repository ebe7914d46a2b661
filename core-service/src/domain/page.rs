//! A page of an owner's webhooks: the request and the result (docs/methods.md, listWebhooks).

use super::cursor::Cursor;
use super::event_type::EventType;
use super::rule::{BrokenField, Rule};
use super::webhook::Webhook;

/// The highest limit of a page.
const MAX: u32 = 100;
/// The lowest limit of a page.
const MIN: u32 = 1;
/// The limit of a page whose request has none.
const DEFAULT: u32 = 50;

/// The most webhooks that a page may have: 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageLimit(u32);

impl PageLimit {
    /// The parameter `limit` of a request.
    ///
    /// # Errors
    ///
    /// It is out of range.
    pub(crate) fn of_request(limit: Option<i64>) -> Result<Self, BrokenField> {
        limit.map_or(Ok(Self::default()), |limit| Self::try_from(limit).map_err(|rule| rule.at("limit")))
    }

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

/// Which of an owner's webhooks to return.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PageRequest {
    pub(crate) limit: PageLimit,
    /// Only webhooks after this cursor. `None`: from the newest on.
    pub(crate) after: Option<Cursor>,
    /// Only active webhooks, or only inactive ones.
    pub(crate) active: Option<bool>,
    /// Only webhooks with this event type.
    pub(crate) event: Option<EventType>,
}

/// A page of webhooks, newest first.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) webhooks: Vec<Webhook>,
    /// The cursor of the next page, if there is one.
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
