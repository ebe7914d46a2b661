//! Every refusal of the core-service has `google.rpc.ErrorInfo`, and every broken field
//! `google.rpc.BadRequest` with the path of that field in the request message.

use prost::Message;
use prost_reflect::{DescriptorPool, Kind as FieldKind, MessageDescriptor};
use proto::athook::{
    Actor, Chat, CreateSecretRequest, CreateWebhookRequest, Event, ListBacklogsRequest,
    ListDeliveriesRequest, ListWebhooksRequest, PublishRequest, PurgeAccountRequest, RewriteRule,
    UpdateWebhookRequest, event,
};
use proto::error::{DOMAIN, reason, violations};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use crate::harness::database::{Database, Kind};
use crate::harness::table::Table;

const ALICE: &str = "did:plc:z72i7hdynmk6r22z27h6tvur";

async fn call<T: Message + 'static>(channel: &Channel, path: &str, request: T) -> Result<(), Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let codec = ProstCodec::<T, ()>::default();
    client.unary(tonic::Request::new(request), path.parse().unwrap(), codec).await.map(drop)
}

/// The reason of a refusal, and the fields that it blames.
fn told(refused: &Status) -> (Code, String, Vec<String>) {
    let info = reason(refused).filter(|info| info.domain == DOMAIN);
    let fields = violations(refused).into_iter().map(|one| one.field).collect();
    (refused.code(), info.map_or_else(|| "none".to_owned(), |info| info.reason), fields)
}

/// Whether `path` leads to a field of the message.
fn leads_to_a_field(message: &MessageDescriptor, path: &str) -> bool {
    let mut message = Some(message.clone());
    path.split('.').all(|step| {
        let (name, index) = step.split_once('[').map_or((step, None), |(name, index)| (name, Some(index)));
        let Some(field) = message.as_ref().and_then(|message| message.get_field_by_name(name)) else {
            // A oneof has a name, too.
            let oneofs: Vec<_> = message.iter().flat_map(MessageDescriptor::oneofs).collect();
            return oneofs.iter().any(|oneof| oneof.name() == name);
        };
        message = match field.kind() {
            FieldKind::Message(inner) => Some(inner),
            _ => None,
        };
        field.is_list() || index.is_none()
    })
}

#[tokio::test]
async fn of_every_rpc() {
    let database = Database::create(Kind::Sqlite, false).await;
    let core = database.core_service_for_loopback().start().await;
    let channel = Endpoint::from_shared(format!("http://{}", core.address)).unwrap().connect().await.unwrap();
    let pool = DescriptorPool::decode(proto::DESCRIPTORS).unwrap();
    let mut table = Table::default();
    for rpc in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        let path = format!("/{}/{}", rpc.parent_service().full_name(), rpc.name());
        // An empty message: most rpcs need a DID or an id.
        let Err(refused) = call(&channel, &path, ()).await else { continue };
        let (code, reason, fields) = told(&refused);
        table.check(format!("{path}: a reason"), reason != "none", true);
        table.check(format!("{path}: a field"), !fields.is_empty(), code == Code::InvalidArgument);
        for field in fields {
            table.check(format!("{path}: {field}"), leads_to_a_field(&rpc.input(), &field), true);
        }
        // What tonic refuses: a text that is no UTF-8, and a message that is too large.
        let bad_text = Vec::<u8>::from([0xff]);
        let large = vec![b'a'; 4 * 1024 * 1024];
        for bytes in [bad_text, large] {
            let length = bytes.len();
            if let Err(refused) = call(&channel, &path, bytes).await {
                let (_, reason, _) = told(&refused);
                table.check(format!("{path}: {length} bytes"), reason != "none", true);
            }
        }
    }
    table.finish();
}

