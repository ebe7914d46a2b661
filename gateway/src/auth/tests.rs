//! Service auth from the header to the caller, with a PLC directory and did:web hosts on real sockets.

pub(super) mod issuer;
mod keys;
mod refusals;
pub(super) mod stub;
mod web;

use std::net::Ipv4Addr;

use egress::client::Egress;
use egress::policy::Policy;
use egress::resolver::Resolver;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use process::clock::Clock;
use prometheus_client::registry::Registry;
use serde_json::Value;

use self::issuer::{Issuer, NOW_S, NSID, SERVICE};
use self::stub::Stub;
use super::error::AuthError;
use super::identity::fetch::Limits;
use super::metrics::AuthMetrics;
use super::refusal::Refusal;
use super::{AuthSettings, Authenticator};
use crate::client_address::ClientAddress;

/// An authenticator whose PLC directory is a stub, and which may reach loopback.
pub(super) struct World {
    pub(super) directory: Stub,
    pub(super) clock: Clock,
    authenticator: Authenticator,
}

/// The egress policy of these tests.
pub(super) fn loopback() -> Policy {
    Policy::new(vec!["127.0.0.0/8".parse().unwrap()])
}

/// One of many client addresses.
pub(crate) fn client(number: u32) -> ClientAddress {
    ClientAddress::new(Ipv4Addr::from_bits(number).into())
}

pub(crate) fn metrics() -> AuthMetrics {
    AuthMetrics::new(&mut Registry::default())
}

pub(crate) fn egress(policy: Policy) -> Egress {
    let nobody = "127.0.0.1:9".parse().unwrap();
    Egress::new(policy, Resolver::new(&[nobody]).unwrap(), None).unwrap()
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with(loopback(), Limits::DEFAULT).await
    }

    async fn with(policy: Policy, limits: Limits) -> Self {
        let directory = Stub::start().await;
        let clock = Clock::manual(NOW_S * 1_000);
        let settings = AuthSettings {
            audiences: vec![SERVICE.to_owned(), format!("{SERVICE}#wisp_place")],
            plc_url: directory.url(),
            did_documents: Vec::new(),
        };
        let authenticator =
            Authenticator::with_limits(settings, egress(policy), clock.clone(), metrics(), limits);
        Self { directory, clock, authenticator }
    }

    /// A world whose directory knows `issuer`.
    async fn knowing(issuer: &Issuer) -> Self {
        let world = Self::new().await;
        world.publish(issuer);
        world
    }

    fn publish(&self, issuer: &Issuer) {
        self.directory.serve(issuer.did(), &issuer.document());
    }

    /// Calls [`NSID`] with a token and returns the caller's DID.
    async fn call(&self, token: &str) -> Result<String, AuthError> {
        self.call_method(NSID, token).await
    }

    async fn call_method(&self, nsid: &str, token: &str) -> Result<String, AuthError> {
        let caller = self.authenticator.authenticate(&bearer(token), nsid, client(1)).await?;
        Ok(caller.did().to_string())
    }

    /// Calls [`NSID`] from another address.
    async fn call_from(&self, number: u32, token: &str) -> Result<String, AuthError> {
        let caller = self.authenticator.authenticate(&bearer(token), NSID, client(number)).await?;
        Ok(caller.did().to_string())
    }

    /// Calls with a token with these claims and expects a refusal.
    async fn refusal(&self, issuer: &Issuer, claims: &Value) -> Refusal {
        refused(self.call(&issuer.token(claims)).await)
    }
}

fn bearer(token: &str) -> HeaderMap {
    let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
    HeaderMap::from_iter([(AUTHORIZATION, value)])
}

fn refused(answer: Result<String, AuthError>) -> Refusal {
    match answer {
        Err(AuthError::Refused(refusal)) => refusal,
        other => panic!("expected a refusal: {other:?}"),
    }
}
