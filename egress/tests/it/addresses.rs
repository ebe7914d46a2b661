//! The table of address ranges.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use egress::error::NotAllowed;
use egress::policy::Policy;
use ipnet::IpNet;
use proptest::prelude::{any, prop_assert_eq, prop_assume, proptest};

use crate::{allowing, networks, url};

const NOTHING: &[&str] = &[];

/// A refused range, the address just below it and the one just above, where these are not refused too.
type Row = (&'static str, &'static [&'static str]);

const IPV4: [Row; 19] = [
    ("0.0.0.0/8", &["1.0.0.0"]),
    ("10.0.0.0/8", &["9.255.255.255", "11.0.0.0"]),
    ("100.64.0.0/10", &["100.63.255.255", "100.128.0.0"]),
    ("127.0.0.0/8", &["126.255.255.255", "128.0.0.0"]),
    ("168.63.129.16/32", &["168.63.129.15", "168.63.129.17"]),
    ("169.254.0.0/16", &["169.253.255.255", "169.255.0.0"]),
    ("172.16.0.0/12", &["172.15.255.255", "172.32.0.0"]),
    ("192.0.0.0/24", &["191.255.255.255", "192.0.1.0"]),
    ("192.0.2.0/24", &["192.0.1.255", "192.0.3.0"]),
    ("192.31.196.0/24", &["192.31.195.255", "192.31.197.0"]),
    ("192.52.193.0/24", &["192.52.192.255", "192.52.194.0"]),
    ("192.88.99.0/24", &["192.88.98.255", "192.88.100.0"]),
    ("192.168.0.0/16", &["192.167.255.255", "192.169.0.0"]),
    ("192.175.48.0/24", &["192.175.47.255", "192.175.49.0"]),
    ("198.18.0.0/15", &["198.17.255.255", "198.20.0.0"]),
    ("198.51.100.0/24", &["198.51.99.255", "198.51.101.0"]),
    ("203.0.113.0/24", &["203.0.112.255", "203.0.114.0"]),
    ("224.0.0.0/4", &["223.255.255.255"]),
    ("240.0.0.0/4", NOTHING),
];

const IPV6: [Row; 6] = [
    ("::/3", &["2000::"]),
    ("2001::/23", &["2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::"]),
    ("2001:db8::/32", &["2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"]),
    ("2002::/16", &["2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::"]),
    ("3fff::/20", &["3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::"]),
    ("4000::/2", &["3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]),
];

fn refused_ranges() -> Vec<IpNet> {
    let rows = IPV4.iter().chain(&IPV6).map(|(range, _)| *range);
    networks(&rows.chain(["8000::/1"]).collect::<Vec<_>>())
}

fn guarded() -> Policy {
    Policy::new(Vec::new())
}

fn check(policy: &Policy, address: &str) -> Result<(), NotAllowed> {
    policy.check_address(address.parse().expect(address))
}

#[test]
fn each_range_refused_to_its_edges() {
    for range in refused_ranges() {
        for edge in [range.network(), range.broadcast()] {
            assert_eq!(guarded().check_address(edge), Err(NotAllowed), "{edge} of {range}");
        }
    }
}

#[test]
fn just_outside_each_range() {
    for (range, neighbours) in IPV4.iter().chain(&IPV6) {
        for neighbour in *neighbours {
            assert_eq!(check(&guarded(), neighbour), Ok(()), "{neighbour} beside {range}");
        }
    }
}

#[test]
fn special_ipv6_forms_refused() {
    for address in [
        "::",
        "::1",
        "::8.8.8.8",
        "::ffff:8.8.8.8",
        "::ffff:0:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "64:ff9b:1::8.8.8.8",
        "100::1",
        "2002:808:808::",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "ff02::1",
    ] {
        assert_eq!(check(&guarded(), address), Err(NotAllowed), "{address}");
    }
}

#[test]
fn loopback_in_every_spelling() {
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "①②⑦.⓪.⓪.①",
        "127.0.0.1.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[::7f00:1]",
        "[::127.0.0.1]",
        "[::ffff:0:7f00:1]",
        "[::ffff:0:127.0.0.1]",
        "[64:ff9b:1::7f00:1]",
        "[2606:4700::5efe:7f00:1]",
        "[2606:4700::200:5efe:127.0.0.1]",
        "017700000001",
        "0x7f.1",
        "127.0.1",
        "0X7F.0x0.0.01",
        "%31%32%37.0.0.1",
        "127。0。0。1",
        "１２７.0.0.1",
    ] {
        let url = url(&format!("https://{host}/"));
        assert_eq!(guarded().check_url(&url), Err(NotAllowed), "{url}");
    }
}

#[test]
fn global_literals_allowed() {
    for host in ["8.8.8.8", "134744072", "[2606:4700::1111]"] {
        assert_eq!(guarded().check_url(&url(&format!("https://{host}/"))), Ok(()), "{host}");
    }
}

#[test]
fn allowed_ranges() {
    let policy = allowing(&["10.1.0.0/16", "fd00::/8"]);
    for address in ["10.1.0.0", "10.1.255.255", "fd00::1"] {
        assert_eq!(check(&policy, address), Ok(()), "{address}");
    }
    for address in ["10.0.255.255", "10.2.0.0", "fc00::1", "::ffff:10.1.0.1"] {
        assert_eq!(check(&policy, address), Err(NotAllowed), "{address}");
    }
}

#[test]
fn mapped_only_when_named() {
    let policy = allowing(&["::ffff:0:0/96"]);
    assert_eq!(check(&policy, "::ffff:8.8.8.8"), Ok(()));
    assert_eq!(check(&policy, "::8.8.8.8"), Err(NotAllowed));
}

#[test]
fn loopback_only_when_in_an_allowed_range() {
    assert!(!guarded().allows_loopback());
    assert!(!allowing(&["127.0.0.2/32", "::1/128"]).allows_loopback());
    assert!(allowing(&["127.0.0.0/8"]).allows_loopback());
    assert!(Policy::unrestricted().allows_loopback());
}

#[test]
fn nat64_judged_by_ipv4_when_set() {
    let policy = allowing(&["10.1.0.0/16"]).nat64(true);
    for address in ["64:ff9b::8.8.8.8", "64:ff9b::10.1.0.1"] {
        assert_eq!(check(&policy, address), Ok(()), "{address}");
        assert_eq!(check(&policy.clone().nat64(false), address), Err(NotAllowed));
    }
    for address in [
        "64:ff9b::127.0.0.1",
        "64:ff9b::1:808:808",
        "64:ff9a:ffff:ffff:ffff:ffff:808:808",
        "64:ff9b:1::8.8.8.8",
        "::ffff:8.8.8.8",
    ] {
        assert_eq!(check(&policy, address), Err(NotAllowed), "{address}");
    }
}

#[test]
fn operators_own_list_wins() {
    let policy = allowing(&["10.0.0.0/8", "::ffff:0:0/96"])
        .refuse(networks(&["10.9.0.0/16", "8.8.8.0/24", "2606:4700::/32"]))
        .nat64(true);
    for address in ["10.9.0.1", "8.8.8.8", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"] {
        assert_eq!(check(&policy, address), Err(NotAllowed), "{address}");
    }
    for address in ["10.8.0.1", "8.8.9.8", "2606:4701::1", "64:ff9b::8.8.9.8"] {
        assert_eq!(check(&policy, address), Ok(()), "{address}");
    }
}

#[test]
fn unrestricted_refuses_nothing() {
    let policy = Policy::unrestricted().refuse(networks(&["0.0.0.0/0"])).refuse_ports(vec![22]);
    assert_eq!(check(&policy, "169.254.169.254"), Ok(()));
    for place in ["http://127.0.0.1:22/", "http://plc:6379/", "http://localhost:2582/"] {
        assert_eq!(policy.check_url(&url(place)), Ok(()), "{place}");
    }
}

proptest! {
    #[test]
    fn ipv4_exactly_by_the_table(bits in any::<u32>()) {
        let address = IpAddr::V4(Ipv4Addr::from(bits));
        let refused = refused_ranges().iter().any(|range| range.contains(&address));
        prop_assert_eq!(guarded().check_address(address).is_err(), refused);
    }

    #[test]
    fn refused_ranges_let_nothing_through(row in 0..IPV4.len(), bits in any::<u32>()) {
        let range: IpNet = IPV4[row].0.parse().unwrap();
        let (IpAddr::V4(network), IpAddr::V4(mask)) = (range.network(), range.hostmask()) else {
            unreachable!("an IPv4 table");
        };
        let address = Ipv4Addr::from(u32::from(network) | (bits & u32::from(mask)));
        prop_assert_eq!(guarded().check_address(address.into()), Err(NotAllowed));
        prop_assert_eq!(guarded().nat64(true).check_address(address.to_ipv6_mapped().into()), Err(NotAllowed));
    }

    #[test]
    fn outside_global_unicast_refused(bits in any::<u128>()) {
        prop_assume!(bits >> 125 != 1);
        prop_assert_eq!(guarded().check_address(Ipv6Addr::from(bits).into()), Err(NotAllowed));
    }

    #[test]
    fn global_unicast_exactly_by_the_table(bits in any::<u128>()) {
        let address = IpAddr::V6(Ipv6Addr::from((bits >> 3) | (1 << 125)));
        let refused = refused_ranges().iter().any(|range| range.contains(&address));
        prop_assert_eq!(guarded().check_address(address).is_err(), refused);
    }
}
