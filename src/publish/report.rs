//! What `athook publish` prints: a line for each event, or what became of all; on a terminal also how far it
//! is.

use indicatif::ProgressBar;
use process::exit::Failure;
use process::output::print_line;
use proto::athook::{Event, Outcome, Result as Published};
use serde_json::json;

/// More events than this take so long that a terminal shows how far it is.
const MANY_EVENTS: u64 = 1_000;

/// Prints results, and counts them.
pub(super) struct Report {
    style: Style,
    /// Hidden unless it takes long and standard error is a terminal.
    bar: ProgressBar,
    stored: u64,
    seen: u64,
    conflicts: u64,
    deliveries: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// Each event is a line of JSON.
    Json,
    /// The one event is a line for people.
    One,
    /// Conflicts are lines for people, and so is the sum.
    Many,
}

impl Report {
    /// For a single event.
    pub(super) fn of_one(json: bool) -> Self {
        Self::new(if json { Style::Json } else { Style::One }, ProgressBar::hidden())
    }

    /// For so many events, if that is known.
    pub(super) fn of_many(json: bool, events: Option<u64>) -> Self {
        let bar = match events {
            _ if json => ProgressBar::hidden(),
            Some(events) if events <= MANY_EVENTS => ProgressBar::hidden(),
            Some(events) => ProgressBar::new(events),
            None => ProgressBar::no_length(),
        };
        Self::new(if json { Style::Json } else { Style::Many }, bar)
    }

    fn new(style: Style, bar: ProgressBar) -> Self {
        Self { style, bar, stored: 0, seen: 0, conflicts: 0, deliveries: 0 }
    }

    /// Prints what became of `event`, which stands in this line.
    ///
    /// # Errors
    ///
    /// Standard output can't be written.
    pub(super) fn published(
        &mut self,
        event: &Event,
        line: Option<u64>,
        result: &Published,
    ) -> Result<(), Failure> {
        match result.outcome() {
            Outcome::Stored => {
                self.stored += 1;
                self.deliveries += u64::from(result.deliveries);
            }
            Outcome::Seen => self.seen += 1,
            Outcome::Conflict => self.conflicts += 1,
            Outcome::Unspecified => {}
        }
        let text = match self.style {
            Style::Json => Some(json_line(result, &event.idempotency_key)),
            Style::One => Some(text(result, &event.streamer_did)),
            Style::Many if result.outcome() == Outcome::Conflict => {
                let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
                Some(place + &text(result, &event.streamer_did))
            }
            Style::Many => None,
        };
        if let Some(text) = text {
            self.bar.suspend(|| print_line(text))?;
        }
        self.bar.inc(1);
        Ok(())
    }

    /// Prints the sum, unless each event has a line.
    ///
    /// # Errors
    ///
    /// Standard output can't be written.
    pub(super) fn print_sum(&self) -> Result<(), Failure> {
        self.bar.finish_and_clear();
        if self.style == Style::Many { print_line(self.sum()) } else { Ok(()) }
    }

    /// The deliveries are those of the events that were stored now.
    fn sum(&self) -> String {
        let Self { style: _, bar: _, stored, seen, conflicts, deliveries } = self;
        let events = counted(stored + seen + conflicts, "event", "events");
        let deliveries = counted(*deliveries, "delivery", "deliveries");
        format!("{events}: {stored} stored, {seen} seen, {conflicts} in conflict; {deliveries}")
    }

    /// How the command ends.
    ///
    /// # Errors
    ///
    /// Some events are not stored, because others have their keys.
    pub(super) fn end(self) -> Result<(), Failure> {
        match (self.style, self.conflicts) {
            (_, 0) => Ok(()),
            (Style::Many, _) => {
                Err("the idempotency keys of some belong to events with other content".into())
            }
            (_, 1) => Err("the idempotency key belongs to an event with other content".into()),
            _ => Err("the idempotency keys of some belong to events with other content".into()),
        }
    }
}

/// `1 event`, `2 events`.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// The name of the outcome in the `.proto`, without its prefix.
fn outcome(result: &Published) -> &'static str {
    let name = result.outcome().as_str_name();
    name.strip_prefix("OUTCOME_").unwrap_or(name)
}

fn json_line(result: &Published, key: &str) -> String {
    let Published { event_id, outcome: _, deliveries } = result;
    json!({ "eventId": event_id, "outcome": outcome(result), "deliveries": deliveries, "idempotencyKey": key })
        .to_string()
}

fn text(result: &Published, streamer: &str) -> String {
    let Published { event_id, outcome: _, deliveries } = result;
    let outcome_name = outcome(result).to_lowercase();
    match deliveries {
        _ if result.outcome() == Outcome::Conflict => format!("{outcome_name}: msg_{event_id} has this key"),
        0 => format!("{outcome_name}: msg_{event_id}, and no webhook of {streamer} asks for it"),
        _ => {
            let deliveries = counted((*deliveries).into(), "delivery", "deliveries");
            format!("{outcome_name}: msg_{event_id}, {deliveries}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sum_has_the_deliveries_of_what_was_stored() {
        let mut report = Report::of_many(false, None);
        let mut publish = |outcome: Outcome, deliveries| {
            let result = Published { event_id: String::new(), outcome: outcome.into(), deliveries };
            report.published(&Event::default(), None, &result).unwrap();
            report.sum()
        };
        assert_eq!(publish(Outcome::Stored, 1), "1 event: 1 stored, 0 seen, 0 in conflict; 1 delivery");
        assert_eq!(publish(Outcome::Seen, 2), "2 events: 1 stored, 1 seen, 0 in conflict; 1 delivery");
        assert_eq!(publish(Outcome::Stored, 2), "3 events: 2 stored, 1 seen, 0 in conflict; 3 deliveries");
    }

    #[test]
    fn results() {
        let result = |outcome: Outcome, deliveries| Published {
            event_id: "0198".to_owned(),
            outcome: outcome.into(),
            deliveries,
        };
        for (result, line) in [
            (result(Outcome::Stored, 0), "stored: msg_0198, and no webhook of did:plc:a asks for it"),
            (result(Outcome::Stored, 1), "stored: msg_0198, 1 delivery"),
            (result(Outcome::Seen, 2), "seen: msg_0198, 2 deliveries"),
            (result(Outcome::Conflict, 0), "conflict: msg_0198 has this key"),
        ] {
            assert_eq!(text(&result, "did:plc:a"), line);
        }
        assert_eq!(
            json_line(&result(Outcome::Conflict, 0), "k"),
            r#"{"deliveries":0,"eventId":"0198","idempotencyKey":"k","outcome":"CONFLICT"}"#
        );
    }
}
