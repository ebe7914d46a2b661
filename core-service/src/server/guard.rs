//! The shared token and publishers' own tokens: they keep strangers out.
//!
//! Owns which calls need a token, and the comparison. Every call does but those of the health service, and a
//! call of an unknown service is refused for its missing token before anybody looks for the service. The
//! token of a publisher is good for publishing alone, and says who publishes ([`Publisher`]).

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::header::AUTHORIZATION;
use http::{Request, Response};
use proto::athook::event_service_server::SERVICE_NAME as EVENT_SERVICE;
use proto::error::SHARED_TOKEN_REQUIRED;
use subtle::{Choice, ConstantTimeEq as _};
use tonic::Code;
use tonic::body::Body;
use tonic_health::pb::health_server::SERVICE_NAME as HEALTH;
use tower_http::validate_request::ValidateRequest;

use crate::config::credentials::Credentials;
use crate::config::delivery::PublisherToken;
use crate::rpc::publish::Publisher;

const BEARER: &[u8] = b"Bearer ";

/// Lets a call through if it carries one of the tokens, and every call if there is no shared token.
#[derive(Clone)]
pub(super) struct Guard {
    /// Replaced when their files change.
    credentials: Arc<ArcSwap<Credentials>>,
    /// `--delivery only`: nothing is served but health.
    only_delivers: bool,
}

/// What a call may do.
enum Admission {
    Everything,
    Publish(Publisher),
    Nothing(Refused),
}

/// What is wrong with the token of a call. `Display` is the message for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Refused {
    #[error(
        "this call needs the metadata `authorization: Bearer TOKEN`, with a token of the core-service's \
         --core-token-file, or of its --publisher-tokens-file for athook.v1.EventService"
    )]
    Missing,
    #[error("the metadata `authorization` is not of the form `Bearer TOKEN`")]
    Form,
    #[error(
        "the token in the metadata `authorization` is unknown: it is in neither the core-service's \
         --core-token-file nor its --publisher-tokens-file"
    )]
    Unknown,
    #[error("the token of a publisher is good for athook.v1.EventService alone")]
    OfPublisher,
}

impl Guard {
    pub(super) fn new(credentials: Arc<ArcSwap<Credentials>>, only_delivers: bool) -> Self {
        Self { credentials, only_delivers }
    }

    fn admission<Any>(&self, request: &Request<Any>) -> Admission {
        if is_health(request) {
            return Admission::Everything;
        }
        let credentials = self.credentials.load();
        let service = service_of(request);
        let authorization = request.headers().get(AUTHORIZATION);
        let token = authorization.and_then(|value| bearer(value.as_bytes()));
        if let Some(publisher) = token.and_then(|token| publisher(&credentials, token)) {
            let publishes = service == Some(EVENT_SERVICE);
            return if publishes {
                Admission::Publish(publisher)
            } else {
                Admission::Nothing(Refused::OfPublisher)
            };
        }
        if credentials.tokens().is_empty() || token.is_some_and(|token| knows(&credentials, token)) {
            return Admission::Everything;
        }
        Admission::Nothing(match (authorization, token) {
            (None, _) => Refused::Missing,
            (Some(_), None) => Refused::Form,
            (Some(_), Some(_)) => Refused::Unknown,
        })
    }
}

/// Compares with all shared tokens, each in constant time.
fn knows(credentials: &Credentials, sent: &[u8]) -> bool {
    let mut known = Choice::from(0);
    for token in credentials.tokens() {
        known |= token.expose().as_bytes().ct_eq(sent);
    }
    known.into()
}

/// The publisher with this token, compared in the same way.
fn publisher(credentials: &Credentials, sent: &[u8]) -> Option<Publisher> {
    let mut found = None;
    for PublisherToken { name, token } in &credentials.publishers {
        if token.expose().as_bytes().ct_eq(sent).into() {
            found = Some(Publisher(name.as_str().into()));
        }
    }
    found
}

/// The token in the value of `authorization`. The case of the scheme does not matter (RFC 9110, section
/// 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(BEARER.len())?;
    scheme.eq_ignore_ascii_case(BEARER).then_some(token)
}

fn service_of<Any>(request: &Request<Any>) -> Option<&str> {
    request.uri().path().split('/').nth(1)
}

fn is_health<Any>(request: &Request<Any>) -> bool {
    service_of(request) == Some(HEALTH)
}

impl<Any> ValidateRequest<Any> for Guard {
    type ResponseBody = Body;

