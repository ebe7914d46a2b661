//! The settings of deliveries.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use process::settings::files::CoreToken;
use process::settings::{Problems, or_default};

use crate::delivery::schedule::{self, Schedule};
use crate::store::commit::event_batch::DeliverySettings;
use crate::store::commit::expire::Retention;

const DELIVERY: &str = "on";
const CONCURRENCY: &str = "1024";
const TIMEOUT: &str = "15s";
const DISABLE_AFTER: &str = "50";
const DISABLE_AFTER_TIME: &str = "24h";
pub(crate) const MAX_PENDING: &str = "10000";
const PAYLOAD_RETENTION: &str = "7d";
const ATTEMPT_RETENTION: &str = "30d";
/// The highest `--delivery-concurrency`: each attempt may need a file descriptor.
const HIGHEST_CONCURRENCY: u32 = 16_384;
/// The longest `--delivery-timeout`.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(300);
/// The highest `--max-pending` and `--disable-after`: the columns that count them have 32 bits.
const HIGHEST_COUNT: u32 = 1_000_000_000;
/// The most steps of `--retry-schedule`.
const MAX_STEPS: usize = 100;
/// The shortest `--payload-retention` and `--attempt-retention`.
const SHORTEST_RETENTION: Duration = Duration::from_hours(1);
/// What a lease lasts beyond `--delivery-timeout`: the time to write the outcome.
const LEASE_MARGIN: Duration = Duration::from_secs(10);
/// The longest name of a publisher, in bytes (docs/delivery.md, "Publishing").
const MAX_PUBLISHER_BYTES: usize = 64;

/// The settings of deliveries, as text.
#[derive(Clone, clap::Args)]
pub struct RawDelivery {
    /// Whether to deliver: on (serve and deliver), off (serve only) or only (deliver only, not on SQLite)
    #[arg(long, env = "DELIVERY", default_value = DELIVERY, value_name = "HOW")]
    pub delivery: String,
    /// Attempts at once in this process
    #[arg(long, env = "DELIVERY_CONCURRENCY", default_value = CONCURRENCY, value_name = "NUMBER")]
    pub delivery_concurrency: String,
    /// How long an attempt may take, the receiver's whole answer included
    #[arg(long, env = "DELIVERY_TIMEOUT", default_value = TIMEOUT, value_name = "TIME")]
    pub delivery_timeout: String,
    /// Pauses between attempts, each with 0 to 20 % added at random; there is one attempt more than pauses
    /// [default: 5s,30s,2m,10m,30m,2h,5h,10h,10h]
    #[arg(long, env = "RETRY_SCHEDULE", value_delimiter = ',', value_name = "TIME")]
    pub retry_schedule: Vec<String>,
    /// Failed deliveries in a row that turn a webhook off, if they also take longer than --disable-after-time
    #[arg(long, env = "DISABLE_AFTER", default_value = DISABLE_AFTER, value_name = "NUMBER")]
    pub disable_after: String,
    /// The time over which deliveries must have failed before their webhook is turned off
    #[arg(long, env = "DISABLE_AFTER_TIME", default_value = DISABLE_AFTER_TIME, value_name = "TIME")]
    pub disable_after_time: String,
    /// Deliveries that may wait for one webhook; more are dropped
    #[arg(long, env = "MAX_PENDING", default_value = MAX_PENDING, value_name = "NUMBER")]
    pub max_pending: String,
    /// How long the content of an event is kept after its last attempt
    #[arg(long, env = "PAYLOAD_RETENTION", default_value = PAYLOAD_RETENTION, value_name = "TIME")]
    pub payload_retention: String,
    /// How long attempts are kept
    #[arg(long, env = "ATTEMPT_RETENTION", default_value = ATTEMPT_RETENTION, value_name = "TIME")]
    pub attempt_retention: String,
    /// A file of publishers' own tokens, a line each: NAME TOKEN. Such a token may publish and nothing else
    #[arg(long, env = "PUBLISHER_TOKENS_FILE", value_name = "FILE")]
    pub publisher_tokens_file: Option<String>,
}

/// `--delivery`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeliveryMode {
    On,
    Off,
    Only,
}

impl FromStr for DeliveryMode {
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

/// A publisher's own token. Never printed.
#[derive(Clone)]
pub(crate) struct PublisherToken {
    pub(crate) name: String,
    pub(crate) token: CoreToken,
}

impl fmt::Debug for PublisherToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [redacted]", self.name)
    }
}

/// The settings of deliveries, checked.
#[derive(Debug, Clone)]
pub(crate) struct DeliveryConfig {
    pub(crate) mode: DeliveryMode,
    pub(crate) concurrency: usize,
    pub(crate) timeout: Duration,
    pub(crate) settings: DeliverySettings,
    pub(crate) retention: Retention,
}

