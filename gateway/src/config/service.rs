//! Who the service is: its public URL, its DID and its service ids.

use std::net::SocketAddr;

use percent_encoding::percent_decode_str;
use process::settings::{Problems, given, list};
use url::{Host, Url};

use super::{PORT, SERVICE_IDS};

const PUBLIC_URL_EXAMPLE: &str = "https://hooks.example";

/// The given URL, or that of a gateway on `listen` for clients on its machine. A port of 0 stands for one
/// that nobody knows yet: then it is the default port.
pub(super) fn public_url(
    url: Option<String>,
    listen: Option<SocketAddr>,
    problems: &mut Problems,
) -> Option<Url> {
    let port = listen.map_or(PORT, |listen| listen.port());
    let own = format!("http://localhost:{}", if port == 0 { PORT } else { port });
    problems.http_url("--public-url", &given(url).unwrap_or(own), PUBLIC_URL_EXAMPLE)
}

/// The service's DID: the given one, or the did:web of the public URL. Returns `None` if it noted a problem.
pub fn did(did: Option<String>, public_url: Option<String>, problems: &mut Problems) -> Option<String> {
    let public_url = self::public_url(public_url, None, problems);
    let service_did = checked_did(did, public_url.as_ref(), problems);
    public_url.and(service_did)
}

pub(super) fn checked_did(
    did: Option<String>,
    public_url: Option<&Url>,
    problems: &mut Problems,
) -> Option<String> {
    let (flag, did) = match given(did) {
        Some(did) => ("--service-did", did),
        None => ("--public-url", did_web(public_url?)),
    };
    if !is_plain(&did) || did.contains('#') {
        problems.note("--service-did", format_args!("{did:?}: a DID without `#`"));
        return None;
    }
    if is_web_of_an_address(&did) {
        problems.note(flag, format_args!("{did} is no DID: a did:web has a host name, not an address"));
        return None;
    }
    Some(did)
}

/// Whether this is a did:web with an IP address in place of a host name (did:web, section 3.1).
fn is_web_of_an_address(did: &str) -> bool {
    let Some(identifier) = did.strip_prefix("did:web:") else { return false };
    // A colon that is not percent-encoded begins a path.
    let origin = percent_decode_str(identifier.split(':').next().unwrap_or_default()).decode_utf8_lossy();
    let host = origin.split(':').next().unwrap_or_default();
    // Also the old ways to write one, as in 127.1.
    identifier.starts_with('[') || origin.starts_with('[') || matches!(Host::parse(host), Ok(Host::Ipv4(_)))
}

/// Whether this looks like a DID, and can be told in a header (RFC 6750, section 3).
pub(super) fn is_plain(did: &str) -> bool {
    did.starts_with("did:") && did.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte))
}

pub(super) fn checked_ids(texts: &[String], problems: &mut Problems) -> Option<Vec<String>> {
    const FLAG: &str = "--service-ids";
    let mut ids: Vec<String> = list(problems, FLAG, texts)?;
    if ids.is_empty() {
        ids = SERVICE_IDS.split(',').map(str::to_owned).collect();
    }
    for (index, id) in ids.iter().enumerate() {
        if ids[..index].contains(id) {
            problems.note(FLAG, format_args!("{id:?} is given twice"));
        }
        if !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)) {
            problems.note(FLAG, format_args!("{id:?}: letters, digits, `_`, `-` and `.`, no `#`"));
        }
    }
    Some(ids)
}

/// The did:web of an origin. A port is part of the identifier, with its colon percent-encoded (did:web,
/// section 3.2).
fn did_web(origin: &Url) -> String {
    let host = origin.host_str().unwrap_or_default();
    match origin.port() {
        Some(port) => format!("did:web:{host}%3A{port}"),
        None => format!("did:web:{host}"),
    }
}
