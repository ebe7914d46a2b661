//! The shared token: it keeps strangers out.
//!
//! Owns which calls need a token, and the comparison. Every call does but those of the health service, and a
//! call of an unknown service is refused for its missing token before anybody looks for the service.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{Request, Response};
use process::settings::CoreToken;
use subtle::{Choice, ConstantTimeEq as _};
use tonic::Status;
use tonic::body::Body;
use tonic_health::pb::health_server::SERVICE_NAME as HEALTH;
use tower_http::validate_request::ValidateRequest;

/// Lets a call through if it carries one of the tokens, and every call if there is no token.
#[derive(Clone)]
pub(super) struct Guard(Arc<[CoreToken]>);

impl Guard {
    pub(super) fn new(tokens: Vec<CoreToken>) -> Self {
        Self(tokens.into())
    }

    fn admits<Any>(&self, request: &Request<Any>) -> bool {
        let service = request.uri().path().split('/').nth(1);
        if self.0.is_empty() || service == Some(HEALTH) {
            return true;
        }
        let authorization = request.headers().get(AUTHORIZATION);
        let token = authorization.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        token.is_some_and(|token| self.knows(token))
    }

    /// Compares with all tokens, each in constant time.
    fn knows(&self, sent: &[u8]) -> bool {
        let mut known = Choice::from(0);
        for token in self.0.iter() {
            known |= token.expose().as_bytes().ct_eq(sent);
        }
        known.into()
    }
}

impl<Any> ValidateRequest<Any> for Guard {
    type ResponseBody = Body;

    /// Refuses with UNAUTHENTICATED and without `ErrorInfo`: it is the gateway that is refused, not its
    /// caller.
    fn validate(&mut self, request: &mut Request<Any>) -> Result<(), Response<Body>> {
        if self.admits(request) {
            return Ok(());
        }
        Err(Status::unauthenticated("the shared token is missing or wrong").into_http())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATE_SECRET: &str = "/athook.v1.SecretService/CreateSecret";

    fn call(tokens: &[&str], path: &str, authorization: Option<&str>) -> Result<(), Status> {
        let tokens = tokens.iter().map(|token| token.parse().unwrap()).collect();
        let mut request = Request::builder().uri(path);
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let validated = Guard::new(tokens).validate(&mut request.body(()).unwrap());
        validated.map_err(|refused| Status::from_header_map(refused.headers()).unwrap())
    }

    #[test]
    fn any_of_the_tokens() {
        let tokens = ["0123456789abcdef", "fedcba9876543210"];
        for token in tokens {
            assert!(call(&tokens, CREATE_SECRET, Some(&format!("Bearer {token}"))).is_ok());
        }
        assert!(call(&[], CREATE_SECRET, None).is_ok());
    }

    #[test]
    fn anything_else() {
        let tokens = ["0123456789abcdef"];
        for authorization in [
            None,
            Some(""),
            Some("Bearer "),
            Some("0123456789abcdef"),
            Some("Bearer 0123456789abcdeF"),
            Some("Bearer 0123456789abcde"),
            Some("Bearer 0123456789abcdef0"),
        ] {
            let refused = call(&tokens, CREATE_SECRET, authorization).unwrap_err();
            assert_eq!(refused.code(), tonic::Code::Unauthenticated, "{authorization:?}");
            assert_eq!(refused.message(), "the shared token is missing or wrong");
            assert_eq!(proto::error::reason(&refused), None);
        }
    }

    #[test]
    fn health_alone_needs_none() {
        let tokens = ["0123456789abcdef"];
        for path in ["/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch", "/grpc.health.v1.Health"]
        {
            assert!(call(&tokens, path, None).is_ok(), "{path}");
        }
        for path in
            ["/", "/unknown.Service/Method", "/grpc.health.v1.Healthy/Check", "//grpc.health.v1.Health/Check"]
        {
            assert!(call(&tokens, path, None).is_err(), "{path}");
        }
    }
}