impl DeliveryConfig {
    /// Checks the settings. `None` if one is wrong; `problems` then says what.
    pub(super) fn check(raw: RawDelivery, problems: &mut Problems) -> Option<Self> {
        let RawDelivery {
            delivery,
            delivery_concurrency,
            delivery_timeout,
            retry_schedule,
            disable_after,
            disable_after_time,
            max_pending,
            payload_retention,
            attempt_retention,
            // Read with the other files of credentials.
            publisher_tokens_file: _,
        } = raw;
        let mode = problems.parse("--delivery", or_default(&delivery, DELIVERY));
        let concurrency = number(
            "--delivery-concurrency",
            or_default(&delivery_concurrency, CONCURRENCY),
            HIGHEST_CONCURRENCY,
            problems,
        );
        let timeout = duration(
            "--delivery-timeout",
            or_default(&delivery_timeout, TIMEOUT),
            Duration::from_secs(1)..=LONGEST_TIMEOUT,
            problems,
        );
        let schedule = retry_schedule_of(&retry_schedule, problems);
        let disable_after =
            number("--disable-after", or_default(&disable_after, DISABLE_AFTER), HIGHEST_COUNT, problems);
        let disable_after_time =
            problems.duration("--disable-after-time", or_default(&disable_after_time, DISABLE_AFTER_TIME));
        let max_pending = self::max_pending(&max_pending, problems);
        let retention = SHORTEST_RETENTION..=Duration::from_hours(24 * 3650);
        let payload_retention = duration(
            "--payload-retention",
            or_default(&payload_retention, PAYLOAD_RETENTION),
            retention.clone(),
            problems,
        );
        let attempt_retention = duration(
            "--attempt-retention",
            or_default(&attempt_retention, ATTEMPT_RETENTION),
            retention,
            problems,
        );
        let timeout = timeout?;
        Some(Self {
            mode: mode?,
            concurrency: concurrency? as usize,
            timeout,
            settings: DeliverySettings {
                max_pending: max_pending?,
                lease_ms: millis(timeout + LEASE_MARGIN),
                disable_after: disable_after?,
                disable_after_ms: millis(disable_after_time?),
                schedule: schedule?,
            },
            retention: Retention { payloads: payload_retention?, attempts: attempt_retention? },
        })
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// `--max-pending`, as services and `requeue` take it.
pub(crate) fn max_pending(text: &str, problems: &mut Problems) -> Option<u32> {
    number("--max-pending", or_default(text, MAX_PENDING), HIGHEST_COUNT, problems)
}

pub(super) fn number(flag: &str, text: &str, highest: u32, problems: &mut Problems) -> Option<u32> {
    let number: u32 = problems.number(flag, text)?;
    if !(1..=highest).contains(&number) {
        problems.note(flag, format_args!("1 to {highest}"));
        return None;
    }
    Some(number)
}

fn duration(
    flag: &str,
    text: &str,
    range: std::ops::RangeInclusive<Duration>,
    problems: &mut Problems,
) -> Option<Duration> {
    let duration = problems.duration(flag, text)?;
    if !range.contains(&duration) {
        let (least, most) = (range.start().as_secs(), range.end().as_secs());
        problems.note(flag, format_args!("{least}s to {most}s"));
        return None;
    }
    Some(duration)
}

fn retry_schedule_of(texts: &[String], problems: &mut Problems) -> Option<Schedule> {
    const FLAG: &str = "--retry-schedule";
    let given: Vec<&String> = texts.iter().filter(|text| !text.trim().is_empty()).collect();
    if given.is_empty() {
        return Some(Schedule::default());
    }
    let steps: Option<Vec<Duration>> = given.into_iter().map(|text| problems.duration(FLAG, text)).collect();
    let steps = steps?;
    if steps.len() > MAX_STEPS || steps.iter().any(|step| *step > schedule::MAX_AGE) {
        problems.note(FLAG, format_args!("at most {MAX_STEPS} steps of at most 3days"));
        return None;
    }
    Some(Schedule::new(steps))
}

/// The lines of `--publisher-tokens-file`. `None`: the file can't be used; `problems` then says why.
pub(super) fn publishers(path: Option<String>, problems: &mut Problems) -> Option<Vec<PublisherToken>> {
    const FLAG: &str = "--publisher-tokens-file";
    let Some(text) = process::settings::optional_secret_file(problems, FLAG, path)? else {
        return Some(Vec::new());
    };
    let mut publishers: Vec<PublisherToken> = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let line_number = index + 1;
        let mut words = line.split_whitespace();
        let (Some(name), Some(token), None) = (words.next(), words.next(), words.next()) else {
            problems.note(FLAG, format_args!("line {line_number}: must be a name and a token"));
            return None;
        };
        if name.len() > MAX_PUBLISHER_BYTES {
            let rule = format_args!("line {line_number}: a name is at most {MAX_PUBLISHER_BYTES} bytes");
            problems.note(FLAG, rule);
            return None;
        }
        match token.parse::<CoreToken>() {
            Ok(token) if publishers.iter().any(|other| other.token == token) => {
                problems.note(FLAG, format_args!("line {line_number}: the token is there already"));
                return None;
            }
            Ok(token) => publishers.push(PublisherToken { name: name.to_owned(), token }),
            Err(rule) => {
                problems.note(FLAG, format_args!("line {line_number}: {rule}"));
                return None;
            }
        }
    }
    if publishers.is_empty() {
        problems.note(FLAG, "the file has no token");
        return None;
    }
    Some(publishers)
}
