//! The egress rules, as decisions about one address or one URL. Looks nothing up and opens no connection.

mod embedded;
mod ranges;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use url::{Host, Url};

use crate::error::NotAllowed;

/// Ports that are refused unless [`Policy::refuse_ports`] says otherwise: those of well-known services that
/// do not speak HTTP, where even the first bytes of a connection could do harm or look like an attack.
pub const REFUSED_PORTS: &[u16] = &[
    1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104,
    109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 138, 139, 143, 161, 162, 179, 389, 427, 445, 465, 512,
    513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 873, 989, 990, 993, 995, 1433,
    1521, 1719, 1720, 1723, 1883, 2049, 2375, 2376, 2379, 2380, 3306, 3389, 3659, 4045, 4190, 5060, 5061,
    5432, 5672, 5900, 6000, 6379, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 9042, 9092, 10250, 11211,
    27017,
];

/// Top labels of names that only a private network resolves. `cluster.local` is below `local`.
const PRIVATE_TOP_LABELS: [&str; 4] = ["localhost", "local", "internal", "svc"];

/// What may be reached (`docs/delivery.md`, "Egress rules").
#[derive(Debug, Clone)]
pub struct Policy {
    /// `None`: everything is allowed.
    rules: Option<Rules>,
}

#[derive(Debug, Clone)]
struct Rules {
    /// Exempt from the table of special-purpose ranges.
    allowed: Vec<IpNet>,
    /// Wins over `allowed`.
    refused: Vec<IpNet>,
    refused_ports: Vec<u16>,
    /// Whether an address in `64:ff9b::/96` counts as the IPv4 address in it.
    nat64: bool,
}

impl Policy {
    /// The egress rules, with the `allowed` ranges (`--allow-private-ranges`) exempt from the table of
    /// special-purpose ranges. An IPv4 range does not exempt the IPv6 addresses that embed its addresses.
    #[must_use]
    pub fn new(allowed: Vec<IpNet>) -> Self {
        let rules =
            Rules { allowed, refused: Vec::new(), refused_ports: REFUSED_PORTS.to_vec(), nat64: false };
        Self { rules: Some(rules) }
    }

    /// No rules: any address, name and port. For a host that the operator names, such as the PLC directory.
    #[must_use]
    pub fn unrestricted() -> Self {
        Self { rules: None }
    }

    /// Refuses `ranges` too, also where an IPv6 address embeds one of their IPv4 addresses. They win over the
    /// allowed ranges. An unrestricted policy stays unrestricted.
    #[must_use]
    pub fn refuse(self, ranges: Vec<IpNet>) -> Self {
        self.with(|rules| rules.refused = ranges)
    }

    /// Refuses `ports` in place of [`REFUSED_PORTS`]. Port 0 is always refused. An unrestricted policy stays
    /// unrestricted.
    #[must_use]
    pub fn refuse_ports(self, ports: Vec<u16>) -> Self {
        self.with(|rules| rules.refused_ports = ports)
    }

    /// `true`, for networks with NAT64: an address in `64:ff9b::/96` is checked as the IPv4 address in it.
    /// `false`, the default: it is refused. An unrestricted policy stays unrestricted.
    #[must_use]
    pub fn nat64(self, on: bool) -> Self {
        self.with(|rules| rules.nat64 = on)
    }

    fn with(mut self, change: impl FnOnce(&mut Rules)) -> Self {
        if let Some(rules) = &mut self.rules {
            change(rules);
        }
        self
    }

    /// Whether 127.0.0.1 is allowed. If it is, the name `localhost` is too.
    #[must_use]
    pub fn allows_loopback(&self) -> bool {
        self.check_address(IpAddr::V4(Ipv4Addr::LOCALHOST)).is_ok()
    }

    /// Checks one address.
    ///
    /// # Errors
    ///
    /// The address is neither global unicast nor in an allowed range, or it is in a range given to
    /// [`refuse`](Self::refuse).
    pub fn check_address(&self, address: IpAddr) -> Result<(), NotAllowed> {
        match &self.rules {
            Some(rules) => rules.check_address(address),
            None => Ok(()),
        }
    }

    /// Checks the host (a name or an IP literal) and the port of a URL, without a look-up. Does not check the
    /// scheme.
    ///
    /// # Errors
    ///
    /// The URL has no host or no known port, or one of them is not allowed.
    pub fn check_url(&self, url: &Url) -> Result<(), NotAllowed> {
        let Some(rules) = &self.rules else { return Ok(()) };
        rules.check_port(url.port_or_known_default())?;
        match url.host().ok_or(NotAllowed)? {
            Host::Domain(name) if is_localhost(name) && self.allows_loopback() => Ok(()),
            Host::Domain(name) => check_name(name),
            Host::Ipv4(address) => rules.check_address(address.into()),
            Host::Ipv6(address) => rules.check_address(address.into()),
        }
    }
}

impl Rules {
    fn check_address(&self, address: IpAddr) -> Result<(), NotAllowed> {
        if self.refuses(address) {
            return Err(NotAllowed);
        }
        if within(&self.allowed, address) {
            return Ok(());
        }
        match address {
            IpAddr::V4(address) if ranges::is_global_ipv4(address) => Ok(()),
            IpAddr::V4(_) => Err(NotAllowed),
            IpAddr::V6(address) => self.check_ipv6(address),
        }
    }

    /// Checks an IPv6 address that no range of the operator names.
    fn check_ipv6(&self, address: Ipv6Addr) -> Result<(), NotAllowed> {
        if self.nat64
            && let Some(embedded) = embedded::nat64(address)
        {
            return self.check_address(embedded.into());
        }
        if !ranges::is_global_ipv6(address) {
            return Err(NotAllowed);
        }
        match embedded::isatap(address) {
            Some(embedded) => self.check_address(embedded.into()),
            None => Ok(()),
        }
    }

    /// Whether the operator refuses the address, or an IPv4 address in it.
    fn refuses(&self, address: IpAddr) -> bool {
        let embeds_refused =
            |address| embedded::all(address).any(|embedded| within(&self.refused, embedded.into()));
        within(&self.refused, address) || matches!(address, IpAddr::V6(address) if embeds_refused(address))
    }

    fn check_port(&self, port: Option<u16>) -> Result<(), NotAllowed> {
        match port {
            None | Some(0) => Err(NotAllowed),
            Some(port) if self.refused_ports.contains(&port) => Err(NotAllowed),
            Some(_) => Ok(()),
        }
    }
}

/// Whether `host` is `localhost` or a name below it, in any case, with or without the final dot.
pub(crate) fn is_localhost(host: &str) -> bool {
    without_root(host).rsplit('.').next().is_some_and(|top| top.eq_ignore_ascii_case("localhost"))
}

fn check_name(name: &str) -> Result<(), NotAllowed> {
    let Some((parents, top)) = without_root(name).rsplit_once('.') else {
        return Err(NotAllowed);
    };
    let private = PRIVATE_TOP_LABELS.iter().any(|label| label.eq_ignore_ascii_case(top));
    let empty_label = top.is_empty() || parents.split('.').any(str::is_empty);
    if private || empty_label {
        return Err(NotAllowed);
    }
    Ok(())
}

/// `name` without the final dot of the root zone.
pub(crate) fn without_root(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

fn within(ranges: &[IpNet], address: IpAddr) -> bool {
    ranges.iter().any(|range| range.contains(&address))
}
