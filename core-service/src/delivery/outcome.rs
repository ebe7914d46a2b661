//! The outcome of an attempt, and what it means for the delivery and the webhook (docs/delivery.md, "Outcomes
//! and retries").
//!
//! Owns the fixed words and the rules for answers. When a retry is due is in `schedule`.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, UNIX_EPOCH};

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, StatusCode};
use serde::Deserialize;

use super::format::Format;

/// The furthest that a receiver can put off a retry or hold a webhook.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(24);
/// How often a delivery without its secret is looked at.
const SECRET_INTERVAL: Duration = Duration::from_mins(10);
/// The code in Discord's 404 for a webhook that was deleted.
const UNKNOWN_WEBHOOK: u32 = 10_015;

const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET_AFTER: HeaderName = HeaderName::from_static("x-ratelimit-reset-after");
const SCOPE: HeaderName = HeaderName::from_static("x-ratelimit-scope");
const GLOBAL: HeaderName = HeaderName::from_static("x-ratelimit-global");

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A 2xx whose body ended or of which enough was read; or there was nothing to send.
    Ok,
    /// Any other answer.
    Http,
    /// No complete answer in time.
    Timeout,
    /// No connection, or it was reset.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// The name was not found.
    Dns,
    /// Refused by the egress rules.
    Refused,
    /// The lease ended without a result.
    Lost,
    /// The secret is missing or can't be opened. Nothing was sent.
    Secret,
    /// The webhook is inactive or gone. Nothing was sent.
    Cancelled,
}

impl Outcome {
    pub(crate) const ALL: [Self; 10] = [
        Self::Ok,
        Self::Http,
        Self::Timeout,
        Self::Connect,
        Self::Tls,
        Self::Dns,
        Self::Refused,
        Self::Lost,
        Self::Secret,
        Self::Cancelled,
    ];

    /// The outcome of a complete answer.
    pub(crate) fn of(status: StatusCode) -> Self {
        if status.is_success() { Self::Ok } else { Self::Http }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Http => "http",
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Dns => "dns",
            Self::Refused => "refused",
            Self::Lost => "lost",
            Self::Secret => "secret",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an outcome")]
pub(crate) struct NoOutcome;

impl FromStr for Outcome {
    type Err = NoOutcome;

    fn from_str(text: &str) -> Result<Self, NoOutcome> {
        match text {
            "ok" => Ok(Self::Ok),
            "http" => Ok(Self::Http),
            "timeout" => Ok(Self::Timeout),
            "connect" => Ok(Self::Connect),
            "tls" => Ok(Self::Tls),
            "dns" => Ok(Self::Dns),
            "refused" => Ok(Self::Refused),
            "lost" => Ok(Self::Lost),
            "secret" => Ok(Self::Secret),
            "cancelled" => Ok(Self::Cancelled),
            _ => Err(NoOutcome),
        }
    }
}

/// What a receiver answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer<'a> {
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    /// Its beginning.
    pub(crate) body: &'a [u8],
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) next: Next,
    /// Whether the delivery, if it fails now, counts for the webhook's `errorCount`.
    pub(crate) counts_as_error: bool,
    pub(crate) hold: Option<Hold>,
}

/// What becomes of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// It is delivered.
    Done,
    /// It is tried again by the schedule, if an attempt is left, and after this at the earliest.
    Retry { after: Duration },
    /// It waits without using an attempt, and is looked at again after this.
    Wait { after: Duration },
    /// It failed.
    End,
    /// It failed, and the webhook is turned off with the reason `gone`.
    EndAndDisable,
}

/// Who waits, and how long. No attempt of theirs is claimed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) scope: HoldScope,
    /// `None`: the receiver gave no time. Until this delivery is tried again.
    pub(crate) time: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HoldScope {
    /// The webhook.
    Webhook,
    /// All webhooks of Discord.
    Discord,
}

/// What the end of an attempt means. `answer` is the receiver's, if there was one; it came at `now_ms`, in
/// milliseconds since 1970-01-01T00:00:00Z.
pub(crate) fn verdict(outcome: Outcome, answer: Option<Answer<'_>>, format: Format, now_ms: i64) -> Verdict {
    let next = match outcome {
        Outcome::Ok => Next::Done,
        Outcome::Http => answer.map_or(RETRY, |answer| next_after(answer, format, now_ms)),
        Outcome::Timeout
        | Outcome::Connect
        | Outcome::Tls
        | Outcome::Dns
        | Outcome::Refused
        | Outcome::Lost => RETRY,
        Outcome::Secret => Next::Wait { after: SECRET_INTERVAL },
        Outcome::Cancelled => Next::End,
    };
    let is_rate_limited = answer.is_some_and(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS);
    let counts_as_error =
        !is_rate_limited && !matches!(outcome, Outcome::Ok | Outcome::Secret | Outcome::Cancelled);
    let hold = answer.and_then(|answer| hold_after(answer, format, now_ms));
    Verdict { next, counts_as_error, hold }
}

