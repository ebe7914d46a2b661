//! Which service a call is for, and whether it may pass the guard.

use std::convert::Infallible;
use std::future::ready;
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::{Request, Response};
use proto::athook::secret_service_server::SecretServiceServer;
use proto::athook::webhook_service_server::WebhookServiceServer;
use tonic::body::Body;
use tonic::codegen::BoxFuture;
use tonic::server::NamedService as _;
use tonic::service::Routes;
use tower::Service;

use super::guard::Guard;
use super::metrics::HEALTH;
use crate::rpc::Rpcs;

type Secrets = SecretServiceServer<Rpcs>;
type Webhooks = WebhookServiceServer<Rpcs>;

/// All services, behind the guard; that of health is in front of it.
///
/// The two that are called all the time do not go by tonic's routes: those put a call, its body and its answer into
/// several boxes, and take its path apart.
#[derive(Clone)]
pub(super) struct Services {
    pub(super) guard: Guard,
    pub(super) secrets: Secrets,
    pub(super) webhooks: Webhooks,
    pub(super) others: Routes,
}

impl Service<Request<Body>> for Services {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<BoxFuture<Response<Body>, Infallible>, <Routes as Service<Request<Body>>>::Future>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Each of them always is.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let service = request.uri().path().split('/').nth(1).unwrap_or_default();
        if service != HEALTH
            && let Err(refused) = self.guard.check(request.headers())
        {
            return Either::Left(Box::pin(ready(Ok(refused.into_http()))));
        }
        match service {
            Secrets::NAME => Either::Left(self.secrets.call(request)),
            Webhooks::NAME => Either::Left(self.webhooks.call(request)),
            _ => Either::Right(self.others.call(request)),
        }
    }
}
