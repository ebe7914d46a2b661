//! Looks names up in DNS. Owns the choice of servers, the cache and the time limits; does not check
//! addresses.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData};
use hickory_resolver::system_conf::read_system_conf;
use tokio::time::timeout;

use crate::error::{BuildError, LookupError};
use crate::policy::without_root;

/// How long one look-up may take, retries included.
pub const LOOKUP_LIMIT: Duration = Duration::from_secs(3);

/// How long to wait for a server's answer before the retry: leaves time for one retry within
/// [`LOOKUP_LIMIT`].
const SERVER_LIMIT: Duration = Duration::from_millis(1_400);

/// How often a query is repeated when no server answered.
const RETRIES: usize = 1;

/// Entries in the cache.
const CACHE_ENTRIES: u64 = 4_096;

/// The longest time an answer is cached, whatever its TTL: a host that changes its address is found again
/// soon.
const POSITIVE_TTL_LIMIT: Duration = Duration::from_secs(300);

/// The longest time "no such name" is cached: the name may have been set up a moment later.
const NEGATIVE_TTL_LIMIT: Duration = Duration::from_secs(30);

/// The server to ask when the machine has none configured.
const FALLBACK_SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53);

/// A DNS client with a bounded cache. Clones share the cache.
#[derive(Debug, Clone)]
pub struct Resolver(Arc<TokioResolver>);

impl Resolver {
    /// A client of `servers` (`--dns-servers`); if there are none, of those in `/etc/resolv.conf`; if there
    /// are none either, of 127.0.0.1:53.
    ///
    /// # Errors
    ///
    /// The client can't be set up.
    pub fn new(servers: &[SocketAddr]) -> Result<Self, BuildError> {
        Self::with_options(servers, options())
    }

    /// Like [`new`](Self::new) without a cache: each look-up asks the servers, and so notices a change before
    /// the TTL has passed.
    ///
    /// # Errors
    ///
    /// The client can't be set up.
    pub fn uncached(servers: &[SocketAddr]) -> Result<Self, BuildError> {
        let mut options = options();
        options.cache_size = 0;
        Self::with_options(servers, options)
    }

    fn with_options(servers: &[SocketAddr], options: ResolverOpts) -> Result<Self, BuildError> {
        let servers = if servers.is_empty() {
            machine_servers(read_system_conf())
        } else {
            servers.iter().copied().map(name_server).collect()
        };
        // Without the machine's domain and search list: all names are absolute.
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            .with_options(options)
            .build()
            .map(|resolver| Self(Arc::new(resolver)))
            .map_err(BuildError::Resolver)
    }

    /// The IPv4 and IPv6 addresses of `host`, at least one. The name is absolute, with or without a final
    /// dot. Entries of the machine's hosts file take precedence over DNS.
    ///
    /// # Errors
    ///
    /// There is no address, or no answer within [`LOOKUP_LIMIT`].
    pub async fn lookup(&self, host: &str) -> Result<Vec<IpAddr>, LookupError> {
        let answer = timeout(LOOKUP_LIMIT, self.0.lookup_ip(absolute(host)?))
            .await
            .map_err(|_| LookupError::TimedOut)?
            .map_err(LookupError::Dns)?;
        let addresses: Vec<IpAddr> = answer.iter().collect();
        if addresses.is_empty() {
            return Err(LookupError::NoAddress);
        }
        Ok(addresses)
    }

    /// Asks for the addresses of `host`, to see whether a server answers; that there are none is an answer
    /// too.
    ///
    /// # Errors
    ///
    /// No server answers within [`LOOKUP_LIMIT`], or `host` is no name.
    pub async fn answers(&self, host: &str) -> Result<(), LookupError> {
        match self.lookup(host).await {
            Err(LookupError::Dns(error)) if error.is_no_records_found() => Ok(()),
            Err(LookupError::NoAddress) => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// The TXT records of `host`, an absolute name; the parts of a record are joined. None is not an error.
    /// What is not UTF-8 is left out.
    ///
    /// # Errors
    ///
    /// There is no such name, or no answer within [`LOOKUP_LIMIT`].
    pub async fn texts(&self, host: &str) -> Result<Vec<String>, LookupError> {
        let answer = timeout(LOOKUP_LIMIT, self.0.txt_lookup(absolute(host)?))
            .await
            .map_err(|_| LookupError::TimedOut)?
            .map_err(LookupError::Dns)?;
        let texts = answer.answers().iter().filter_map(|record| match &record.data {
            RData::TXT(text) => String::from_utf8(text.txt_data.concat()).ok(),
            _ => None,
        });
        Ok(texts.collect())
    }
}

fn absolute(host: &str) -> Result<Name, LookupError> {
    // Unlike a parsed text, a name made from labels is always absolute.
    let labels = without_root(host).split('.').map(str::as_bytes);
    Name::from_labels(labels).map_err(LookupError::Name)
}

/// The servers in the machine's configuration. Everything else in it is ignored.
fn machine_servers(configuration: Result<(ResolverConfig, ResolverOpts), NetError>) -> Vec<NameServerConfig> {
    match configuration {
        Ok((config, _)) => config.name_servers().to_vec(),
        Err(error) => {
            tracing::warn!(%error, "the machine has no DNS server configured; asking {FALLBACK_SERVER}");
            vec![name_server(FALLBACK_SERVER)]
        }
    }
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let mut udp = ConnectionConfig::udp();
    udp.port = address.port();
    let mut tcp = ConnectionConfig::tcp();
    tcp.port = address.port();
    NameServerConfig::new(address.ip(), true, vec![udp, tcp])
}

fn options() -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.timeout = SERVER_LIMIT;
    options.attempts = RETRIES;
    options.cache_size = CACHE_ENTRIES;
    options.positive_max_ttl = Some(POSITIVE_TTL_LIMIT);
    options.negative_max_ttl = Some(NEGATIVE_TTL_LIMIT);
    options.preserve_intermediates = false;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options
}

#[cfg(test)]
mod tests {
    use hickory_resolver::system_conf::parse_resolv_conf;

    use super::*;

    fn servers(resolv_conf: &str) -> Vec<(IpAddr, Vec<u16>)> {
        machine_servers(parse_resolv_conf(resolv_conf))
            .into_iter()
            .map(|server| {
                let ports = server.connections.iter().map(|connection| connection.port);
                (server.ip, ports.collect())
            })
            .collect()
    }

    #[test]
    fn servers_of_the_machine() {
        let two = "nameserver 192.0.2.1\nnameserver 2001:db8::1\nsearch example.com\n";
        let expected = ["192.0.2.1", "2001:db8::1"].map(|ip| (ip.parse().unwrap(), vec![53, 53]));
        assert_eq!(servers(two), expected);
    }

    #[test]
    fn machine_without_servers() {
        let fallback = [(IpAddr::V4(Ipv4Addr::LOCALHOST), vec![53, 53])];
        assert_eq!(servers(""), fallback);
        let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
        let servers = machine_servers(Err(missing.into()));
        assert_eq!(servers[0].ip, fallback[0].0);
    }

    #[test]
    fn named_servers_keep_their_ports() {
        let server = name_server("192.0.2.1:5353".parse().unwrap());
        assert!(server.connections.iter().all(|connection| connection.port == 5353));
    }
}
