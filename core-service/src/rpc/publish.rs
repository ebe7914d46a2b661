//! `EventService.Publish` (docs/delivery.md, "Publishing").

use std::sync::Arc;

use process::traces::TraceContext;
use prost::Message as _;
use proto::athook::event::Payload as PayloadMessage;
use proto::athook::{
    Actor as ActorMessage, Chat as ChatMessage, Event as EventMessage, Follow as FollowMessage,
    Livestream as LivestreamMessage, Mention as MentionMessage, Outcome, PublishRequest, PublishResponse,
    Result as ResultMessage, StreamReceived as StreamReceivedMessage,
};
use tokio::sync::SemaphorePermit;

use super::Context;
use crate::delivery::event::{
    Actor, Chat, Event, Follow, Livestream, Mention, OccurredAt, Payload, StreamReceived, required,
};
use crate::delivery::publication::{NewEvent, PublishResult, Published};
use crate::domain::did::Did;
use crate::domain::rule::{BrokenField, Rule, field};
use crate::error::Error;

/// The most events of a request.
const MAX_EVENTS: usize = 1_000;
/// Rows of one transaction, if each streamer has as many webhooks as are allowed.
const GROUP_ROWS: usize = 2_000;
/// Payloads under way in this process, in bytes.
pub(super) const MAX_BYTES_UNDER_WAY: usize = 64 * 1024 * 1024;

/// Who publishes, as an extension of a request that carries a publisher's own token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Publisher(pub(crate) Arc<str>);

/// Stores events, each with a delivery for every webhook that asks for it.
///
/// # Errors
///
/// The first field that breaks a rule: nothing is stored. Too much is under way; the store's other errors.
pub(super) async fn publish(
    context: &Context,
    publisher: Option<Publisher>,
    request: PublishRequest,
) -> Result<PublishResponse, Error> {
    let _under_way = admit(context, &request)?;
    let PublishRequest { events } = request;
    if events.is_empty() {
        return Err(Rule::NoEntry.at("events").into());
    }
    if events.len() > MAX_EVENTS {
        return Err(Rule::AtMostEntries { max: MAX_EVENTS }.at("events").into());
    }
    let now_ms = context.clock.unix_ms();
    let mut new = Vec::with_capacity(events.len());
    for (index, message) in events.into_iter().enumerate() {
        new.push(new_event(context, publisher.as_ref(), index, message, now_ms)?);
    }
    let mut results = Vec::with_capacity(new.len());
    while !new.is_empty() {
        let rest = new.split_off(new.len().min(context.events_of_a_group()));
        results.extend(context.store.publish(new).await?.into_iter().map(result));
        new = rest;
    }
    Ok(PublishResponse { results })
}

/// Takes a share of the payloads under way, for as long as the request is served.
fn admit<'a>(context: &'a Context, request: &PublishRequest) -> Result<SemaphorePermit<'a>, Error> {
    let bytes = u32::try_from(request.encoded_len()).unwrap_or(u32::MAX);
    context.payloads.try_acquire_many(bytes).map_err(|_| Error::Overloaded)
}

impl Context {
    /// How many events one transaction takes.
    fn events_of_a_group(&self) -> usize {
        let rows_of_an_event = 1 + self.max_webhooks as usize;
        (GROUP_ROWS / rows_of_an_event).max(1)
    }
}

fn new_event(
    context: &Context,
    publisher: Option<&Publisher>,
    index: usize,
    message: EventMessage,
    now_ms: i64,
) -> Result<NewEvent, Error> {
    let path = format!("events[{index}]");
    let EventMessage { publisher: named, idempotency_key, streamer_did, occurred_at, payload } = message;
    let at = |name: &str| format!("{path}.{name}");
    let named = match publisher {
        Some(Publisher(own)) if named.is_empty() || named == **own => own.to_string(),
        Some(_) => return Err(Rule::OwnPublisher.at(at("publisher")).into()),
        None => named,
    };
    let occurred_at = required(&at("occurred_at"), occurred_at)?;
    let event = Event {
        publisher: field(&at("publisher"), &named)?,
        idempotency_key: field(&at("idempotency_key"), &idempotency_key)?,
        streamer: Did::of_event(&at("streamer_did"), &streamer_did)?,
        occurred_at: OccurredAt::parse(&at("occurred_at"), occurred_at.seconds, occurred_at.nanos)?,
        payload: payload_of(&path, payload)?,
    };
    let content_hash = event.content_hash();
    let traceparent = TraceContext::current().sampled_traceparent();
    Ok(NewEvent { id: context.new_id(now_ms)?, content_hash, event, traceparent })
}

fn payload_of(path: &str, payload: Option<PayloadMessage>) -> Result<Payload, BrokenField> {
    let payload = required(&format!("{path}.payload"), payload)?;
    let name = match payload {
        PayloadMessage::Chat(_) => "chat",
        PayloadMessage::Livestream(_) => "livestream",
        PayloadMessage::Follow(_) => "follow",
        PayloadMessage::Mention(_) => "mention",
        PayloadMessage::StreamReceived(_) => "stream_received",
    };
    let path = format!("{path}.{name}");
    let payload = match payload {
        PayloadMessage::Chat(ChatMessage { author, text, uri }) => {
            Payload::Chat(Chat { author: actor(&format!("{path}.author"), author)?, text, uri })
        }
        PayloadMessage::Livestream(message) => {
            let LivestreamMessage { handle, title, url, host, thumbnail_url, post_uri } = message;
            let thumbnail_cid = None;
            Payload::Livestream(Livestream {
                handle,
                title,
                url,
                host,
                thumbnail_url,
                thumbnail_cid,
                post_uri,
            })
        }
        PayloadMessage::Follow(FollowMessage { follower }) => {
            Payload::Follow(Follow { follower: actor(&format!("{path}.follower"), follower)? })
        }
        PayloadMessage::Mention(MentionMessage { author, text, uri }) => {
            Payload::Mention(Mention { author: actor(&format!("{path}.author"), author)?, text, uri })
        }
        PayloadMessage::StreamReceived(StreamReceivedMessage {}) => {
            Payload::StreamReceived(StreamReceived {})
        }
    };
    payload.checked(&path)
}

fn actor(path: &str, message: Option<ActorMessage>) -> Result<Actor, BrokenField> {
    let ActorMessage { did: text, handle, avatar_url } = required(path, message)?;
    Ok(Actor { did: Did::of_event(&format!("{path}.did"), &text)?, handle, avatar_url })
}

fn result(published: Published) -> ResultMessage {
    let Published { event, result, deliveries } = published;
    let outcome = match result {
        PublishResult::Stored => Outcome::Stored,
        PublishResult::Seen => Outcome::Seen,
        PublishResult::Conflict => Outcome::Conflict,
    };
    ResultMessage { event_id: event.to_string(), outcome: outcome.into(), deliveries }
}
