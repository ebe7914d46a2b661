//! The tables of special-purpose address ranges (`docs/delivery.md`, "Egress rules").

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// IPv4 ranges that are not global unicast, and 168.63.129.16, which answers only inside a cloud (Azure).
const SPECIAL_IPV4: [Ipv4Net; 19] = [
    ipv4([0, 0, 0, 0], 8),
    ipv4([10, 0, 0, 0], 8),
    ipv4([100, 64, 0, 0], 10),
    ipv4([127, 0, 0, 0], 8),
    ipv4([168, 63, 129, 16], 32),
    ipv4([169, 254, 0, 0], 16),
    ipv4([172, 16, 0, 0], 12),
    ipv4([192, 0, 0, 0], 24),
    ipv4([192, 0, 2, 0], 24),
    ipv4([192, 31, 196, 0], 24),
    ipv4([192, 52, 193, 0], 24),
    ipv4([192, 88, 99, 0], 24),
    ipv4([192, 168, 0, 0], 16),
    ipv4([192, 175, 48, 0], 24),
    ipv4([198, 18, 0, 0], 15),
    ipv4([198, 51, 100, 0], 24),
    ipv4([203, 0, 113, 0], 24),
    ipv4([224, 0, 0, 0], 4),
    ipv4([240, 0, 0, 0], 4),
];

/// The part of IPv6 from which all global unicast addresses come.
const GLOBAL_IPV6: Ipv6Net = ipv6([0x2000, 0], 3);

/// Ranges inside [`GLOBAL_IPV6`] that are not global unicast: protocol assignments (with Teredo),
/// documentation, 6to4, documentation.
const SPECIAL_IPV6: [Ipv6Net; 4] =
    [ipv6([0x2001, 0], 23), ipv6([0x2001, 0xdb8], 32), ipv6([0x2002, 0], 16), ipv6([0x3fff, 0], 20)];

pub(super) fn is_global_ipv4(address: Ipv4Addr) -> bool {
    !SPECIAL_IPV4.iter().any(|range| range.contains(&address))
}

pub(super) fn is_global_ipv6(address: Ipv6Addr) -> bool {
    GLOBAL_IPV6.contains(&address) && !SPECIAL_IPV6.iter().any(|range| range.contains(&address))
}

const fn ipv4([a, b, c, d]: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

/// A range with a prefix of at most 32 bits, given by its first two groups.
const fn ipv6([a, b]: [u16; 2], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), prefix)
}
