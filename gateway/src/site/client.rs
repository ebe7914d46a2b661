//! What the pages' modules are told, and what an authorization server reads of them: who the service is, how
//! to sign in.
//!
//! Signing in is atproto's OAuth (<https://atproto.com/specs/oauth>): a public client whose id is the URL of
//! its metadata, or, on a developer's machine, `http://localhost` with everything in its query.

use std::net::Ipv4Addr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use url::{Host, Url, form_urlencoded};

use super::documents::Described;
use crate::binding::Verb;
use crate::config::Config;

/// Where the metadata is.
pub(super) const METADATA_PATH: &str = "/oauth-client-metadata.json";
/// The audience of any service.
const ANY: &str = "*";
/// What is encoded in a scope: the specification of permissions leaves `:` as it is.
const IN_SCOPE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b':').remove(b'.').remove(b'-').remove(b'_').remove(b'~');

/// Who the service is.
pub(super) struct Service {
    pub(super) did: String,
    /// Without `#`.
    pub(super) ids: Vec<String>,
    /// Its origin.
    pub(super) url: String,
    /// What tokens may have as `aud`.
    pub(super) audiences: Vec<String>,
    pub(super) version: &'static str,
    /// Without a final slash.
    plc_url: String,
    reach: Reach,
}

/// From where the pages are opened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Https,
    Loopback,
    /// Plain http, where nobody can sign in by OAuth.
    Insecure,
}

impl Service {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            did: config.service_did.clone(),
            ids: config.service_ids.clone(),
            url: config.public_url.origin().ascii_serialization(),
            audiences: config.audiences.clone(),
            version: env!("CARGO_PKG_VERSION"),
            plc_url: config.shared.plc_url.as_str().trim_end_matches('/').to_owned(),
            reach: reach(&config.public_url),
        }
    }

    /// Whether the public URL is on a developer's machine.
    pub(super) fn is_on_loopback(&self) -> bool {
        self.reach == Reach::Loopback
    }

    /// `/site/config.json`.
    pub(super) fn config(&self, methods: &[Described<'_>], has_console: bool, development: bool) -> Value {
        let methods: Vec<_> = methods
            .iter()
            .map(|method| {
                let kind = match method.verb {
                    Verb::Query => "query",
                    Verb::Procedure => "procedure",
                };
                json!({ "nsid": method.nsid(), "type": kind })
            })
            .collect();
        json!({
            "version": self.version,
            "service": { "did": self.did, "ids": self.ids, "url": self.url },
            "audience": self.audience(),
            "plcUrl": self.plc_url,
            "oauth": self.oauth(&methods),
            "development": development,
            "console": has_console,
            "methods": methods,
        })
    }

    /// [`METADATA_PATH`]; `None` where no authorization server could fetch it.
    pub(super) fn metadata(&self, methods: &[Described<'_>]) -> Option<Value> {
        let scope = self.scope(methods.iter().map(Described::nsid));
        (self.reach == Reach::Https).then(|| {
            json!({
                "client_id": format!("{}{METADATA_PATH}", self.url),
                "client_name": "athook",
                "client_uri": self.url,
                "redirect_uris": [self.redirect_uri()],
                "scope": scope,
                "grant_types": ["authorization_code", "refresh_token"],
                "response_types": ["code"],
                "token_endpoint_auth_method": "none",
                "application_type": "web",
                "dpop_bound_access_tokens": true,
            })
        })
    }

    fn oauth(&self, methods: &[Value]) -> Option<Value> {
        let scope = self.scope(methods.iter().filter_map(|method| method["nsid"].as_str()));
        let redirect_uri = self.redirect_uri();
        let client_id = match self.reach {
            Reach::Https => format!("{}{METADATA_PATH}", self.url),
            Reach::Loopback => {
                let query = form_urlencoded::Serializer::new(String::new())
                    .append_pair("redirect_uri", &redirect_uri)
                    .append_pair("scope", &scope)
                    .finish();
                // The specification's example has no `+`.
                format!("http://localhost?{}", query.replace('+', "%20"))
            }
            Reach::Insecure => return None,
        };
        let loopback = self.is_on_loopback();
        Some(json!({
            "clientId": client_id,
            "redirectUri": redirect_uri,
            "scope": scope,
            "loopback": loopback,
        }))
    }

    /// The audience that pages ask tokens for. Scopes name a service of a DID, so it is one; on loopback they
    /// name any, and there it is the bare DID, which every PDS takes.
    fn audience(&self) -> &str {
        let is_fit = |audience: &&String| audience.contains('#') != self.is_on_loopback();
        let fit = self.audiences.iter().find(is_fit).or(self.audiences.first());
        fit.unwrap_or(&self.did)
    }

    /// The right to ask for tokens for each method with this audience, and nothing more.
    fn scope<'a>(&self, nsids: impl Iterator<Item = &'a str>) -> String {
        let audience = Some(self.audience()).filter(|audience| audience.contains('#'));
        let audience = audience.map_or(ANY.to_owned(), |one| utf8_percent_encode(one, IN_SCOPE).to_string());
        let scopes = nsids.map(|nsid| format!(" rpc:{nsid}?aud={audience}"));
        format!("atproto{}", scopes.collect::<String>())
    }

    /// The index page. A loopback client is redirected to an address, never to `localhost`.
    fn redirect_uri(&self) -> String {
        let Ok(mut url) = self.url.parse::<Url>() else { return self.url.clone() };
        if self.is_on_loopback() && matches!(url.host(), Some(Host::Domain(_))) {
            _ = url.set_ip_host(Ipv4Addr::LOCALHOST.into());
        }
        url.into()
    }
}

fn reach(public_url: &Url) -> Reach {
    let is_loopback = match public_url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match public_url.scheme() {
        "https" => Reach::Https,
        _ if is_loopback => Reach::Loopback,
        _ => Reach::Insecure,
    }
}
