//! The shared token: it keeps strangers out.

use std::sync::Arc;

use process::settings::CoreToken;
use subtle::{Choice, ConstantTimeEq as _};
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// Lets calls with one of the tokens through, or all calls if there is no token.
#[derive(Clone)]
pub(super) struct Guard(Arc<[CoreToken]>);

impl Guard {
    pub(super) fn new(tokens: Vec<CoreToken>) -> Self {
        Self(tokens.into())
    }

    fn knows(&self, shown: &[u8]) -> bool {
        let mut known = Choice::from(0);
        for token in self.0.iter() {
            known |= token.expose().as_bytes().ct_eq(shown);
        }
        known.into()
    }
}

impl Interceptor for Guard {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        if self.0.is_empty() {
            return Ok(request);
        }
        let shown = request
            .metadata()
            .get("authorization")
            .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        match shown {
            Some(shown) if self.knows(shown) => Ok(request),
            // Without ErrorInfo: it is the gateway that was refused, not its caller.
            _ => Err(Status::unauthenticated("the shared token is missing or wrong")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(tokens: &[&str], authorization: Option<&str>) -> Result<(), Status> {
        let tokens = tokens.iter().map(|token| token.parse().unwrap()).collect();
        let mut request = Request::new(());
        if let Some(value) = authorization {
            request.metadata_mut().insert("authorization", value.parse().unwrap());
        }
        Guard::new(tokens).call(request).map(drop)
    }

    #[test]
    fn any_of_the_tokens() {
        let tokens = ["0123456789abcdef", "fedcba9876543210"];
        for token in tokens {
            assert!(call(&tokens, Some(&format!("Bearer {token}"))).is_ok());
        }
        assert!(call(&[], None).is_ok());
    }

    #[test]
    fn anything_else() {
        let tokens = ["0123456789abcdef"];
        for shown in [
            None,
            Some(""),
            Some("Bearer "),
            Some("0123456789abcdef"),
            Some("Bearer 0123456789abcdeF"),
            Some("Bearer 0123456789abcde"),
            Some("Bearer 0123456789abcdef0"),
        ] {
            let refused = call(&tokens, shown).unwrap_err();
            assert_eq!(refused.code(), tonic::Code::Unauthenticated, "{shown:?}");
            assert_eq!(proto::error::reason(&refused), None);
        }
    }
}
