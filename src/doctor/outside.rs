//! What is elsewhere: DNS, the PLC directory and its clock, whom webhooks may reach, the public URL, the
//! public network.

use std::time::{Duration, UNIX_EPOCH};

use egress::client::Answer;
use egress::error::{GetError, Unreachable};
use egress::resolver::Resolver;
use http::{HeaderValue, StatusCode};
use process::exit::chain;
use process::settings::Shared;
use serde_json::Value;
use url::{Host, Url};

use super::Doctor;
use super::finding::Finding;

pub(super) const PLC_FLAGS: &str = "--plc-url, --extra-ca";
pub(super) const HTTPS_FLAGS: &str = "--allow-private-ranges, --refuse-ranges, --nat64, --extra-ca";
pub(super) const PUBLIC_FLAGS: &str = "--public-url, --service-did";

/// The name to look up where no setting has one.
const SOME_NAME: &str = "plc.directory";
/// How long a host may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_millis(4_500);
/// The largest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// What a difference between clocks may be without a word, in seconds.
const NOTABLE_SKEW_S: i64 = 10;
/// What the check of tokens bears, in seconds.
const BEARABLE_SKEW_S: i64 = 30;

/// Each server of `--dns-servers`, or those of the machine together.
pub(super) async fn dns(shared: &Shared) -> Vec<Finding> {
    let name = match shared.plc_url.host() {
        Some(Host::Domain(name)) if name != "localhost" => name,
        _ => SOME_NAME,
    };
    let of_machine = [(Vec::new(), "the servers of this machine".to_owned())];
    let given = shared.dns_servers.iter().map(|server| (vec![*server], server.to_string()));
    let servers: Vec<_> = if shared.dns_servers.is_empty() { of_machine.into() } else { given.collect() };
    let asked = servers.into_iter().map(async |(servers, told)| {
        const WHAT: &str = "DNS";
        const FLAG: &str = "--dns-servers";
        let resolver = match Resolver::uncached(&servers) {
            Ok(resolver) => resolver,
            Err(error) => return Finding::fail(WHAT, chain(&error), FLAG),
        };
        match resolver.answers(name).await {
            Ok(()) => Finding::ok(WHAT, format_args!("{told}: an answer for {name}"), FLAG),
            Err(error) => Finding::fail(WHAT, format_args!("{told}: {name}: {}", chain(&error)), FLAG),
        }
    });
    futures_util::future::join_all(asked).await
}

/// The directory, and how far this machine's clock is from its.
pub(super) async fn directory(doctor: &Doctor) -> Vec<Finding> {
    const WHAT: &str = "PLC directory";
    let url = &doctor.both.shared.plc_url;
    let answer = get(doctor, &below(url, "_health")).await;
    let date = answer.as_ref().ok().and_then(|answer| answer.date.clone());
    let mut findings = vec![answers(WHAT, url, answer, PLC_FLAGS)];
    findings.extend(date.and_then(|date| skew(doctor, &date)));
    findings
}

/// The relay, where the intake asks one.
pub(super) async fn relay(doctor: &Doctor) -> Vec<Finding> {
    match core_service::inspection::relay(&doctor.both.core) {
        Some(url) => vec![answers("relay", url, get(doctor, &below(url, "xrpc/_health")).await, "--relay")],
        None => Vec::new(),
    }
}

pub(super) async fn jetstream(
    name: String,
    reaching: impl Future<Output = Result<(), String>>,
) -> Vec<Finding> {
    vec![match reaching.await {
        Ok(()) => Finding::ok("Jetstream", format_args!("{name} sends events"), "--jetstream"),
        Err(error) => Finding::fail("Jetstream", format_args!("{name}: {error}"), "--jetstream, --extra-ca"),
    }]
}

/// A host that is probably there, under the rules for what users name.
pub(super) async fn https(doctor: &Doctor) -> Vec<Finding> {
    const WHAT: &str = "outgoing https";
    let url = &doctor.both.shared.plc_url;
    if url.scheme() != "https" {
        return vec![Finding::ok(WHAT, "not tried: the PLC directory is not on https", "--plc-url")];
    }
    let told = url.host_str().unwrap_or_default();
    vec![match doctor.guarded.probe(url, ANSWER_LIMIT, |_| true).await {
        Ok(()) => Finding::ok(WHAT, format_args!("webhooks like https://{told} can be reached"), HTTPS_FLAGS),
        Err(Unreachable::NotAllowed) => {
            Finding::warn(WHAT, format_args!("the rules forbid webhooks like https://{told}"), HTTPS_FLAGS)
        }
        Err(error) => Finding::fail(WHAT, format_args!("https://{told}: {}", chain(&error)), HTTPS_FLAGS),
    }]
}

