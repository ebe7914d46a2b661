//! Sends events to the core-service, as many in a request as it takes.

use std::pin::Pin;

use process::exit::{Failure, chain};
use prost::{Message as _, length_delimiter_len};
use proto::athook::event_service_client::EventServiceClient;
use proto::athook::{Event, PublishRequest, Result as Published};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::Core;
use super::file::Numbered;
use super::report::Report;

/// The most events of a request.
const MAX_BATCH_EVENTS: usize = 1_000;
/// The longest request, in bytes.
const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Publishes `events` in their order, and reports what becomes of them.
///
/// # Errors
///
/// An event can't be read, the core-service refuses or does not answer, or it is interrupted. The text says
/// how far it got.
pub(super) async fn send(
    core: Core,
    events: impl Iterator<Item = Result<Numbered, Failure>>,
    mut report: Report,
    interrupted: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let mut interrupted = std::pin::pin!(interrupted);
    let Core { endpoint, url, token } = core;
    let no_core =
        |error| format!("no core-service at {url}: {}; `athook dev` has one, while it runs", chain(&error));
    let channel = endpoint.connect().await.map_err(no_core)?;
    let authorization = token.map(|token| format!("Bearer {}", token.expose()).parse()).transpose()?;
    let mut sending =
        Sending { client: EventServiceClient::new(channel), authorization, through: None, events: 0 };
    let mut batch = Batch::default();
    for numbered in events {
        let numbered = numbered.map_err(|error| sending.how_far(&*error, false))?;
        if !batch.has_room_for(&numbered.event) {
            sending.send_unless(interrupted.as_mut(), std::mem::take(&mut batch), &mut report).await?;
        }
        batch.push(numbered);
    }
    sending.send_unless(interrupted, batch, &mut report).await?;
    report.print_sum().map_err(|error| sending.how_far(&*error, false))?;
    report.end()
}

/// The events of one request.
#[derive(Debug, Default)]
struct Batch {
    events: Vec<Event>,
    lines: Vec<Option<u64>>,
    bytes: usize,
}

impl Batch {
    /// Always for the first: a request that is too long is the core-service's to refuse.
    fn has_room_for(&self, event: &Event) -> bool {
        let fits = self.bytes + encoded_len(event) <= MAX_BATCH_BYTES;
        self.events.is_empty() || (fits && self.events.len() < MAX_BATCH_EVENTS)
    }

    fn push(&mut self, numbered: Numbered) {
        let Numbered { line, event } = numbered;
        self.bytes += encoded_len(&event);
        self.events.push(event);
        self.lines.push(line);
    }
}

/// The bytes that `event` adds to a request.
fn encoded_len(event: &Event) -> usize {
    const TAG: usize = 1;
    let length = event.encoded_len();
    TAG + length_delimiter_len(length) + length
}

struct Sending {
    client: EventServiceClient<Channel>,
    authorization: Option<tonic::metadata::AsciiMetadataValue>,
    /// How many events are published.
    events: usize,
    /// The line of the last of them.
    through: Option<u64>,
}

impl Sending {
    /// Sends a request, unless it is interrupted before the answer.
    async fn send_unless(
        &mut self,
        interrupted: Pin<&mut impl Future<Output = ()>>,
        batch: Batch,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let ended = tokio::select! {
            biased;
            () = interrupted => None,
            ended = self.send(batch, report) => Some(ended),
        };
        ended.unwrap_or_else(|| {
            let none = "interrupted; perhaps some events are published";
            Err(if self.events == 0 { none.into() } else { self.how_far("interrupted", true) })
        })
    }

    async fn send(&mut self, batch: Batch, report: &mut Report) -> Result<(), Failure> {
        let Batch { events, lines, bytes: _ } = batch;
        if events.is_empty() {
            return Ok(());
        }
        let mut request = Request::new(PublishRequest { events: events.clone() });
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        let answer = self.client.publish(request).await.map_err(|status| {
            // These are decided before anything is stored.
            let nothing = matches!(
                status.code(),
                Code::InvalidArgument
                    | Code::OutOfRange
                    | Code::Unauthenticated
                    | Code::PermissionDenied
                    | Code::Unimplemented
            );
            self.how_far(&*refusal(&status, &lines), !nothing)
        })?;
        let results: Vec<Published> = answer.into_inner().results;
        if results.len() != events.len() {
            return Err(self.how_far("the answer has another number of results", true));
        }
        self.events += events.len();
        self.through = lines.last().copied().flatten();
        for ((event, line), result) in events.iter().zip(&lines).zip(&results) {
            report.published(event, *line, result).map_err(|error| self.how_far(&*error, false))?;
        }
        Ok(())
    }

