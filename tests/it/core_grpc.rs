//! The core-service as internal services and operators see it: reflection, health, direct calls.

use std::time::Duration;

use proto::athook::CreateSecretRequest;
use proto::athook::secret_service_client::SecretServiceClient;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::harness::database::Kind;
use crate::harness::stack::{Setup, Stack};

const TOKEN: &str = "a-shared-token-of-the-tests";

async fn channel(stack: &Stack) -> Channel {
    Endpoint::from_shared(format!("http://{}", stack.core)).unwrap().connect().await.unwrap()
}

async fn health(channel: Channel, service: &str) -> Result<ServingStatus, tonic::Status> {
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = HealthClient::new(channel).check(request).await?;
    Ok(answer.into_inner().status())
}

async fn services(channel: Channel, token: Option<&str>) -> Result<Vec<String>, tonic::Status> {
    let asked = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut request = tonic::Request::new(futures_util::stream::iter([asked]));
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    let mut answers =
        ServerReflectionClient::new(channel).server_reflection_info(request).await?.into_inner();
    let answer = answers.message().await?.unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = answer else { panic!("{answer:?}") };
    Ok(list.service.into_iter().map(|service| service.name).collect())
}

#[tokio::test]
async fn reflection_lists_the_services() {
    let stack = Stack::start(Kind::Sqlite).await;
    let names = services(channel(&stack).await, None).await.unwrap();
    for service in ["athook.v1.SecretService", "athook.v1.WebhookService", "grpc.health.v1.Health"] {
        assert!(names.iter().any(|name| name == service), "{service} is not in {names:?}");
    }
}

#[tokio::test]
async fn health_of_every_service() {
    let stack = Stack::start(Kind::Sqlite).await;
    let services = ["Secret", "Webhook", "Event", "Delivery", "Account", "Operator"];
    let services = services.map(|service| format!("athook.v1.{service}Service"));
    for service in services.iter().map(String::as_str).chain([""]) {
        assert_eq!(
            health(channel(&stack).await, service).await.unwrap(),
            ServingStatus::Serving,
            "{service}"
        );
    }
    let unknown = health(channel(&stack).await, "com.example.Nothing").await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
}

#[tokio::test]
async fn shared_token_guards_all_but_health() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    std::fs::write(&file, format!("{TOKEN}\nthe-next-token-of-the-tests\n")).unwrap();
    let file = file.display().to_string();
    let stack = Setup::on(Kind::Sqlite)
        .core("--core-token-file", &file)
        .gateway("--core-token-file", &file)
        .start()
        .await;
    stack.create_secret("through-the-gateway").await.ok();
    assert_eq!(health(channel(&stack).await, "").await.unwrap(), ServingStatus::Serving);

    let with = async |token: Option<&str>| {
        let mut request = tonic::Request::new(CreateSecretRequest {
            caller_did: stack.alice.did.clone(),
            name: "a".to_owned(),
            token: None,
        });
        if let Some(token) = token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        SecretServiceClient::new(channel(&stack).await).create_secret(request).await.map(|_| ())
    };
    for token in [None, Some("a-shared-token-of-the-test"), Some("wrong"), Some("")] {
        assert_eq!(with(token).await.unwrap_err().code(), Code::Unauthenticated, "{token:?}");
        assert_eq!(services(channel(&stack).await, token).await.unwrap_err().code(), Code::Unauthenticated);
    }
    with(Some("the-next-token-of-the-tests")).await.unwrap();
    assert_eq!(with(Some(TOKEN)).await.unwrap_err().code(), Code::AlreadyExists);
    assert!(!services(channel(&stack).await, Some(TOKEN)).await.unwrap().is_empty());
}

#[tokio::test]
async fn gateway_with_a_wrong_token_gives_no_hint() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, token: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, token).unwrap();
        path.display().to_string()
    };
    let stack = Setup::on(Kind::Sqlite)
        .core("--core-token-file", &file("core", TOKEN))
        .gateway("--core-token-file", &file("gateway", "another-token-altogether"))
        .start()
        .await;
    let message = stack.create_secret("a").await.error(502, "UpstreamFailure");
    assert_eq!(message, "a service that this one depends on does not answer");
}

#[tokio::test]
async fn caller_that_is_no_did() {
    let stack = Stack::start(Kind::Sqlite).await;
    for did in ["", "alice", "did:", "did:plc:", "did:plc:a\u{0}b"] {
        let request = CreateSecretRequest { caller_did: did.to_owned(), name: "a".to_owned(), token: None };
        let refused =
            SecretServiceClient::new(channel(&stack).await).create_secret(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{did:?}");
    }
}

#[tokio::test]
async fn deadline_of_the_caller_is_kept() {
    let stack = Stack::start(Kind::Sqlite).await;
    let mut request = tonic::Request::new(CreateSecretRequest {
        caller_did: stack.alice.did.clone(),
        name: "a".to_owned(),
        token: None,
    });
    request.set_timeout(Duration::from_nanos(1));
    let late = SecretServiceClient::new(channel(&stack).await).create_secret(request).await.unwrap_err();
    assert!(matches!(late.code(), Code::Cancelled | Code::DeadlineExceeded), "{late:?}");
}

/// Only on Postgres, which can stop while the core-service runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_follows_the_database() {
    let mut stack = Setup::on(Kind::Postgres).on_its_own_server().start().await;
    let channel = channel(&stack).await;
    let until = async |wanted: ServingStatus| {
        let asking = async {
            while health(channel.clone(), "").await.unwrap() != wanted {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), asking)
            .await
            .unwrap_or_else(|_| panic!("never {wanted:?}"));
    };
    until(ServingStatus::Serving).await;
    stack.database.pause();
    until(ServingStatus::NotServing).await;
    assert_eq!(health(channel.clone(), "liveness").await.unwrap(), ServingStatus::Serving);
    stack.get("/xrpc/_health").await.error(503, "NotEnoughResources");
    stack.create_secret("a").await.error(502, "UpstreamFailure");
    stack.database.resume();
    until(ServingStatus::Serving).await;
    stack.until_ready(200).await;
    stack.create_secret("a").await.ok();
}
