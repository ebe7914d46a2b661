//! From the host of the core-service's URL to addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use egress::resolver::Resolver;
use process::exit::chain;
use url::{Host, Url};

/// The addresses of the core-service, and where they come from.
pub(super) struct Names {
    source: Source,
    port: u16,
}

enum Source {
    /// An IP literal, or `localhost`.
    Fixed(Vec<IpAddr>),
    Dns {
        resolver: Resolver,
        host: String,
    },
}

impl Names {
    /// The names of `url`. `None`: it has no host or no port.
    ///
    /// An IP literal stands for itself and `localhost` for both loopback addresses, without a look-up.
    pub(super) fn of(url: &Url, resolver: Resolver) -> Option<Self> {
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

    /// The addresses as of now. `None`: the look-up failed; the reason is in the log.
    pub(super) async fn look_up(&self) -> Option<Vec<SocketAddr>> {
        let ips = match &self.source {
            Source::Fixed(ips) => ips.clone(),
            Source::Dns { resolver, host } => match resolver.lookup(host).await {
                Ok(ips) => ips,
                Err(error) => {
                    tracing::warn!(
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
