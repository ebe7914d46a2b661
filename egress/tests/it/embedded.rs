//! IPv6 addresses that embed an IPv4 address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use egress::error::NotAllowed;
use egress::policy::Policy;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use crate::{allowing, networks};

/// Private IPv4 ranges of which the properties take addresses.
const PRIVATE: [(Ipv4Addr, u32); 6] = [
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
];

fn check(policy: &Policy, address: &str) -> Result<(), NotAllowed> {
    policy.check_address(address.parse().expect(address))
}

fn guarded() -> Policy {
    Policy::new(Vec::new())
}

/// The private address of `row` with these host bits.
fn private(row: usize, bits: u32) -> Ipv4Addr {
    let (network, prefix) = PRIVATE[row];
    Ipv4Addr::from(u32::from(network) | (bits & (u32::MAX >> prefix)))
}

fn ipv6(high: u64, low: u64) -> IpAddr {
    Ipv6Addr::from((u128::from(high) << 64) | u128::from(low)).into()
}

/// `address` as compatible, mapped, SIIT, NAT64 (of both prefixes), 6to4, and Teredo server and client.
fn transition_forms(address: Ipv4Addr) -> [IpAddr; 8] {
    let bits = u64::from(u32::from(address));
    [
        ipv6(0, bits),
        ipv6(0, (0xffff << 32) | bits),
        ipv6(0, (0xffff << 48) | bits),
        ipv6(0x0064_ff9b_0000_0000, bits),
        ipv6(0x0064_ff9b_0001_0000, bits),
        ipv6((0x2002 << 48) | (bits << 16), 1),
        ipv6((0x2001 << 48) | bits, 1),
        ipv6((0x2001 << 48) | 0x0808_0808, bits ^ u64::from(u32::MAX)),
    ]
}

/// `address` in the ISATAP interface id of a global prefix, with each group that can stand before `5efe`.
fn isatap_forms(prefix: u64, address: Ipv4Addr) -> [IpAddr; 4] {
    let global = (prefix >> 8) | 0x2600_0000_0000_0000;
    let bits = (0x5efe << 32) | u64::from(u32::from(address));
    [0, 0x0100, 0x0200, 0x0300].map(|group| ipv6(global, (group << 48) | bits))
}

#[test]
fn isatap_judged_by_ipv4_too() {
    for address in ["2606:4700::5efe:8.8.8.8", "2606:4700::200:5efe:8.8.8.8", "2606:4700::5eff:10.0.0.1"] {
        assert_eq!(check(&guarded(), address), Ok(()), "{address}");
    }
    for address in [
        "2606:4700::5efe:10.0.0.1",
        "2606:4700::200:5efe:169.254.169.254",
        "2606:4700:1:2:3:5efe:168.63.129.16",
        "fd00::5efe:8.8.8.8",
        "fe80::5efe:8.8.8.8",
    ] {
        assert_eq!(check(&guarded(), address), Err(NotAllowed), "{address}");
    }
    assert_eq!(check(&allowing(&["10.0.0.0/8"]), "2606:4700::5efe:10.0.0.1"), Ok(()));
    assert_eq!(check(&allowing(&["fd00::/8"]), "fd00::5efe:10.0.0.1"), Ok(()));
}

#[test]
fn operators_own_list_holds_in_every_form() {
    let address = Ipv4Addr::new(8, 8, 8, 8);
    let everything = allowing(&["::/0"]).refuse(networks(&["8.8.8.0/24"])).nat64(true);
    for form in transition_forms(address).into_iter().chain(isatap_forms(0, address)) {
        assert_eq!(everything.check_address(form), Err(NotAllowed), "{form}");
    }
    let other = Ipv4Addr::new(8, 8, 9, 8);
    // The Teredo client stands beside a server of the refused range.
    for form in transition_forms(other).into_iter().take(7).chain(isatap_forms(0, other)) {
        assert_eq!(everything.check_address(form), Ok(()), "{form}");
    }
}

proptest! {
    #[test]
    fn private_ipv4_is_not_reached_through_ipv6(row in 0..PRIVATE.len(), bits in any::<u32>(), prefix in any::<u64>()) {
        let address = private(row, bits);
        for policy in [guarded(), guarded().nat64(true)] {
            for form in transition_forms(address).into_iter().chain(isatap_forms(prefix, address)) {
                prop_assert_eq!(policy.check_address(form), Err(NotAllowed), "{}", form);
            }
        }
    }

    #[test]
    fn nat64_is_exactly_its_ipv4(bits in any::<u32>()) {
        let ipv4 = Ipv4Addr::from(bits);
        let translated = ipv6(0x0064_ff9b_0000_0000, bits.into());
        let expected = guarded().check_address(ipv4.into());
        prop_assert_eq!(guarded().nat64(true).check_address(translated), expected);
        prop_assert!(guarded().check_address(translated).is_err());
    }

    #[test]
    fn isatap_is_exactly_its_ipv4(bits in any::<u32>(), prefix in any::<u64>()) {
        let ipv4 = Ipv4Addr::from(bits);
        let expected = guarded().check_address(ipv4.into());
        for form in isatap_forms(prefix, ipv4) {
            prop_assert_eq!(guarded().check_address(form), expected);
        }
    }
}
