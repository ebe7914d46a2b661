//! The shared token: it keeps strangers out.

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use process::settings::CoreToken;
use subtle::{Choice, ConstantTimeEq as _};
use tonic::Status;

/// Lets calls with one of the tokens through, or all calls if there is no token.
#[derive(Clone)]
pub(super) struct Guard(Arc<[CoreToken]>);

impl Guard {
    pub(super) fn new(tokens: Vec<CoreToken>) -> Self {
        Self(tokens.into())
    }

    /// Whether a call with these headers may pass.
    ///
    /// # Errors
    ///
    /// What it is answered if not: UNAUTHENTICATED, without `ErrorInfo`, for it is the gateway that is refused, not its
    /// caller.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Status> {
        if self.0.is_empty() {
            return Ok(());
        }
        let shown = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        match shown {
            Some(shown) if self.knows(shown) => Ok(()),
            _ => Err(Status::unauthenticated("the shared token is missing or wrong")),
        }
    }

    fn knows(&self, shown: &[u8]) -> bool {
        let mut known = Choice::from(0);
        for token in self.0.iter() {
            known |= token.expose().as_bytes().ct_eq(shown);
        }
        known.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(tokens: &[&str], authorization: Option<&str>) -> Result<(), Status> {
        let tokens = tokens.iter().map(|token| token.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, value.parse().unwrap());
        }
        Guard::new(tokens).check(&headers)
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
