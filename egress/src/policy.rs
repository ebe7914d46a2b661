//! The egress rules as decisions over an address or a URL: no look-up, no connection.

mod ranges;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use url::{Host, Url};

use crate::error::UNREACHABLE;

/// Ports that are refused unless [`Policy::refuse_ports`] says otherwise: well-known services that are
/// not HTTP, where even the opening bytes of a connection could do harm or count as an attack.
pub const REFUSED_PORTS: &[u16] = &[
    1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104,
    109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 138, 139, 143, 161, 162, 179, 389, 427, 445, 465, 512,
    513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 873, 989, 990, 993, 995, 1433,
    1521, 1719, 1720, 1723, 1883, 2049, 2375, 2376, 2379, 2380, 3306, 3389, 3659, 4045, 4190, 5060, 5061,
    5432, 5672, 5900, 6000, 6379, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 9042, 9092, 10250, 11211,
    27017,
];

/// Last labels of names that mean something only inside a network. `cluster.local` is under `local`.
const PRIVATE_TOP_LABELS: [&str; 4] = ["localhost", "local", "internal", "svc"];

/// What may be reached (`DELIVERY.md`, "Egress rules").
#[derive(Debug, Clone)]
pub struct Policy {
    /// `None`: everything may.
    guard: Option<Guard>,
}

#[derive(Debug, Clone)]
struct Guard {
    allowed: Vec<IpNet>,
    refused: Vec<IpNet>,
    refused_ports: Vec<u16>,
    nat64: bool,
}

/// Something that the egress rules refuse. Its text is the same for every rule, and the same as that of
/// [`Unreachable`](crate::error::Unreachable): it does not tell closed from filtered from private.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{UNREACHABLE}")]
pub struct Refused;

impl Policy {
    /// The rules in force, with `allowed` (`--allow-private-ranges`) exempt from the table of address
    /// ranges. An IPv4 range does not allow the IPv6 forms that carry its addresses.
    #[must_use]
    pub fn new(allowed: Vec<IpNet>) -> Self {
        let guard =
            Guard { allowed, refused: Vec::new(), refused_ports: REFUSED_PORTS.to_vec(), nat64: false };
        Self { guard: Some(guard) }
    }

    /// No rules: any address, name and port. For a host that the operator names, such as the PLC directory.
    #[must_use]
    pub fn unrestricted() -> Self {
        Self { guard: None }
    }

    /// Refuses the operator's own list too, in IPv6 forms that carry an IPv4 address as well. It wins over
    /// the allowed ranges. An unrestricted policy stays unrestricted.
    #[must_use]
    pub fn refuse(self, ranges: Vec<IpNet>) -> Self {
        self.with(|guard| guard.refused = ranges)
    }

    /// Puts `ports` in the place of [`REFUSED_PORTS`]. Port 0 is refused in any case.
    /// An unrestricted policy stays unrestricted.
    #[must_use]
    pub fn refuse_ports(self, ports: Vec<u16>) -> Self {
        self.with(|guard| guard.refused_ports = ports)
    }

    /// `true`: addresses in `64:ff9b::/96` are judged by the IPv4 address that they carry, for networks with
    /// NAT64. `false`, the default: they are refused. An unrestricted policy stays unrestricted.
    #[must_use]
    pub fn nat64(self, judged_by_ipv4: bool) -> Self {
        self.with(|guard| guard.nat64 = judged_by_ipv4)
    }

    fn with(mut self, change: impl FnOnce(&mut Guard)) -> Self {
        if let Some(guard) = &mut self.guard {
            change(guard);
        }
        self
    }

    /// Whether 127.0.0.1 may be reached; `localhost` is a name then, and means this machine.
    #[must_use]
    pub fn allows_loopback(&self) -> bool {
        self.check_address(IpAddr::V4(Ipv4Addr::LOCALHOST)).is_ok()
    }

    /// Judges one address.
    ///
    /// # Errors
    ///
    /// The address is not global unicast and in no allowed range, or is on the operator's own list.
    pub fn check_address(&self, address: IpAddr) -> Result<(), Refused> {
        match &self.guard {
            Some(guard) => guard.check_address(address),
            None => Ok(()),
        }
    }

    /// Judges the name, the IP literal and the port of a URL, without a look-up. The scheme is the
    /// caller's business.
    ///
    /// # Errors
    ///
    /// The URL has no host or no known port, or one that is refused.
    pub fn check_url(&self, url: &Url) -> Result<(), Refused> {
        let Some(guard) = &self.guard else { return Ok(()) };
        guard.check_port(url.port_or_known_default())?;
        match url.host().ok_or(Refused)? {
            Host::Domain(name) if is_localhost(name) && self.allows_loopback() => Ok(()),
            Host::Domain(name) => check_name(name),
            Host::Ipv4(address) => guard.check_address(address.into()),
            Host::Ipv6(address) => guard.check_address(address.into()),
        }
    }
}

impl Guard {
    fn check_address(&self, address: IpAddr) -> Result<(), Refused> {
        let carried = carried_ipv4(address).map(IpAddr::V4);
        if within(&self.refused, address) || carried.is_some_and(|carried| within(&self.refused, carried)) {
            return Err(Refused);
        }
        if within(&self.allowed, address) {
            return Ok(());
        }
        let global = match address {
            IpAddr::V4(address) => ranges::is_global_ipv4(address),
            IpAddr::V6(address) => match nat64_ipv4(address) {
                Some(carried) if self.nat64 => return self.check_address(carried.into()),
                _ => ranges::is_global_ipv6(address),
            },
        };
        if global { Ok(()) } else { Err(Refused) }
    }

    fn check_port(&self, port: Option<u16>) -> Result<(), Refused> {
        match port {
            None | Some(0) => Err(Refused),
            Some(port) if self.refused_ports.contains(&port) => Err(Refused),
            Some(_) => Ok(()),
        }
    }
}

/// Whether `host` is `localhost` or under it, in any case, with or without the root's dot.
pub(crate) fn is_localhost(host: &str) -> bool {
    without_root(host).rsplit('.').next().is_some_and(|top| top.eq_ignore_ascii_case("localhost"))
}

fn check_name(name: &str) -> Result<(), Refused> {
    let Some((parents, top)) = without_root(name).rsplit_once('.') else {
        return Err(Refused);
    };
    let private = PRIVATE_TOP_LABELS.iter().any(|label| label.eq_ignore_ascii_case(top));
    let empty_label = top.is_empty() || parents.split('.').any(str::is_empty);
    if private || empty_label {
        return Err(Refused);
    }
    Ok(())
}

/// A name without the last dot that stands for the root.
pub(crate) fn without_root(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

fn within(ranges: &[IpNet], address: IpAddr) -> bool {
    ranges.iter().any(|range| range.contains(&address))
}

/// The IPv4 address that a mapped or NAT64 address leads to.
fn carried_ipv4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => address.to_ipv4_mapped().or_else(|| nat64_ipv4(address)),
    }
}

/// The IPv4 address in an address of `64:ff9b::/96` (RFC 6052).
fn nat64_ipv4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, ref carried @ ..] = address.octets() else {
        return None;
    };
    Some(Ipv4Addr::from(*carried))
}
