//! Resolves the host of the core-service's URL to addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use egress::resolver::Resolver;
use process::exit::chain;
use url::{Host, Url};

/// Where the addresses of the core-service come from.
pub(super) struct AddressSource {
    source: Source,
    port: u16,
}

enum Source {
    /// An IP address, or `localhost`.
    Fixed(Vec<IpAddr>),
    Dns {
        resolver: Resolver,
        host: String,
    },
}

impl AddressSource {
    /// `None` if `url` has no host or no port.
    ///
    /// An IP address is taken as it is, and `localhost` is both loopback addresses, without a DNS look-up.
    pub(super) fn new(url: &Url, resolver: Resolver) -> Option<Self> {
        let source = match url.host()? {
            Host::Ipv4(ip) => Source::Fixed(vec![ip.into()]),
            Host::Ipv6(ip) => Source::Fixed(vec![ip.into()]),
            Host::Domain("localhost") => {
                Source::Fixed(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()])
            }
            Host::Domain(host) => Source::Dns { resolver, host: host.to_owned() },
        };
        let port = url.port_or_known_default()?;
        Some(Self { source, port })
    }

    /// Looks the addresses up. `None` if that failed, which is logged.
    pub(super) async fn look_up(&self) -> Option<Vec<SocketAddr>> {
        let ips = match &self.source {
            Source::Fixed(ips) => ips.clone(),
            Source::Dns { resolver, host } => match resolver.lookup(host).await {
                Ok(ips) => ips,
                Err(error) => {
                    process::once_a_second!(
                        warn,
                        host,
                        causes = chain(&error),
                        "the core-service's name can't be looked up"
                    );
                    return None;
                }
            },
        };
        Some(ips.into_iter().map(|ip| SocketAddr::new(ip, self.port)).collect())
    }
}
