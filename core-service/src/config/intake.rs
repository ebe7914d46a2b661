//! The settings of the intake.

use std::num::NonZeroU32;
use std::str::FromStr;

use jetstream::host::Host;
use process::settings::{Problems, given, or_default};
use url::Url;

use super::delivery::number;
use crate::intake::owners::{RecordLimits, RecordOwners};

const INTAKE: &str = "off";
const RECORD_OWNERS: &str = "known";
const INTAKE_NETWORK: &str = "off";
const MAX_RECORD_WEBHOOKS: &str = "100";
const MAX_RECORD_WEBHOOKS_IN_ALL: &str = "100000";
const RECORD_RATE: &str = "600";
/// The highest `--max-record-webhooks` and `--max-record-webhooks-in-all`.
const HIGHEST_COUNT: u32 = 1_000_000;
/// The highest `--record-rate`: each of them is remembered for a minute.
const HIGHEST_RATE: u32 = 100_000;
/// The most hosts of `--jetstream`.
const MAX_HOSTS: usize = 16;

/// The settings of the intake, as text.
#[derive(Clone, clap::Args)]
pub struct RawIntake {
    /// Whether to read the public network: on (serve and read), off or only (read only, not on SQLite)
    #[arg(long, env = "INTAKE", default_value = INTAKE, value_name = "HOW")]
    pub intake: String,
    /// The Jetstreams to read, in the order of preference: ws(s)://HOST/subscribe (v1) or
    /// …/xrpc/network.bsky.jetstream.subscribeEvents (v2)
    #[arg(long, env = "JETSTREAM", value_delimiter = ',', value_name = "URL")]
    pub jetstream: Vec<String>,
    /// A relay that lists who has wh records (com.atproto.sync.listReposByCollection). None: known owners
    /// only
    #[arg(long, env = "RELAY", value_name = "URL")]
    pub relay: Option<String>,
    /// Whose wh records count: known (DIDs with a secret or a webhook here) or all
    #[arg(long, env = "RECORD_OWNERS", default_value = RECORD_OWNERS, value_name = "WHOSE")]
    pub record_owners: String,
    /// Whether scopes may need the whole network: on or off
    #[arg(long, env = "INTAKE_NETWORK", default_value = INTAKE_NETWORK, value_name = "WHETHER")]
    pub intake_network: String,
    /// How many active wh records a DID may have
    #[arg(long, env = "MAX_RECORD_WEBHOOKS", default_value = MAX_RECORD_WEBHOOKS, value_name = "NUMBER")]
    pub max_record_webhooks: String,
    /// How many active wh records there may be in all
    #[arg(
        long,
        env = "MAX_RECORD_WEBHOOKS_IN_ALL",
        default_value = MAX_RECORD_WEBHOOKS_IN_ALL,
        value_name = "NUMBER"
    )]
    pub max_record_webhooks_in_all: String,
    /// Attempts a minute for all wh records of an owner together; more wait
    #[arg(long, env = "RECORD_RATE", default_value = RECORD_RATE, value_name = "NUMBER")]
    pub record_rate: String,
}

/// `--intake`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IntakeMode {
    On,
    Off,
    Only,
}

impl FromStr for IntakeMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            "only" => Ok(Self::Only),
            _ => Err("on, off or only"),
        }
    }
}

/// `--intake-network`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network(bool);

impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "on" => Ok(Self(true)),
            "off" => Ok(Self(false)),
            _ => Err("on or off"),
        }
    }
}

/// The settings of the intake, checked.
#[derive(Debug, Clone)]
pub(crate) struct IntakeConfig {
    pub(crate) mode: IntakeMode,
    pub(crate) hosts: Vec<Host>,
    pub(crate) relay: Option<Url>,
    pub(crate) record_owners: RecordOwners,
    /// `--intake-network`.
    pub(crate) network: bool,
    pub(crate) limits: RecordLimits,
    /// `--record-rate`.
    pub(crate) record_rate: NonZeroU32,
}

impl IntakeConfig {
    /// Checks the settings. `None` if one is wrong; `problems` then says what.
    pub(super) fn check(raw: RawIntake, problems: &mut Problems) -> Option<Self> {
        let RawIntake {
            intake,
            jetstream,
            relay,
            record_owners,
            intake_network,
            max_record_webhooks,
            max_record_webhooks_in_all,
            record_rate,
        } = raw;
        let mode = problems.parse("--intake", or_default(&intake, INTAKE));
        let hosts = hosts(&jetstream, problems);
        if mode.is_some_and(|mode| mode != IntakeMode::Off) && hosts.as_ref().is_some_and(Vec::is_empty) {
            problems.note("--jetstream", "needed with --intake");
        }
        let relay = match given(relay) {
            None => Some(None),
            Some(text) => problems.http_url("--relay", &text, "https://relay.example").map(Some),
        };
        let record_owners = problems.parse("--record-owners", or_default(&record_owners, RECORD_OWNERS));
        let network: Option<Network> =
            problems.parse("--intake-network", or_default(&intake_network, INTAKE_NETWORK));
        let of_owner = number(
            "--max-record-webhooks",
            or_default(&max_record_webhooks, MAX_RECORD_WEBHOOKS),
            HIGHEST_COUNT,
            problems,
        );
        let in_all = number(
            "--max-record-webhooks-in-all",
            or_default(&max_record_webhooks_in_all, MAX_RECORD_WEBHOOKS_IN_ALL),
            HIGHEST_COUNT,
            problems,
        );
        let rate = number("--record-rate", or_default(&record_rate, RECORD_RATE), HIGHEST_RATE, problems);
        Some(Self {
            mode: mode?,
            hosts: hosts?,
            relay: relay?,
            record_owners: record_owners?,
            network: network?.0,
            limits: RecordLimits { of_owner: of_owner?, in_all: in_all? },
            record_rate: NonZeroU32::new(rate?)?,
        })
    }
}

/// `--jetstream`. No text has the URLs: they may have a password.
fn hosts(texts: &[String], problems: &mut Problems) -> Option<Vec<Host>> {
    const FLAG: &str = "--jetstream";
    let mut hosts = Vec::new();
    for text in texts.iter().map(|text| text.trim()).filter(|text| !text.is_empty()) {
        match Host::parse(text) {
            Ok(host) => hosts.push(host),
            Err(error) => {
                problems.note(FLAG, error);
                return None;
            }
        }
    }
    if hosts.len() > MAX_HOSTS {
        problems.note(FLAG, format_args!("at most {MAX_HOSTS} URLs"));
        return None;
    }
    Some(hosts)
}
