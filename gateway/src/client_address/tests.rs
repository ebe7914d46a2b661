//! Which address a request counts for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::{HeaderMap, HeaderName, HeaderValue};
use process::settings::Problems;
use proptest::prelude::{Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};

use super::{ClientAddress, ClientAddresses};

const HEADER: HeaderName = HeaderName::from_static("x-forwarded-for");

fn behind(proxies: &[&str]) -> ClientAddresses {
    let proxies: Vec<String> = proxies.iter().map(|&text| text.to_owned()).collect();
    let mut problems = Problems::new();
    let addresses = ClientAddresses::check(&proxies, Some("X-Forwarded-For".to_owned()), &mut problems);
    problems.finish(addresses).unwrap()
}

fn headers<'a>(lines: impl IntoIterator<Item = &'a str>) -> HeaderMap {
    lines.into_iter().map(|line| (HEADER, HeaderValue::from_str(line).unwrap())).collect()
}

fn client(text: &str) -> ClientAddress {
    ClientAddress::new(text.parse().unwrap())
}

#[test]
fn right_most_that_is_no_proxy() {
    let addresses = behind(&["10.0.0.0/8", "192.0.2.7", "2001:db8:1::/48", "::ffff:172.16.0.0/108"]);
    for (peer, lines, expected) in [
        // The peer is no proxy: the header may say anything.
        ("198.51.100.1", &["203.0.113.1"][..], "198.51.100.1"),
        ("11.0.0.1", &["203.0.113.1"], "11.0.0.1"),
        // Nothing there, or nothing usable.
        ("10.0.0.1", &[], "10.0.0.1"),
        ("10.0.0.1", &[""], "10.0.0.1"),
        ("10.0.0.1", &[" , ,"], "10.0.0.1"),
        ("10.0.0.1", &["unknown"], "10.0.0.1"),
        ("10.0.0.1", &["203.0.113.1, unknown"], "10.0.0.1"),
        ("10.0.0.1", &["203.0.113.1, unknown, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", &["203.0.113.1, for=203.0.113.2"], "10.0.0.1"),
        ("10.0.0.1", &["203.0.113.1, 203.0.113"], "10.0.0.1"),
        ("10.0.0.1", &["203.0.113.1, 203.0.113.02"], "10.0.0.1"),
        ("10.0.0.1", &["203.0.113.1, [203.0.113.2]"], "10.0.0.1"),
        ("10.0.0.1", &["203.0.113.1, \"203.0.113.2\""], "10.0.0.1"),
        // One proxy, and what the client itself sent before.
        ("10.0.0.1", &["203.0.113.1"], "203.0.113.1"),
        ("10.0.0.1", &["127.0.0.1, 203.0.113.1"], "203.0.113.1"),
        ("10.0.0.1", &["10.0.0.9, 203.0.113.1"], "203.0.113.1"),
        ("10.0.0.1", &["unknown, 203.0.113.1"], "203.0.113.1"),
        ("10.0.0.1", &["203.0.113.1,,\t"], "203.0.113.1"),
        // Several proxies.
        ("10.0.0.1", &["198.51.100.1, 203.0.113.1 , 192.0.2.7,10.9.9.9"], "203.0.113.1"),
        ("10.0.0.1", &["198.51.100.1, 203.0.113.1, 192.0.2.8"], "192.0.2.8"),
        // Several lines are one list.
        ("10.0.0.1", &["198.51.100.1, 203.0.113.1", "10.0.0.2"], "203.0.113.1"),
        ("10.0.0.1", &["198.51.100.1", "203.0.113.1"], "203.0.113.1"),
        ("10.0.0.1", &["203.0.113.1", ""], "203.0.113.1"),
        // All are proxies: the left-most.
        ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        // Ports and brackets.
        ("10.0.0.1", &["203.0.113.1:4711"], "203.0.113.1"),
        ("10.0.0.1", &["203.0.113.1, 10.0.0.2:80"], "203.0.113.1"),
        ("10.0.0.1", &["[2001:db8::5]:4711"], "2001:db8::"),
        ("10.0.0.1", &["[2001:db8::5]"], "2001:db8::"),
        ("10.0.0.1", &["2001:db8::5"], "2001:db8::"),
        ("10.0.0.1", &["203.0.113.1, [2001:db8:1::2]:80"], "203.0.113.1"),
        // IPv4-mapped addresses are IPv4, as the peer, in the header and in the setting.
        ("::ffff:10.0.0.1", &["203.0.113.1"], "203.0.113.1"),
        ("10.0.0.1", &["203.0.113.1, ::ffff:10.0.0.2"], "203.0.113.1"),
        ("10.0.0.1", &["::ffff:203.0.113.1"], "203.0.113.1"),
        ("10.0.0.1", &["[::ffff:203.0.113.1]:80"], "203.0.113.1"),
        ("172.16.0.1", &["203.0.113.1"], "203.0.113.1"),
        ("172.32.0.1", &["203.0.113.1"], "172.32.0.1"),
        ("2001:db8:1::1", &["203.0.113.1"], "203.0.113.1"),
        ("2001:db8:2::1", &["203.0.113.1"], "2001:db8:2::"),
    ] {
        let found = addresses.of(peer.parse().unwrap(), &headers(lines.iter().copied()));
        assert_eq!(found, client(expected), "{peer} {lines:?}");
    }
    let mut latin1 = headers(["203.0.113.1"]);
    latin1.append(HEADER, HeaderValue::from_bytes(b"\xff").unwrap());
    assert_eq!(addresses.of("10.0.0.1".parse().unwrap(), &latin1), client("10.0.0.1"));
}

#[test]
fn without_proxies_the_header_says_nothing() {
    let headers = headers(["203.0.113.1"]);
    let none = ClientAddresses::default();
    assert_eq!(none.of("10.0.0.1".parse().unwrap(), &headers), client("10.0.0.1"));
}

#[test]
fn ipv6_counts_by_its_64() {
    assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:0:0:1"));
    assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
    assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
    assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
}

#[test]
fn both_settings_or_none() {
    let checked = |proxies: &[&str], header: Option<&str>| {
        let proxies: Vec<String> = proxies.iter().map(|&text| text.to_owned()).collect();
        let mut problems = Problems::new();
        let addresses = ClientAddresses::check(&proxies, header.map(str::to_owned), &mut problems);
        problems.finish(addresses).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(checked(&[], None), Ok(()));
    assert_eq!(checked(&["", " "], Some("")), Ok(()));
    assert_eq!(checked(&["10.0.0.0/8", "::1"], Some("x-real-ip")), Ok(()));
    for (proxies, header, problem) in [
        (&["10.0.0.1"][..], None, "--trusted-proxies, --client-address-header: both or none"),
        (&[], Some("x-real-ip"), "--trusted-proxies, --client-address-header: both or none"),
        (&["10.0.0.1/33"], Some("x"), "--trusted-proxies: \"10.0.0.1/33\": an IP address"),
        (&["proxy.example"], Some("x"), "--trusted-proxies: \"proxy.example\": an IP address"),
        (&["10.0.0.1"], Some("x y"), "--client-address-header: \"x y\": "),
    ] {
        let told = checked(proxies, header).unwrap_err();
        assert!(told.contains(problem), "{told}");
    }
}

fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::from(Ipv4Addr::from_bits(bits))),
        any::<u128>().prop_map(|bits| IpAddr::from(Ipv6Addr::from_bits(bits))),
        any::<u32>().prop_map(|bits| IpAddr::from(Ipv4Addr::from_bits(bits).to_ipv6_mapped())),
    ]
}

