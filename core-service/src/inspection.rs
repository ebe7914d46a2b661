//! What `athook doctor` asks about this service's surroundings. Nothing is changed, and nothing is made.

use std::sync::Arc;

use egress::client::Egress;
use egress::policy::Policy;
use jetstream::host::{Filter, Host};
use jetstream::options::Options;
use jetstream::trial;
use migrations::SchemaState;
use process::exit::Failure;
use process::files::ExposedFile;
use url::Url;

use crate::config::Config;
use crate::config::intake::IntakeMode;
use crate::delivery::signature::user_agent;
use crate::intake::Connector;
use crate::store::inspection::inspect;

/// The state of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseState {
    /// An SQLite file that the first start makes.
    Missing,
    /// It has no schema yet, or that of an earlier release. The start brings it up to date.
    Older,
    /// It has the schema of this release.
    Same,
    /// A later release was here.
    Newer,
}

/// Looks at the database of these settings.
///
/// # Errors
///
/// It can't be used with them.
pub async fn database(config: &Config) -> Result<DatabaseState, Failure> {
    let schema = inspect(&config.database, config.seal_keys.present()).await?;
    Ok(match schema {
        None => DatabaseState::Missing,
        Some(SchemaState::Older) => DatabaseState::Older,
        Some(SchemaState::Same) => DatabaseState::Same,
        Some(SchemaState::Newer) => DatabaseState::Newer,
    })
}

/// The files with secrets that others can read or write.
#[must_use]
pub fn exposed_files(config: &Config) -> &[ExposedFile] {
    &config.exposed_files
}

/// The Jetstreams that are read; none where the intake is off.
#[must_use]
pub fn jetstreams(config: &Config) -> &[Host] {
    if config.intake.mode == IntakeMode::Off { &[] } else { &config.intake.hosts }
}

/// The relay that is asked for lists; `None` where there is none or the intake is off.
#[must_use]
pub fn relay(config: &Config) -> Option<&Url> {
    config.intake.relay.as_ref().filter(|_| config.intake.mode != IntakeMode::Off)
}

/// Connects to a Jetstream once, with the names and authorities of `egress`. The caller limits the time.
///
/// # Errors
///
/// Why there is no connection.
pub async fn reach_jetstream(config: &Config, host: &Host, egress: &Egress) -> Result<(), String> {
    let connect = Arc::new(Connector(egress.with_policy(Policy::unrestricted())));
    // It refuses a list without hosts alone.
    let options = Options::new(
        vec![host.clone()],
        Filter::Collections(["place.wisp.v2.wh".to_owned()].into()),
        connect,
    )
    .map_err(|error| error.to_string())?
    .user_agent(user_agent(env!("CARGO_PKG_VERSION"), config.public_url.as_ref()));
    trial::connect(&options, host, config.clock.unix_ms().saturating_mul(1000)).await
}