    /// `error`, and what is published although it happened; `perhaps`: some of the request may be as well.
    fn how_far(&self, error: impl std::fmt::Display, perhaps: bool) -> Failure {
        let published = match (self.through, self.events) {
            (_, 0) => return error.to_string().into(),
            (Some(line), _) => format!("the events up to line {line} are published"),
            (None, 1) => "1 event is published".to_owned(),
            (None, events) => format!("{events} events are published"),
        };
        let more = if perhaps { ", and perhaps some after them" } else { "" };
        format!("{error}; {published}{more}").into()
    }
}

/// Why the core-service refuses; an event of a file is named by its line, and a field as the line names it.
fn refusal(status: &Status, lines: &[Option<u64>]) -> Failure {
    let message = status.message();
    let named = message.strip_prefix("events[").and_then(|rest| {
        let (index, rest) = rest.split_once(']')?;
        let line = lines.get(index.parse::<usize>().ok()?)?.as_ref()?;
        let (path, rule) = rest.trim_start_matches('.').split_once(": ")?;
        Some(format!("line {line}: {}: {rule}", camel_case(path)))
    });
    let message = named.as_deref().unwrap_or(message);
    format!("the core-service refuses: {:?}: {message}", status.code()).into()
}

/// The path of a field of the `.proto` with the names that JSON has for them.
fn camel_case(path: &str) -> String {
    let mut words = path.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |text, word| {
        let (initial, rest) = word.split_at(word.len().min(1));
        text + &initial.to_ascii_uppercase() + rest
    })
}

#[cfg(test)]
mod tests {
    use proto::athook::Chat;
    use proto::athook::event::Payload;

    use super::*;

    fn event(text_bytes: usize) -> Event {
        let chat = Chat { author: None, text: "a".repeat(text_bytes), uri: String::new() };
        Event { payload: Some(Payload::Chat(chat)), ..Event::default() }
    }

    fn sizes(events: impl Iterator<Item = Event>) -> Vec<(usize, usize)> {
        let (mut sizes, mut batch) = (Vec::new(), Batch::default());
        for event in events {
            if !batch.has_room_for(&event) {
                sizes.push(std::mem::take(&mut batch));
            }
            batch.push(Numbered { line: None, event });
        }
        sizes.push(batch);
        let size = |batch: Batch| {
            assert_eq!(batch.bytes, PublishRequest { events: batch.events.clone() }.encoded_len());
            (batch.events.len(), batch.bytes)
        };
        sizes.into_iter().map(size).collect()
    }

    #[test]
    fn requests_are_as_long_as_is_allowed() {
        let of = |sizes: &[(usize, usize)]| sizes.iter().map(|(events, _)| *events).collect::<Vec<_>>();
        assert_eq!(of(&sizes((0..2001).map(|_| event(1)))), [1000, 1000, 1]);
        // 20,011 bytes each.
        assert_eq!(of(&sizes((0..300).map(|_| event(20_000)))), [209, 91]);
        let length_of_1 = encoded_len(&event(1_000_000));
        let rest = MAX_BATCH_BYTES - 4 * length_of_1;
        let last = rest - (encoded_len(&event(150_000)) - 150_000);
        for (last, expected) in [(last, [5, 1].as_slice()), (last + 1, &[4, 2])] {
            let events = (0..4).map(|_| event(1_000_000)).chain([event(last), event(1)]);
            assert_eq!(of(&sizes(events)), expected, "{last}");
        }
        assert_eq!(of(&sizes([event(5_000_000), event(1)].into_iter())), [1, 1]);
    }

    #[test]
    fn refused_events_are_named_by_their_lines() {
        assert_eq!(camel_case("chat.author.avatar_url"), "chat.author.avatarUrl");
        let status = Status::invalid_argument("events[1].chat.text: is too long");
        let told = |lines: &[Option<u64>]| refusal(&status, lines).to_string();
        let before = "the core-service refuses: InvalidArgument: ";
        assert_eq!(told(&[Some(3), Some(7)]), format!("{before}line 7: chat.text: is too long"));
        assert_eq!(told(&[None, None]), format!("{before}events[1].chat.text: is too long"));
    }
}
