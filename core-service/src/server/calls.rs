//! What the clients of the port make the server hold: their answers count in the account of their connection
//! ([`process::held`]), and few health calls may be in flight on one connection, since those need no token.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use process::held::Account;
use process::held::answer::AnswerBody;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Code;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::transport::server::TlsConnectInfo;
use tower::Service;

/// Health calls in flight on one connection, open streams of `Watch` among them.
const MAX_HEALTH_CALLS: usize = 8;

/// What the calls of one connection share; an extension of each request.
#[derive(Debug, Clone)]
pub(super) struct CallsOfConnection {
    account: Arc<Account>,
    /// One permit for each health call in flight, [`MAX_HEALTH_CALLS`].
    health: Arc<Semaphore>,
}

impl CallsOfConnection {
    pub(super) fn new(account: &Arc<Account>) -> Self {
        Self { account: Arc::clone(account), health: Arc::new(Semaphore::new(MAX_HEALTH_CALLS)) }
    }

    fn of<Any>(request: &Request<Any>) -> Self {
        let extensions = request.extensions();
        let secured = || extensions.get().map(TlsConnectInfo::get_ref);
        extensions.get().or_else(secured).cloned().expect("tonic adds what `Connection` says of itself")
    }
}

/// Counts the answers of `Inner` in the account of their connection.
#[derive(Clone)]
pub(super) struct CountAnswers<Inner>(pub(super) Inner);

impl<Inner, RequestBody, ResponseBody> Service<Request<RequestBody>> for CountAnswers<Inner>
where
    Inner: Service<Request<RequestBody>, Response = Response<ResponseBody>>,
    Inner::Future: Send + 'static,
    Inner::Error: 'static,
    ResponseBody: HttpBody<Data = Bytes> + Unpin + 'static,
{
    type Response = Response<AnswerBody<ResponseBody>>;
    type Error = Inner::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Inner::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Inner::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let CallsOfConnection { account, health: _ } = CallsOfConnection::of(&request);
        Box::pin(account.serve(self.0.call(request)))
    }
}

/// Refuses health calls of a connection that has [`MAX_HEALTH_CALLS`] in flight.
#[derive(Clone)]
pub(super) struct LimitHealth<Inner>(pub(super) Inner);

impl<Inner: NamedService> NamedService for LimitHealth<Inner> {
    const NAME: &'static str = Inner::NAME;
}

impl<Inner> Service<Request<Body>> for LimitHealth<Inner>
where
    Inner: Service<Request<Body>, Response = Response<Body>>,
    Inner::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Inner::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Inner::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Inner::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let CallsOfConnection { account: _, health } = CallsOfConnection::of(&request);
        let Ok(permit) = health.try_acquire_owned() else {
            let message = "too many health calls at once on this connection";
            let refused = proto::error::status(Code::ResourceExhausted, "OVERLOADED", message, None);
            return Box::pin(async move { Ok(refused.into_http()) });
        };
        let answering = self.0.call(request);
        Box::pin(
            async move { Ok(answering.await?.map(|body| Body::new(WithPermit { body, _permit: permit }))) },
        )
    }
}

/// A body that keeps its call's permit until its end.
struct WithPermit {
    body: Body,
    _permit: OwnedSemaphorePermit,
}

impl HttpBody for WithPermit {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
