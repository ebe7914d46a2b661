//! What `athook doctor` asks about the gateway's surroundings. Nothing is changed, and nothing is made.

use egress::resolver::Resolver;
use process::exit::Failure;
use url::Url;

use crate::config::Config;
use crate::upstream::trial::{self, Reached};

/// Connects to each address of the core-service at `url` once, with the credentials of these settings, and
/// asks whether it serves.
///
/// # Errors
///
/// None can be connected to; the first cause.
pub async fn core_service(config: &Config, url: &Url) -> Result<Reached, Failure> {
    let resolver = Resolver::uncached(&config.shared.dns_servers)?;
    let token = config.shared.trust.core_tokens.first();
    let tls = config.core_tls.tls.clone().filter(|_| url.scheme() == "https");
    Ok(trial::connect(url, token, tls, resolver).await?)
}
