//! A service that publishes events over gRPC.

use std::net::SocketAddr;

use proto::athook::event::Payload;
use proto::athook::event_service_client::EventServiceClient;
use proto::athook::{Actor, Chat, Event, PublishRequest, Result as Published};
use tonic::transport::Endpoint;
use tonic::{Request, Status};

/// A publisher that calls the core-service at an address.
pub(crate) struct Publisher {
    core: SocketAddr,
    token: Option<String>,
    traceparent: Option<String>,
}

impl Publisher {
    pub(crate) fn of(core: SocketAddr) -> Self {
        Self { core, token: None, traceparent: None }
    }

    /// The same with this token.
    pub(crate) fn with_token(core: SocketAddr, token: &str) -> Self {
        Self { core, token: Some(token.to_owned()), traceparent: None }
    }

    /// The same with this `traceparent`.
    pub(crate) fn traced(core: SocketAddr, traceparent: &str) -> Self {
        Self { core, token: None, traceparent: Some(traceparent.to_owned()) }
    }

    /// Publishes these events.
    pub(crate) async fn publish(&self, events: Vec<Event>) -> Result<Vec<Published>, Status> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.core)).unwrap();
        let channel = endpoint.connect().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let mut client = EventServiceClient::new(channel).max_decoding_message_size(4 << 20);
        let mut request = Request::new(PublishRequest { events });
        if let Some(token) = &self.token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        if let Some(traceparent) = &self.traceparent {
            request.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
        }
        Ok(client.publish(request).await?.into_inner().results)
    }

    /// Publishes one chat message.
    pub(crate) async fn chat(&self, streamer: &str, key: &str, text: &str) -> Published {
        self.publish(vec![chat(streamer, key, text)]).await.unwrap().remove(0)
    }
}

/// A chat message of somebody.
pub(crate) fn chat(streamer: &str, key: &str, text: &str) -> Event {
    let author = Actor {
        did: "did:plc:z72i7hdynmk6r22z27h6tvur".to_owned(),
        handle: Some("carol.example".to_owned()),
        avatar_url: None,
    };
    let uri = "at://did:plc:z72i7hdynmk6r22z27h6tvur/place.stream.chat.message/3m6k2xq7v2c2a".to_owned();
    Event {
        publisher: "tests".to_owned(),
        idempotency_key: key.to_owned(),
        streamer_did: streamer.to_owned(),
        occurred_at: Some(prost_types::Timestamp { seconds: 1_795_896_900, nanos: 123_000_000 }),
        payload: Some(Payload::Chat(Chat { author: Some(author), text: text.to_owned(), uri })),
    }
}
