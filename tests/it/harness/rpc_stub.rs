//! A gRPC server made of one function, for gateways in front of a service that is not athook.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use tokio::net::TcpListener;
use tonic::Status;

/// What a stub does with one call: its path, its message and its metadata.
pub(crate) type Answers = dyn Fn(&str, Bytes, &HeaderMap) -> Result<Bytes, Status> + Send + Sync;

/// A running stub. It stops when dropped.
pub(crate) struct RpcStub {
    pub(crate) address: SocketAddr,
    serving: tokio::task::JoinHandle<()>,
}

impl RpcStub {
    /// Serves `answers` on any path but the health service's, which says SERVING.
    pub(crate) async fn start(answers: Arc<Answers>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(move |request: Request| serve(Arc::clone(&answers), request));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, serving }
    }
}

impl Drop for RpcStub {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(answers: Arc<Answers>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let mut framed = body.collect().await.unwrap().to_bytes();
    assert_eq!(framed.get_u8(), 0, "not compressed");
    let length = usize::try_from(framed.get_u32()).unwrap();
    assert_eq!(length, framed.len());
    let path = head.uri.path();
    // grpc.health.v1.HealthCheckResponse{status: SERVING}
    let health = path == "/grpc.health.v1.Health/Check";
    let answer = if health { Ok(Bytes::from_static(&[8, 1])) } else { answers(path, framed, &head.headers) };
    match answer {
        Err(status) => status.into_http(),
        Ok(message) => {
            let mut framed = BytesMut::new();
            framed.put_u8(0);
            framed.put_u32(u32::try_from(message.len()).unwrap());
            framed.extend_from_slice(&message);
            let trailers =
                HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))]);
            let frames = [
                Ok::<_, std::convert::Infallible>(Frame::data(framed.freeze())),
                Ok(Frame::trailers(trailers)),
            ];
            let body = Body::new(StreamBody::new(futures_util::stream::iter(frames)));
            Response::builder().header("content-type", "application/grpc").body(body).unwrap()
        }
    }
}

/// The descriptors of a made-up `.proto` file, which may import `xrpc/v1/annotations.proto`.
pub(crate) fn descriptors(proto: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("made_up.proto"), proto).unwrap();
    let ours = concat!(env!("CARGO_MANIFEST_DIR"), "/proto");
    let mut compiler = protox::Compiler::new([folder.path(), ours.as_ref()]).unwrap();
    compiler.include_imports(true).open_file("made_up.proto").unwrap();
    compiler.encode_file_descriptor_set()
}

/// A message of a made-up type, made from proto JSON-like fields.
pub(crate) fn message(
    pool: &DescriptorPool,
    name: &str,
    fields: &HashMap<&str, prost_reflect::Value>,
) -> Bytes {
    let mut message = DynamicMessage::new(pool.get_message_by_name(name).unwrap());
    for (field, value) in fields {
        message.set_field_by_name(field, value.clone());
    }
    message.encode_to_vec().into()
}

/// A message of a made-up type, decoded.
pub(crate) fn decoded(pool: &DescriptorPool, name: &str, bytes: Bytes) -> DynamicMessage {
    DynamicMessage::decode(pool.get_message_by_name(name).unwrap(), bytes).unwrap()
}