/// An entry for an address in one of its spellings.
fn spelled(address: IpAddr, spelling: u8) -> String {
    match (address, spelling % 3) {
        (IpAddr::V4(v4), 0) => v4.to_string(),
        (IpAddr::V4(v4), _) => format!("{v4}:{spelling}"),
        (IpAddr::V6(v6), 0) => v6.to_string(),
        (IpAddr::V6(v6), 1) => format!("[{v6}]"),
        (IpAddr::V6(v6), _) => format!("[{v6}]:{spelling}"),
    }
}

proptest! {
    /// What the client writes in front of what the proxies write changes nothing.
    #[test]
    fn client_can_not_choose_its_address(
        invented in prop::collection::vec("[ -~]{0,40}", 0..4),
        real in ip(),
        proxies in prop::collection::vec((any::<u16>(), any::<u8>()), 0..4),
        split in any::<bool>(),
    ) {
        let is_proxy = |address: IpAddr| matches!(address.to_canonical(), IpAddr::V4(v4) if v4.octets()[0] == 10);
        let real = if is_proxy(real) { IpAddr::from([203, 0, 113, 1]) } else { real };
        let written = spelled(real, 0);
        let by_proxies = proxies.iter().map(|&(low, spelling)| {
            let [high, low] = low.to_be_bytes();
            spelled(IpAddr::from([10, 0, high, low]), spelling)
        });
        let honest: Vec<String> = std::iter::once(written).chain(by_proxies).collect();
        let mut lines: Vec<String> = invented;
        if split {
            lines.extend(honest);
        } else {
            let honest = honest.join(", ");
            lines = vec![[lines, vec![honest]].concat().join(",")];
        }
        let headers = headers(lines.iter().map(String::as_str));
        let found = behind(&["10.0.0.0/8"]).of(IpAddr::from([10, 1, 1, 1]), &headers);
        prop_assert_eq!(found, ClientAddress::new(real));
    }

    #[test]
    fn any_header_is_read(lines in prop::collection::vec(prop::collection::vec(32_u8..=255, 0..60), 0..4), peer in ip()) {
        let values = lines.iter().filter_map(|line| HeaderValue::from_bytes(line).ok());
        let headers: HeaderMap = values.map(|value| (HEADER, value)).collect();
        let _client = behind(&["0.0.0.0/0", "::/0"]).of(peer, &headers);
        prop_assert_eq!(behind(&["192.0.2.0/24"]).of(peer, &headers), ClientAddress::new(peer));
    }
}
