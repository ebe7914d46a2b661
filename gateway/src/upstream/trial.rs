//! One connection to each address of the core-service, for whoever wants to know whether it can be had.

use std::sync::Arc;

use arc_swap::ArcSwap;
use egress::resolver::Resolver;
use futures_util::future::join_all;
use process::exit::Failure;
use process::settings::files::CoreToken;
use tokio::time::Instant;
use url::Url;

use super::UnfitSettings;
use super::addresses::AddressSource;
use super::dial::{DialError, Dialer, PROOF_LIMIT};
use super::tls::{Credentials, UpstreamTls};

/// What was found at the addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// How many answer and say that they serve.
    pub serving: usize,
    /// How many answer.
    pub answering: usize,
    /// How many there are. `localhost` has two.
    pub addresses: usize,
}

/// Nothing answers.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotReached {
    #[error(transparent)]
    Settings(#[from] UnfitSettings),
    #[error("its name can't be looked up")]
    Name,
    #[error("no address answers")]
    Dial(#[source] Failure),
}

/// Tries all addresses at the same time.
///
/// # Errors
///
/// None answers.
pub(crate) async fn connect(
    url: &Url,
    token: Option<&CoreToken>,
    tls: Option<UpstreamTls>,
    resolver: Resolver,
) -> Result<Reached, NotReached> {
    let credentials = Arc::new(ArcSwap::from_pointee(Credentials::new(token, tls)));
    let dialer = Dialer::new(url, credentials)?;
    let source = AddressSource::new(url, resolver).ok_or(UnfitSettings::Url)?;
    let addresses = source.look_up().await.ok_or(NotReached::Name)?;
    let tries = addresses.iter().map(async |address| {
        let connection = dialer.dial(*address).await?;
        Ok::<_, DialError>(matches!(connection.is_serving(Instant::now() + PROOF_LIMIT).await, Ok(true)))
    });
    let mut reached = Reached { serving: 0, answering: 0, addresses: addresses.len() };
    let mut failure = None;
    for tried in join_all(tries).await {
        match tried {
            Ok(serves) => {
                reached.answering += 1;
                reached.serving += usize::from(serves);
            }
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    match failure {
        Some(error) if reached.answering == 0 => Err(NotReached::Dial(error.into())),
        _ => Ok(reached),
    }
}