    /// Refuses with UNAUTHENTICATED and a reason that tells a gateway that it is itself refused, and not its
    /// caller.
    fn validate(&mut self, request: &mut Request<Any>) -> Result<(), Response<Body>> {
        match self.admission(request) {
            Admission::Everything | Admission::Publish(_) if self.only_delivers && !is_health(request) => {
                let message = "this process only delivers (--delivery only)";
                Err(proto::error::status(Code::Unimplemented, "ONLY_DELIVERS", message, None).into_http())
            }
            Admission::Everything => Ok(()),
            Admission::Publish(publisher) => {
                request.extensions_mut().insert(publisher);
                Ok(())
            }
            Admission::Nothing(refused) => {
                let (code, message) = (Code::Unauthenticated, refused.to_string());
                Err(proto::error::status(code, SHARED_TOKEN_REQUIRED, message, None).into_http())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use process::settings::files::SharedTrust;
    use tonic::Status;

    use super::*;

    const PUBLISHER: &str = "publisher-0123456789";
    const PUBLISH: &str = "/athook.v1.EventService/Publish";
    const CREATE_SECRET: &str = "/athook.v1.SecretService/CreateSecret";

    /// With these shared tokens, and with [`PUBLISHER`] if there is a publisher.
    fn guard(tokens: &[&str], has_publisher: bool, only_delivers: bool) -> Guard {
        let publisher = PublisherToken { name: "chat".to_owned(), token: PUBLISHER.parse().unwrap() };
        let core_tokens = tokens.iter().map(|token| token.parse().unwrap()).collect();
        let credentials = Credentials {
            tls: None,
            publishers: has_publisher.then_some(publisher).into_iter().collect(),
            shared: SharedTrust { extra_ca: None, core_tokens },
        };
        Guard::new(Arc::new(ArcSwap::from_pointee(credentials)), only_delivers)
    }

    fn call(tokens: &[&str], path: &str, authorization: Option<&str>) -> Result<(), Status> {
        let mut request = Request::builder().uri(path);
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let validated = guard(tokens, true, false).validate(&mut request.body(()).unwrap());
        validated.map_err(|refused| Status::from_header_map(refused.headers()).unwrap())
    }

    #[test]
    fn any_of_the_tokens() {
        let tokens = ["0123456789abcdef", "fedcba9876543210"];
        for token in tokens {
            for scheme in ["Bearer", "bearer", "BEARER"] {
                assert!(call(&tokens, CREATE_SECRET, Some(&format!("{scheme} {token}"))).is_ok());
            }
        }
        assert!(call(&[], CREATE_SECRET, None).is_ok());
    }

    #[test]
    fn anything_else() {
        let tokens = ["0123456789abcdef"];
        for (authorization, why) in [
            (None, Refused::Missing),
            (Some(""), Refused::Form),
            (Some("Bearer"), Refused::Form),
            (Some("0123456789abcdef"), Refused::Form),
            (Some("Basic 0123456789abcdef"), Refused::Form),
            (Some("Bearer "), Refused::Unknown),
            (Some("Bearer 0123456789abcdeF"), Refused::Unknown),
            (Some("Bearer 0123456789abcde"), Refused::Unknown),
            (Some("Bearer 0123456789abcdef0"), Refused::Unknown),
        ] {
            let refused = call(&tokens, CREATE_SECRET, authorization).unwrap_err();
            assert_eq!(refused.code(), Code::Unauthenticated, "{authorization:?}");
            assert_eq!(refused.message(), why.to_string(), "{authorization:?}");
            assert_eq!(proto::error::reason(&refused).unwrap().reason, SHARED_TOKEN_REQUIRED);
        }
    }

    #[test]
    fn token_of_a_publisher_is_good_for_publishing_alone() {
        let authorization = format!("Bearer {PUBLISHER}");
        for tokens in [&["0123456789abcdef"][..], &[]] {
            assert!(call(tokens, PUBLISH, Some(&authorization)).is_ok());
            for path in [CREATE_SECRET, "/athook.v1.EventServiceX/Publish", "/unknown.Service/Method"] {
                let refused = call(tokens, path, Some(&authorization)).unwrap_err();
                assert_eq!(refused.message(), Refused::OfPublisher.to_string(), "{path}");
            }
        }
        let mut request =
            Request::builder().uri(PUBLISH).header(AUTHORIZATION, authorization).body(()).unwrap();
        guard(&[], true, false).validate(&mut request).unwrap();
        assert_eq!(request.extensions().get(), Some(&Publisher("chat".into())));
    }

    #[test]
    fn process_that_only_delivers_serves_health_alone() {
        for (path, code) in [
            ("/grpc.health.v1.Health/Check", None),
            (CREATE_SECRET, Some(Code::Unimplemented)),
            (PUBLISH, Some(Code::Unimplemented)),
        ] {
            let mut request = Request::builder().uri(path).body(()).unwrap();
            let validated = guard(&[], false, true).validate(&mut request);
            let refused = validated.err().map(|refused| Status::from_header_map(refused.headers()).unwrap());
            assert_eq!(refused.map(|refused| refused.code()), code, "{path}");
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
