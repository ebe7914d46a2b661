//! Look-ups in a PLC directory on a real socket: caching, shared look-ups and limits.

mod budget;
mod failures;
mod freshness;

use std::sync::Arc;
use std::time::Duration;

use process::clock::Clock;

use super::fetch::{Limits, Network};
use super::{Identities, outcome_of};
use crate::auth::did::Did;
use crate::auth::error::AuthError;
use crate::auth::key::SigningKey;
use crate::auth::tests::issuer::{Issuer, NOW_S, Signer};
use crate::auth::tests::stub::Stub;
use crate::auth::tests::{client, egress, loopback, metrics};

const HOUR: Duration = Duration::from_secs(60 * 60);
const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
const INSTANT: Duration = Duration::from_millis(1);

/// Identities whose PLC directory is a stub.
struct World {
    directory: Stub,
    clock: Clock,
    identities: Arc<Identities>,
}

impl World {
    async fn new() -> Self {
        Self::with(Limits::DEFAULT).await
    }

    async fn with(limits: Limits) -> Self {
        let directory = Stub::start().await;
        let clock = Clock::manual(NOW_S * 1_000);
        let network = Network::new(directory.url(), egress(loopback()), limits);
        let identities = Identities::new(Vec::new(), network, Arc::new(metrics()), clock.clone());
        Self { directory, clock, identities: Arc::new(identities) }
    }

    /// A world whose directory knows `issuer`, and that has looked it up.
    async fn knowing(issuer: &Issuer) -> Self {
        let world = Self::new().await;
        world.publish(issuer);
        assert_eq!(world.key(issuer).await.unwrap(), key_of(issuer));
        assert_eq!(world.directory.requests(), 1);
        world
    }

    fn publish(&self, issuer: &Issuer) {
        self.directory.serve(issuer.did(), &issuer.document());
    }

    async fn key(&self, issuer: &Issuer) -> Result<SigningKey, AuthError> {
        self.key_from(1, issuer).await
    }

    /// The key, looked up for one of many addresses.
    async fn key_from(&self, number: u32, issuer: &Issuer) -> Result<SigningKey, AuthError> {
        Ok(self.identities.key(&did(issuer), client(number)).await?.key)
    }

    /// Waits for the look-up of `issuer` that is in progress, if there is one.
    async fn settle(&self, issuer: &Issuer) {
        let did = did(issuer);
        let lookup = self.identities.pending().get(&did).map(|lookup| lookup.outcome.clone());
        if let Some(lookup) = lookup {
            let _outcome = outcome_of(lookup, &did).await;
        }
    }
}

fn did(issuer: &Issuer) -> Did {
    issuer.did().parse().unwrap()
}

fn key_of(issuer: &Issuer) -> SigningKey {
    SigningKey::from_method("Multikey", &issuer.signer.multikey()).unwrap()
}

fn issuer() -> Issuer {
    Issuer::plc(Signer::k256(1))
}