/// Whether PDSes and clients find this service where it says that it is.
pub(super) async fn public_url(doctor: &Doctor) -> Vec<Finding> {
    const WHAT: &str = "public URL";
    let gateway = &doctor.both.gateway;
    let (url, did) = (&gateway.public_url, gateway.service_did.as_str());
    let origin = url.origin().ascii_serialization();
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if is_here {
        let told = format_args!("{origin}: for this machine alone; no PDS finds {did}");
        return vec![Finding::ok(WHAT, told, PUBLIC_FLAGS)];
    }
    let mut findings = Vec::new();
    if url.scheme() != "https" {
        let told = format_args!("{origin} is not on https: PDSes and browsers don't take it");
        findings.push(Finding::warn(WHAT, told, PUBLIC_FLAGS));
    }
    if !did.starts_with("did:web:") {
        let told = format_args!("{did}: its directory says where it is; that is not looked at");
        findings.push(Finding::ok(WHAT, told, PUBLIC_FLAGS));
        return findings;
    }
    let found = get(doctor, &below(url, ".well-known/did.json")).await;
    findings.push(match found.map(|answer| named_did(&answer)) {
        Ok(Some(named)) if named == did => {
            Finding::ok(WHAT, format_args!("{origin} has the document of {did}"), PUBLIC_FLAGS)
        }
        Ok(Some(named)) => {
            let told = format_args!("{origin} has the document of {named}, not of {did}");
            Finding::fail(WHAT, told, PUBLIC_FLAGS)
        }
        Ok(None) => {
            let told =
                format_args!("{origin}/.well-known/did.json is no document of a DID; does it lead here?");
            Finding::fail(WHAT, told, PUBLIC_FLAGS)
        }
        Err(error) => {
            let told = format_args!("{origin}/.well-known/did.json: {}", chain(&error));
            Finding::fail(WHAT, told, PUBLIC_FLAGS)
        }
    });
    findings
}

fn named_did(answer: &Answer) -> Option<String> {
    if answer.status != StatusCode::OK {
        return None;
    }
    let document: Value = serde_json::from_slice(&answer.body).ok()?;
    Some(document["id"].as_str()?.to_owned())
}

async fn get(doctor: &Doctor, url: &Url) -> Result<Answer, GetError> {
    doctor.unrestricted.get(url, "application/json", ANSWER_LIMIT, MAX_ANSWER_BYTES).await
}

/// `path` below a URL that may have a path of its own.
fn below(url: &Url, path: &str) -> Url {
    let mut url = url.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path.split('/'));
    }
    url
}

/// A host that answers is there, whatever it has at the path of its health.
fn answers(what: &'static str, url: &Url, answer: Result<Answer, GetError>, flags: &'static str) -> Finding {
    let url = url.as_str().trim_end_matches('/');
    match answer.map(|answer| answer.status) {
        Ok(StatusCode::OK) => Finding::ok(what, format_args!("{url} answers"), flags),
        Ok(status) => {
            let told =
                format_args!("{url} answers, but with {} to a question for its health", status.as_u16());
            Finding::warn(what, told, flags)
        }
        Err(error) => Finding::fail(what, format_args!("{url}: {}", chain(&error)), flags),
    }
}

/// The difference between the clocks, as far as a `Date` header tells. `None`: it tells nothing.
fn skew(doctor: &Doctor, date: &HeaderValue) -> Option<Finding> {
    let theirs = httpdate::parse_http_date(date.to_str().ok()?).ok()?.duration_since(UNIX_EPOCH).ok()?;
    let behind = i64::try_from(theirs.as_secs()).ok()? - doctor.clock.unix_seconds();
    Some(told_skew(behind))
}

fn told_skew(behind_s: i64) -> Finding {
    let off = behind_s.saturating_abs();
    let way = if behind_s > 0 { "behind" } else { "ahead of" };
    let told =
        format!("{off} s {way} that of the PLC directory; tokens fail at {BEARABLE_SKEW_S} s: set the clock");
    match off {
        0..=NOTABLE_SKEW_S => Finding::ok("clock", "fits that of the PLC directory", ""),
        ..=BEARABLE_SKEW_S => Finding::warn("clock", told, ""),
        _ => Finding::fail("clock", told, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn skews() {
        for (behind, level) in [
            (0, Level::Ok),
            (10, Level::Ok),
            (-10, Level::Ok),
            (11, Level::Warn),
            (-30, Level::Warn),
            (31, Level::Fail),
            (i64::MIN, Level::Fail),
        ] {
            assert_eq!(told_skew(behind).level, level, "{behind}");
        }
    }

    #[test]
    fn paths_below() {
        for (url, path, expected) in [
            ("https://a.example", "_health", "https://a.example/_health"),
            ("https://a.example/plc/", "_health", "https://a.example/plc/_health"),
            ("https://a.example/plc", "a/b", "https://a.example/plc/a/b"),
        ] {
            assert_eq!(below(&url.parse().unwrap(), path).as_str(), expected);
        }
    }
}
