//! The address that a request counts for: its peer's, or the one that a trusted proxy reports in a header.
//!
//! Owns the settings `--trusted-proxies` and `--client-address-header` and how the header is read. What is
//! shared among addresses is decided elsewhere ([`auth`](crate::auth)).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use http::request::Parts;
use http::{HeaderMap, HeaderName};
use ipnet::{IpNet, Ipv4Net};
use process::settings::{Problems, given, list};

/// The bits of an IPv6 address that tell clients apart: a client usually has a whole /64.
const CLIENT_PREFIX_BITS: u32 = 64;
/// The bits before the IPv4 address in an IPv4-mapped IPv6 address (RFC 4291, section 2.5.5.2).
const MAPPED_PREFIX_BITS: u8 = 96;

/// The address of the other end of a request's connection: a client, or the proxy before it. An extension of
/// every request. An IPv4 address mapped into IPv6 is an IPv4 address here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub IpAddr);

/// Whom a request counts for: an IPv4 address, or the /64 of an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ClientAddress(IpAddr);

/// How the client's address is found.
#[derive(Debug, Clone, Default)]
pub struct ClientAddresses {
    /// Set if there are trusted proxies.
    proxies: Option<Proxies>,
}

#[derive(Debug, Clone)]
struct Proxies {
    /// `--trusted-proxies`.
    trusted: Vec<TrustedRange>,
    /// `--client-address-header`.
    header: HeaderName,
}

/// An entry of `--trusted-proxies`: an address or a range of them (CIDR). An IPv4-mapped one is IPv4.
#[derive(Debug, Clone, Copy)]
struct TrustedRange(IpNet);

/// The text is neither an address nor a range.
#[derive(Debug, thiserror::Error)]
#[error("an IP address, or a range of them (CIDR)")]
struct NoRange;

impl FromStr for TrustedRange {
    type Err = NoRange;

    fn from_str(text: &str) -> Result<Self, NoRange> {
        let range = match text.parse() {
            Ok(range) => range,
            Err(_) => IpNet::from(text.parse::<IpAddr>().map_err(|_| NoRange)?),
        };
        let IpNet::V6(v6) = range else { return Ok(Self(range)) };
        let mapped = v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(MAPPED_PREFIX_BITS));
        Ok(Self(match mapped {
            Some((address, bits)) => Ipv4Net::new(address, bits).map_err(|_| NoRange)?.into(),
            None => range,
        }))
    }
}

impl ClientAddress {
    /// Whom a request of `address` counts for.
    pub(crate) fn new(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => {
                Ipv6Addr::from_bits(v6.to_bits() >> CLIENT_PREFIX_BITS << CLIENT_PREFIX_BITS).into()
            }
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

impl ClientAddresses {
    /// Checks the two settings. Returns `None` if it noted a problem.
    pub(crate) fn check(
        trusted_proxies: &[String],
        header: Option<String>,
        problems: &mut Problems,
    ) -> Option<Self> {
        const BOTH: &str = "--trusted-proxies, --client-address-header";
        let trusted: Option<Vec<TrustedRange>> = list(problems, "--trusted-proxies", trusted_proxies);
        let header = match given(header) {
            Some(text) => Some(problems.parse_as(
                "--client-address-header",
                &text,
                "the name of a header, such as x-forwarded-for",
            )?),
            None => None,
        };
        let trusted = trusted?;
        match header {
            Some(header) if !trusted.is_empty() => Some(Self { proxies: Some(Proxies { trusted, header }) }),
            None if trusted.is_empty() => Some(Self::default()),
            Some(_) | None => {
                problems.note(BOTH, "both or none");
                None
            }
        }
    }

    /// The client of the request with this head, as [`of`](Self::of) finds it.
    pub(crate) fn of_request(&self, head: &Parts) -> ClientAddress {
        let peer = head.extensions.get().map_or(Ipv4Addr::UNSPECIFIED.into(), |PeerAddress(peer)| *peer);
        self.of(peer, &head.headers)
    }

    /// The client of a request with these headers that came from `peer`.
    ///
    /// If the peer is a trusted proxy, that is the right-most address in the header that is none of the
    /// trusted proxies': what stands left of it may be invented. If all of them are trusted, it is the
    /// left-most; an entry that is no address ends the search at the one before it.
    pub(crate) fn of(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddress {
        ClientAddress::new(match &self.proxies {
            Some(proxies) => proxies.client(peer.to_canonical(), headers),
            None => peer,
        })
    }
}

impl Proxies {
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer;
        if !self.trusts(client) {
            return client;
        }
        // Several lines are one list, and empty elements don't count (RFC 9110, sections 5.3 and 5.6.1).
        let lines = headers.get_all(&self.header).into_iter().collect::<Vec<_>>();
        let entries = lines.into_iter().rev().flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        for entry in entries.map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty()) {
            let Some(address) = address(entry) else { break };
            client = address;
            if !self.trusts(client) {
                break;
            }
        }
        client
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|range| range.0.contains(&address))
    }
}

/// The address of one entry: bare, or with a port; IPv6 perhaps in brackets.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let address = match bare {
        Some(v6) => v6.parse::<Ipv6Addr>().ok()?.into(),
        None => text.parse().or_else(|_| text.parse().map(|socket: SocketAddr| socket.ip())).ok()?,
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests;
