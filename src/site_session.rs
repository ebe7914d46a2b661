//! How a page of `athook dev` signs in as the development identity: `POST /site/development/session` takes
//! the code in the banner's link and answers with a session, `POST /site/development/token` takes the session
//! and answers with a service-auth token for one method.
//!
//! Owns the code, which works once and for ten minutes, and the one session that it leads to, which lives as
//! long as the process. The key never leaves the process. Only pages of this gateway, opened on this machine,
//! are answered: a name that an attacker points to loopback is not in `Host` (DNS rebinding), and a page of
//! another origin is in `Origin`.

mod answer;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::routing::any;
use chrono::{DateTime, SecondsFormat};
use data_encoding::HEXLOWER;
use gateway::binding::Methods;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Response};
use process::clock::Clock;
use process::exit::Failure;
use serde::Deserialize;
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;

use self::answer::Refusal;
use crate::developer::{self, Developer, TOKEN_LIFETIME, random_bytes};

/// How long the code in the link works.
const CODE_LIFETIME: Duration = Duration::from_secs(600);
/// Random bytes in a code and in a session.
const RANDOM_BYTES: usize = 32;

/// Who may sign tokens for pages.
pub(crate) struct SiteSession {
    methods: Methods,
    audience: String,
    clock: Clock,
    stage: Mutex<Stage>,
}

enum Stage {
    /// Nobody has a link yet.
    Starting,
    /// The banner shows `code`.
    Offered { developer: Arc<Developer>, code: String, since_ms: i64 },
    /// The code was exchanged.
    Taken { developer: Arc<Developer>, session: String },
}

#[derive(Deserialize)]
struct SessionInput {
    code: String,
}

#[derive(Deserialize)]
struct TokenInput {
    lxm: String,
}

impl SiteSession {
    /// Signs tokens for `methods` and `audience`, once there is a link.
    pub(crate) fn new(methods: Methods, audience: String, clock: Clock) -> Arc<Self> {
        Arc::new(Self { methods, audience, clock, stage: Mutex::new(Stage::Starting) })
    }

    /// The two paths.
    pub(crate) fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/site/development/session", any(session))
            .route("/site/development/token", any(token))
            .with_state(self)
    }

    /// Makes the code of the link, with which a page gets tokens of `developer`.
    ///
    /// # Errors
    ///
    /// The operating system has no random bytes.
    pub(crate) fn offer(&self, developer: Developer) -> Result<String, Failure> {
        let code = random_text()?;
        let since_ms = self.clock.unix_ms();
        *self.stage() = Stage::Offered { developer: Arc::new(developer), code: code.clone(), since_ms };
        Ok(code)
    }

    /// A session for the code, which is used up.
    fn exchange(&self, given: &str) -> Result<String, Refusal> {
        let mut stage = self.stage();
        let developer = match &*stage {
            Stage::Offered { developer, code, since_ms }
                if is_equal(given, code) && self.is_fresh(*since_ms) =>
            {
                Arc::clone(developer)
            }
            _ => return Err(Refusal::invalid_code()),
        };
        let session = random_text().map_err(Refusal::failed)?;
        *stage = Stage::Taken { developer, session: session.clone() };
        Ok(session)
    }

    /// If the clock went backwards, the code has expired.
    fn is_fresh(&self, since_ms: i64) -> bool {
        let age_ms = u64::try_from(self.clock.unix_ms().saturating_sub(since_ms));
        age_ms.is_ok_and(|age_ms| Duration::from_millis(age_ms) < CODE_LIFETIME)
    }

    /// A token for the method `lxm`, and when it expires, in seconds since 1970.
    fn token(&self, given: Option<&str>, lxm: &str) -> Result<(String, i64), Refusal> {
        let developer = match &*self.stage() {
            Stage::Taken { developer, session } if given.is_some_and(|given| is_equal(given, session)) => {
                Arc::clone(developer)
            }
            _ => return Err(Refusal::no_session()),
        };
        if self.methods.get(lxm).is_none() {
            return Err(Refusal::invalid_request("lxm: no method of this service"));
        }
        // The token expires then or a moment later.
        let expires = self.clock.unix_seconds().saturating_add_unsigned(TOKEN_LIFETIME.as_secs());
        let token = developer.token(developer::DID, &self.audience, lxm, &self.clock);
        Ok((token.map_err(Refusal::failed)?, expires))
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn session(State(site): State<Arc<SiteSession>>, request: Request) -> Response<Body> {
    answer::answer(request, |_, SessionInput { code }| {
        Ok(json!({ "session": site.exchange(&code)?, "did": developer::DID }))
    })
    .await
}

async fn token(State(site): State<Arc<SiteSession>>, request: Request) -> Response<Body> {
    answer::answer(request, |headers, TokenInput { lxm }| -> Result<Value, Refusal> {
        let (token, expires) = site.token(bearer(headers), &lxm)?;
        let expires = DateTime::from_timestamp(expires, 0).unwrap_or(DateTime::UNIX_EPOCH);
        Ok(json!({ "token": token, "expiresAt": expires.to_rfc3339_opts(SecondsFormat::Secs, true) }))
    })
    .await
}

/// The one bearer token of a request.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).into_iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    value.to_str().ok()?.strip_prefix("Bearer ")
}

fn random_text() -> Result<String, Failure> {
    Ok(HEXLOWER.encode(&random_bytes::<RANDOM_BYTES>()?))
}

/// In a time that does not tell how much of it fits.
fn is_equal(given: &str, expected: &str) -> bool {
    given.as_bytes().ct_eq(expected.as_bytes()).into()
}

#[cfg(test)]
mod tests;