#[tokio::test]
async fn each_with_its_field_or_its_reason() {
    let database = Database::create(Kind::Sqlite, false).await;
    let core = database.core_service_for_loopback().start().await;
    let channel = Endpoint::from_shared(format!("http://{}", core.address)).unwrap().connect().await.unwrap();
    let mut table = Table::default();
    let invalid =
        |reason: &str, field: &str| (Code::InvalidArgument, reason.to_owned(), vec![field.to_owned()]);
    let without_field = |code: Code, reason: &str| (code, reason.to_owned(), Vec::new());
    macro_rules! refused {
        ($path:literal, $request:expr, $expected:expr) => {
            let refused = call(&channel, concat!("/athook.v1.", $path), $request).await.unwrap_err();
            let case = format!("{} {}", $path, refused.message());
            table.check(case, told(&refused), $expected);
        };
    }

    let secret = CreateSecretRequest { caller_did: ALICE.into(), name: "a".into(), token: None };
    call(&channel, "/athook.v1.SecretService/CreateSecret", secret.clone()).await.unwrap();
    refused!(
        "SecretService/CreateSecret",
        secret.clone(),
        without_field(Code::AlreadyExists, "SECRET_EXISTS")
    );
    let field = |name: &str| invalid("INVALID_FIELD", name);
    let request = CreateSecretRequest { caller_did: "alice".into(), ..secret.clone() };
    refused!("SecretService/CreateSecret", request, field("caller_did"));
    let request = CreateSecretRequest { name: "..".into(), ..secret.clone() };
    refused!("SecretService/CreateSecret", request, field("name"));
    let request = CreateSecretRequest { token: Some("short".into()), ..secret };
    refused!("SecretService/CreateSecret", request, field("token"));

    let webhook = CreateWebhookRequest {
        caller_did: ALICE.into(),
        url: "https://hooks.example/".into(),
        events: vec!["chat".into()],
        ..Default::default()
    };
    for (change, expected) in [
        (CreateWebhookRequest { url: "nowhere".into(), ..webhook.clone() }, invalid("INVALID_URL", "url")),
        (CreateWebhookRequest { events: vec!["a".into()], ..webhook.clone() }, field("events[0]")),
        (
            CreateWebhookRequest { mute_words: vec!["a".into(), " ".into()], ..webhook.clone() },
            field("mute_words[1]"),
        ),
        (
            CreateWebhookRequest {
                rewrite: vec![RewriteRule { from: String::new(), to: "b".into() }],
                ..webhook.clone()
            },
            field("rewrite[0].from"),
        ),
        (CreateWebhookRequest { secret_id: Some("/".into()), ..webhook.clone() }, field("secret_id")),
        (CreateWebhookRequest { secret_id: Some("unknown".into()), ..webhook.clone() }, field("secret_id")),
    ] {
        refused!("WebhookService/CreateWebhook", change, expected);
    }
    let update = UpdateWebhookRequest { caller_did: ALICE.into(), id: "a".into(), ..Default::default() };
    refused!("WebhookService/UpdateWebhook", update, field("given"));
    let list = ListWebhooksRequest { caller_did: ALICE.into(), ..Default::default() };
    let cursor = ListWebhooksRequest { cursor: Some("!".into()), ..list.clone() };
    refused!("WebhookService/ListWebhooks", cursor, invalid("INVALID_CURSOR", "cursor"));
    refused!("WebhookService/ListWebhooks", ListWebhooksRequest { limit: Some(0), ..list }, field("limit"));
    let list = ListDeliveriesRequest {
        caller_did: ALICE.into(),
        webhook_id: "a".into(),
        state: Some("gone".into()),
        ..Default::default()
    };
    refused!("DeliveryService/ListDeliveries", list.clone(), field("state"));
    let unknown = ListDeliveriesRequest { state: None, ..list };
    refused!("DeliveryService/ListDeliveries", unknown, without_field(Code::NotFound, "WEBHOOK_NOT_FOUND"));

    let event = Event {
        idempotency_key: "k".into(),
        streamer_did: ALICE.into(),
        occurred_at: Some(prost_types::Timestamp::default()),
        payload: Some(event::Payload::Chat(Chat {
            author: Some(Actor { did: "bob".into(), ..Default::default() }),
            ..Default::default()
        })),
        ..Default::default()
    };
    let request = PublishRequest { events: vec![event.clone()] };
    refused!("EventService/Publish", request, field("events[0].chat.author.did"));
    let request = PublishRequest { events: vec![Event { payload: None, ..event }] };
    refused!("EventService/Publish", request, field("events[0].payload"));
    refused!("OperatorService/ListBacklogs", ListBacklogsRequest { limit: Some(0) }, field("limit"));
    refused!("AccountService/PurgeAccount", PurgeAccountRequest { did: "a".into() }, field("did"));

    refused!("SecretService/Nothing", (), without_field(Code::Unimplemented, "UNIMPLEMENTED"));
    refused!("Nothing/Nothing", (), without_field(Code::Unimplemented, "UNIMPLEMENTED"));
    let large = CreateSecretRequest { name: "a".repeat(128 * 1024), ..Default::default() };
    refused!("SecretService/CreateSecret", large, without_field(Code::OutOfRange, "OUT_OF_RANGE"));
    table.finish();
}
