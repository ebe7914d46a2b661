//! A client of `athook.v1.EventService` in Rust: publishes a chat message, and repeats the call until it
//! knows what became of it.
//!
//! ```sh
//! cargo run --example publish -- http://127.0.0.1:50051 STREAMER-DID TEXT [TOKEN-FILE]
//! ```
//!
//! The types and the client are made from `proto/athook/v1/event.proto`, which describes every field and
//! error; a project of its own would make them with tonic-prost-build.

use std::error::Error;
use std::time::{Duration, SystemTime};

use proto::athook::event::Payload;
use proto::athook::event_service_client::EventServiceClient;
use proto::athook::{Actor, Chat, Event, PublishRequest, Result as Published};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Endpoint;
use tonic::{Code, Request};

/// How long one call may take.
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// Calls in all.
const MAX_TRIES: u32 = 5;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (url, streamer, text, token_file) = match &arguments[..] {
        [url, streamer, text] => (url, streamer, text, None),
        [url, streamer, text, file] => (url, streamer, text, Some(file)),
        _ => return Err("arguments: URL STREAMER-DID TEXT [TOKEN-FILE]".into()),
    };
    let token = token_file.map(std::fs::read_to_string).transpose()?;
    let key = format!("example-{}", now()?.as_nanos());
    let results = publish(url, token.as_deref(), vec![chat(streamer, &key, text)?]).await?;
    for result in results {
        let outcome = result.outcome().as_str_name();
        println!("{outcome} {} with {} deliveries", result.event_id, result.deliveries);
    }
    Ok(())
}

/// A chat message of somebody, now. `key` must be another one for each event: the same key means the same
/// event.
pub fn chat(streamer: &str, key: &str, text: &str) -> Result<Event, Box<dyn Error>> {
    let now = now()?;
    let author = Actor {
        did: "did:plc:z72i7hdynmk6r22z27h6tvur".to_owned(),
        handle: Some("carol.example".to_owned()),
        avatar_url: None,
    };
    Ok(Event {
        publisher: "example".to_owned(),
        idempotency_key: key.to_owned(),
        streamer_did: streamer.to_owned(),
        occurred_at: Some(prost_types::Timestamp {
            seconds: now.as_secs().try_into()?,
            nanos: now.subsec_nanos().try_into()?,
        }),
        payload: Some(Payload::Chat(Chat {
            author: Some(author),
            text: text.to_owned(),
            uri: "at://did:plc:z72i7hdynmk6r22z27h6tvur/place.stream.chat.message/3m6k2xq7v2c2a".to_owned(),
        })),
    })
}

/// Publishes up to 1,000 events. A call whose end is unknown is repeated as it is: the keys of the events
/// keep them from being stored twice.
pub async fn publish(
    url: &str,
    token: Option<&str>,
    events: Vec<Event>,
) -> Result<Vec<Published>, Box<dyn Error>> {
    let channel = Endpoint::from_shared(url.to_owned())?.timeout(CALL_LIMIT).connect_lazy();
    let mut client = EventServiceClient::new(channel);
    let bearer: Option<MetadataValue<Ascii>> =
        token.map(|token| format!("Bearer {}", token.trim()).parse()).transpose()?;
    let mut tries = 0;
    loop {
        tries += 1;
        let mut request = Request::new(PublishRequest { events: events.clone() });
        if let Some(bearer) = &bearer {
            request.metadata_mut().insert("authorization", bearer.clone());
        }
        match client.publish(request).await {
            Ok(answer) => return Ok(answer.into_inner().results),
            Err(status) if tries < MAX_TRIES && can_be_repeated(status.code()) => {
                tokio::time::sleep(Duration::from_secs(1 << (tries - 1))).await;
            }
            Err(status) => return Err(status.into()),
        }
    }
}

/// The service is away or has too much to do, or there was no answer in time.
fn can_be_repeated(code: Code) -> bool {
    matches!(code, Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded | Code::Cancelled)
}

#[expect(clippy::disallowed_methods, reason = "the example has no clock handed in")]
fn now() -> Result<Duration, std::time::SystemTimeError> {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)
}
