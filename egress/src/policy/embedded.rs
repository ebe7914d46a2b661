//! The IPv4 addresses that an IPv6 address can embed.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The IPv4 address in an address of `64:ff9b::/96` (NAT64, RFC 6052).
pub(super) fn nat64(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = address.segments() else { return None };
    Some(ipv4(high, low))
}

/// The IPv4 address in an ISATAP interface id, `…:5efe:a.b.c.d` (RFC 5214). The group before `5efe` differs
/// between networks, so any is taken.
pub(super) fn isatap(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [_, _, _, _, _, 0x5efe, high, low] = address.segments() else { return None };
    Some(ipv4(high, low))
}

/// Every IPv4 address in `address`, in whatever form.
pub(super) fn all(address: Ipv6Addr) -> impl Iterator<Item = Ipv4Addr> {
    let forms = match address.segments() {
        // Compatible, mapped (RFC 4291) and SIIT (RFC 2765).
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => {
            [Some((high, low)), None]
        }
        // NAT64 with a prefix of the network's own (RFC 8215).
        [0x64, 0xff9b, 1, _, _, _, high, low] => [Some((high, low)), None],
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => [Some((high, low)), None],
        // Teredo (RFC 4380): the server, and the client with all bits inverted.
        [0x2001, 0, high, low, _, _, client_high, client_low] => {
            [Some((high, low)), Some((!client_high, !client_low))]
        }
        _ => [None, None],
    };
    let forms = forms.into_iter().flatten().map(|(high, low)| ipv4(high, low));
    forms.chain(nat64(address)).chain(isatap(address))
}

fn ipv4(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))
}