const RETRY: Next = Next::Retry { after: Duration::ZERO };

fn next_after(answer: Answer<'_>, format: Format, now_ms: i64) -> Next {
    match answer.status.as_u16() {
        410 => Next::EndAndDisable,
        404 if format == Format::Discord && DiscordError::of(answer).code == Some(UNKNOWN_WEBHOOK) => {
            Next::EndAndDisable
        }
        408 | 409 | 423 | 425 | 429 => retry(answer, format, now_ms),
        400..=499 => Next::End,
        _ => retry(answer, format, now_ms),
    }
}

fn retry(answer: Answer<'_>, format: Format, now_ms: i64) -> Next {
    Next::Retry { after: retry_after(answer, format, now_ms).unwrap_or_default() }
}

fn hold_after(answer: Answer<'_>, format: Format, now_ms: i64) -> Option<Hold> {
    if answer.status == StatusCode::TOO_MANY_REQUESTS {
        let is_global = format == Format::Discord && is_global(answer);
        let scope = if is_global { HoldScope::Discord } else { HoldScope::Webhook };
        return Some(Hold { scope, time: retry_after(answer, format, now_ms) });
    }
    if format != Format::Discord || text(answer, &REMAINING)?.parse() != Ok(0_u32) {
        return None;
    }
    let time = seconds(text(answer, &RESET_AFTER)?)?;
    Some(Hold { scope: HoldScope::Webhook, time: Some(time) })
}

/// How long the receiver asks to wait: `Retry-After`; of Discord, the longest of all that it says.
fn retry_after(answer: Answer<'_>, format: Format, now_ms: i64) -> Option<Duration> {
    let of_header = text(answer, &RETRY_AFTER).and_then(|text| seconds(text).or_else(|| until(text, now_ms)));
    if format != Format::Discord || answer.status != StatusCode::TOO_MANY_REQUESTS {
        return of_header;
    }
    let of_body = DiscordError::of(answer).retry_after.map(of_seconds);
    let of_bucket = text(answer, &RESET_AFTER).and_then(seconds);
    of_header.max(of_body).max(of_bucket)
}

fn is_global(answer: Answer<'_>) -> bool {
    text(answer, &SCOPE).is_some_and(|scope| scope.eq_ignore_ascii_case("global"))
        || text(answer, &GLOBAL).is_some_and(|is| is.eq_ignore_ascii_case("true"))
        || DiscordError::of(answer).global
}

/// What Discord says in the body of an answer that is no 2xx.
#[derive(Default, Deserialize)]
#[serde(default)]
struct DiscordError {
    code: Option<u32>,
    /// In seconds.
    retry_after: Option<f64>,
    global: bool,
}

impl DiscordError {
    /// Nothing, if the body is anything else.
    fn of(answer: Answer<'_>) -> Self {
        serde_json::from_slice(answer.body).unwrap_or_default()
    }
}

/// The value of the first field `name`.
fn text<'a>(answer: Answer<'a>, name: &HeaderName) -> Option<&'a str> {
    answer.headers.get(name)?.to_str().ok().map(str::trim)
}

/// A number of seconds, with a fraction or without.
fn seconds(text: &str) -> Option<Duration> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|_| is_number).map(of_seconds)
}

/// The time until an HTTP date (RFC 9110, section 5.6.7): none, if it is over.
fn until(text: &str, now_ms: i64) -> Option<Duration> {
    let date = httpdate::parse_http_date(text).ok()?;
    let since_1970 = date.duration_since(UNIX_EPOCH).ok()?;
    let now = Duration::from_millis(u64::try_from(now_ms).ok()?);
    Some(since_1970.saturating_sub(now).min(MAX_RETRY_AFTER))
}

fn of_seconds(seconds: f64) -> Duration {
    let seconds = if seconds.is_nan() { 0.0 } else { seconds };
    Duration::from_secs_f64(seconds.clamp(0.0, MAX_RETRY_AFTER.as_secs_f64()))
}

#[cfg(test)]
mod tests;
