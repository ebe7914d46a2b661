//! `athook sign` and `athook verify`: the signatures of a request, without a service.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::process::ExitCode;

use http::{HeaderMap, HeaderName, HeaderValue};
use process::clock::Clock;
use process::exit::Failure;
use process::output::{print, print_line};
use process::settings::{Problems, given};
use serde_json::json;

use crate::developer;
use crate::verdict::{self, SIGNED_FIELDS, Verdict};

/// The flags of `athook sign`.
#[derive(clap::Args)]
pub(crate) struct RawSign {
    /// The token of the secret
    #[arg(long, value_name = "TOKEN")]
    secret: String,
    /// The value of webhook-id [default: a random one]
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// The value of webhook-timestamp, in Unix seconds [default: now]
    #[arg(long, value_name = "SECONDS")]
    timestamp: Option<String>,
    /// Print the header fields as a line of JSON
    #[arg(long)]
    json: bool,
    /// The file with the body; - is standard input
    #[arg(default_value = "-", value_name = "FILE")]
    body: String,
}

/// The flags of `athook verify`.
#[derive(clap::Args)]
pub(crate) struct RawVerify {
    /// The token of the secret
    #[arg(long, value_name = "TOKEN")]
    secret: String,
    /// A header field of the request, once for each: webhook-id, webhook-timestamp, webhook-signature,
    /// X-Webhook-Signature
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// When the request came, in Unix seconds [default: now]
    #[arg(long, value_name = "SECONDS")]
    at: Option<String>,
    /// Print a line of JSON
    #[arg(long)]
    json: bool,
    /// The file with the body, byte for byte as it came; - is standard input
    #[arg(default_value = "-", value_name = "FILE")]
    body: String,
}

/// Prints the header fields that sign a body.
pub(crate) fn run_sign(raw: RawSign) -> ExitCode {
    let RawSign { secret, id, timestamp, json, body } = raw;
    let mut problems = Problems::new();
    let now = Clock::system().unix_seconds();
    let seconds: Option<i64> = given(timestamp)
        .map_or(Some(now), |text| problems.parse_as("--timestamp", &text, "a number of seconds since 1970"));
    let secret = token(secret, &mut problems);
    let id = given(id);
    if id.as_ref().is_some_and(|id| id.contains(char::is_control)) {
        problems.note("--id", "has a control character, which no header field may have");
    }
    match problems.finish(seconds.zip(secret)) {
        Err(error) => process::exit::settings(&error),
        Ok((seconds, secret)) => process::exit::run(async move {
            let id = id.map_or_else(|| Ok(format!("msg_{}", developer::random_id()?)), Ok::<_, Failure>)?;
            let fields = verdict::signed(&secret, &id, seconds, &read(&body)?);
            if json {
                let fields: BTreeMap<_, _> = fields.into_iter().collect();
                print_line(json!(fields))
            } else {
                print(fields.map(|(name, value)| format!("{name}: {value}\n")).concat())
            }
        }),
    }
}

/// Says whether the signatures of a request fit. Exit code 0: both do; 1: one does not; 2: the arguments are
/// wrong.
pub(crate) fn run_verify(raw: RawVerify) -> ExitCode {
    let RawVerify { secret, headers, at, json, body } = raw;
    let mut problems = Problems::new();
    let now = Clock::system().unix_seconds();
    let at: Option<i64> = given(at)
        .map_or(Some(now), |text| problems.parse_as("--at", &text, "a number of seconds since 1970"));
    let fields: Vec<Option<(HeaderName, HeaderValue)>> = headers
        .iter()
        .map(|text| {
            let field = field(text);
            if field.is_none() {
                problems.note("--header", format_args!("{text:?}: not NAME: VALUE"));
            }
            field
        })
        .collect();
    for name in SIGNED_FIELDS {
        if fields.iter().flatten().filter(|(given, _)| given == name).count() > 1 {
            problems.note("--header", format_args!("{name} is given twice"));
        }
    }
    let fields: Option<HeaderMap> = fields.into_iter().collect();
    let secret = token(secret, &mut problems);
    match problems.finish(at.zip(fields).zip(secret)) {
        Err(error) => process::exit::settings(&error),
        Ok(((at, headers), secret)) => process::exit::run(async move {
            let body = read(&body)?;
            let verdict = Verdict::of(Some(&secret), &headers, &body, at);
            let verified = verdict.is_verified();
            let wrong = wrong_part(&verdict, &secret, &headers, &body, at);
            if json {
                let verdict = verdict.to_string();
                print_line(json!({ "verified": verified, "verdict": verdict, "wrong": wrong }))?;
            } else {
                let wrong = wrong.map(|wrong| format!("wrong: {wrong}\n")).unwrap_or_default();
                print(format_args!("{verdict}\n{wrong}"))?;
            }
            if verified { Ok(()) } else { Err("the request is not verified".into()) }
        }),
    }
}

/// What `--secret` gives. `None`: it is empty, and the problem is recorded.
pub(crate) fn token(secret: String, problems: &mut Problems) -> Option<String> {
    let token = given(Some(secret));
    if token.is_none() {
        problems.note("--secret", "is empty");
    }
    token
}

/// Which part of a request is wrong. Editors and `echo` add a line feed, which nobody signed.
fn wrong_part(verdict: &Verdict, secret: &str, headers: &HeaderMap, body: &[u8], at: i64) -> Option<String> {
    let without = body.strip_suffix(b"\n");
    if without.is_some_and(|without| Verdict::of(Some(secret), headers, without, at).is_verified()) {
        return Some("the body: the line feed at its end was not signed".to_owned());
    }
    verdict.wrong_part()
}

fn field(text: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once(':')?;
    Some((name.trim().parse().ok()?, value.trim().parse().ok()?))
}

/// The bytes of a file, or of standard input.
fn read(file: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = match file {
        "-" => std::io::stdin().read_to_end(&mut bytes).map(|_| bytes),
        file => fs::read(file),
    };
    read.map_err(|error| format!("{file}: {error}").into())
}
