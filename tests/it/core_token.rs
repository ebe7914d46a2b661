//! The token that gateway and core-service share: no rpc without it, and how it is replaced.

use std::net::SocketAddr;

use prost_reflect::DescriptorPool;
use serde_json::json;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

use crate::harness::database::{Database, Kind};
use crate::harness::gateway::Gateway;
use crate::harness::identity::{Identity, Key};
use crate::harness::processes::Service;
use crate::harness::stack::{CREATE_SECRET, read};

const OLD: &str = "the-old-token-of-the-tests";
const NEW: &str = "the-new-token-of-the-tests";

fn file(folder: &tempfile::TempDir, tokens: &[&str]) -> String {
    let path = folder.path().join(format!("{}-tokens", tokens.join("-")));
    std::fs::write(&path, tokens.join("\n")).unwrap();
    path.display().to_string()
}

/// Calls an rpc with an empty message. The code of its answer.
pub(crate) async fn call(channel: &Channel, path: &str, token: Option<&str>) -> Code {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let mut request = Request::new(());
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    let answer = client.unary(request, path.parse().unwrap(), ProstCodec::<(), ()>::default()).await;
    answer.map_or_else(|status| status.code(), |_| Code::Ok)
}

/// A gateway that sends the first of these tokens, once it is connected.
async fn gateway(core: SocketAddr, folder: &tempfile::TempDir, tokens: &[&str]) -> Gateway {
    let gateway = Gateway::before(core).flag("--core-token-file", &file(folder, tokens)).start().await;
    ready(&gateway).await;
    gateway
}

/// Waits until the gateway is connected. Health checks need no token.
async fn ready(gateway: &Gateway) {
    let (client, url) = (reqwest::Client::new(), format!("http://{}/readyz", gateway.address));
    let asking = async { while read(client.get(&url)).await.status != 200 {} };
    tokio::time::timeout(std::time::Duration::from_secs(30), asking).await.expect("it gets ready in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_rpc_without_it() {
    let database = Database::create(Kind::Sqlite, false).await;
    let folder = tempfile::tempdir().unwrap();
    let service = Service::core_service(&database.url()).flag("--core-token-file", &file(&folder, &[OLD]));
    let service = service.start().await;
    let channel =
        Endpoint::from_shared(format!("http://{}", service.address)).unwrap().connect().await.unwrap();
    let pool = DescriptorPool::decode(proto::DESCRIPTORS).unwrap();
    let rpcs = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    let paths: Vec<String> =
        rpcs.map(|rpc| format!("/{}/{}", rpc.parent_service().full_name(), rpc.name())).collect();
    assert!(paths.len() >= 10 && paths.iter().any(|path| path == "/athook.v1.AccountService/PurgeAccount"));
    for path in paths {
        for token in [None, Some(""), Some(NEW), Some(&OLD[1..])] {
            assert_eq!(call(&channel, &path, token).await, Code::Unauthenticated, "{path} {token:?}");
        }
        // An empty message has no caller, so the call fails after the token was accepted.
        assert_ne!(call(&channel, &path, Some(OLD)).await, Code::Unauthenticated, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaced_without_a_refused_call() {
    let database = Database::create(Kind::Sqlite, false).await;
    let folder = tempfile::tempdir().unwrap();
    let core = |tokens: &[&str]| {
        Service::core_service(&database.url()).flag("--core-token-file", &file(&folder, tokens))
    };
    let service = core(&[OLD]).start().await;
    let address = service.address;
    let alice = Identity::new("did:plc:alice2222222222222222222", Key::k256());
    let create = async |gateway: &Gateway, name: &str| {
        ready(gateway).await;
        gateway.knows(&alice);
        gateway.call(&alice, CREATE_SECRET, &json!({ "name": name })).await
    };
    let old = gateway(address, &folder, &[OLD]).await;
    create(&old, "a").await.ok();

    // First the core-service accepts both, then the gateways send the new one, then the old one is removed.
    assert!(service.terminate().await.0.success());
    let service = core(&[NEW, OLD]).at(address).start().await;
    create(&old, "b").await.ok();
    let new = gateway(address, &folder, &[NEW, OLD]).await;
    create(&new, "c").await.ok();
    assert!(service.terminate().await.0.success());
    let _service = core(&[NEW]).at(address).start().await;
    create(&new, "d").await.ok();
    let message = create(&old, "e").await.error(502, "UpstreamFailure");
    assert_eq!(message, "a service that this one depends on does not answer");
}
