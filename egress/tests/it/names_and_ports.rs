//! The rules for names and ports.

use egress::error::{NotAllowed, Unreachable};
use egress::policy::{Policy, REFUSED_PORTS};

use crate::{allowing, url};

fn check(policy: &Policy, place: &str) -> Result<(), NotAllowed> {
    policy.check_url(&url(place))
}

fn guarded() -> Policy {
    Policy::new(Vec::new())
}

#[test]
fn private_names() {
    for host in [
        "localhost",
        "app.localhost",
        "a.b.localhost",
        "printer.local",
        "metadata.google.internal",
        "core.default.svc",
        "core.default.svc.cluster.local",
        "core",
        "local",
        "internal",
        "svc",
        "com",
        "core_1",
        "LOCALHOST",
        "Printer.LOCAL",
        "ｌｏｃａｌｈｏｓｔ",
        "printer。local",
    ] {
        for dot in ["", "."] {
            let place = format!("https://{host}{dot}/");
            assert_eq!(check(&guarded(), &place), Err(NotAllowed), "{place}");
        }
    }
}

#[test]
fn empty_labels() {
    for host in ["a..example", ".example.com", "example.com..", "localhost.."] {
        let place = format!("https://{host}/");
        assert_eq!(check(&guarded(), &place), Err(NotAllowed), "{place}");
    }
}

#[test]
fn case_of_a_name_means_nothing() {
    // The URL parser leaves the case of a host alone where it does not know the scheme.
    for host in ["LocalHost", "App.LOCALHOST.", "Printer.Local", "core.SVC", "x.INTERNAL"] {
        let place = format!("other://{host}:443/");
        assert_eq!(check(&guarded(), &place), Err(NotAllowed), "{place}");
    }
}

#[test]
fn public_names() {
    for host in [
        "example.com",
        "example.com.",
        "localhost.example",
        "local.example.com",
        "notlocal.example",
        "notlocalhost.com",
        "a.notlocal",
        "a.locals",
        "svc.internal.example",
        "a.b",
        "münchen.example",
    ] {
        assert_eq!(check(&guarded(), &format!("https://{host}/")), Ok(()), "{host}");
    }
}

#[test]
fn localhost_with_loopback_allowed() {
    let policy = allowing(&["127.0.0.0/8"]);
    for host in ["localhost", "localhost.", "app.localhost", "127.0.0.1"] {
        assert_eq!(check(&policy, &format!("http://{host}:3000/")), Ok(()), "{host}");
    }
    for host in ["core", "printer.local", "[::1]"] {
        assert_eq!(check(&policy, &format!("http://{host}:3000/")), Err(NotAllowed), "{host}");
    }
}

#[test]
fn refused_ports() {
    for port in REFUSED_PORTS.iter().chain(&[0]) {
        let place = format!("https://example.com:{port}/");
        assert_eq!(check(&guarded(), &place), Err(NotAllowed), "{place}");
    }
    for port in [22, 25, 53, 23, 110, 143, 465, 587, 993, 3306, 5432, 6379, 11211] {
        assert!(REFUSED_PORTS.contains(&port), "{port}");
    }
}

#[test]
fn refused_ports_are_documented() {
    let document = include_str!("../../../docs/delivery.md");
    let (_, rest) = document.split_once("that don't speak HTTP: ").unwrap();
    let (list, _) = rest.split_once("; and port 0.").unwrap();
    let documented: Vec<u16> = list.split(',').map(|port| port.trim().parse().unwrap()).collect();
    assert_eq!(documented, REFUSED_PORTS);
}

#[test]
fn other_ports() {
    for port in [80, 443, 24, 26, 52, 54, 3000, 8080, 8443, 65535] {
        let place = format!("https://example.com:{port}/");
        assert_eq!(check(&guarded(), &place), Ok(()), "{place}");
    }
}

#[test]
fn ports_by_setting() {
    let policy = guarded().refuse_ports(vec![8080]);
    assert_eq!(check(&policy, "https://example.com:22/"), Ok(()));
    assert_eq!(check(&policy, "https://example.com:8080/"), Err(NotAllowed));
    assert_eq!(check(&policy, "https://example.com:0/"), Err(NotAllowed));
}

#[test]
fn no_host_or_no_port() {
    for place in ["data:text/plain,x", "other://example.com/", "other:///path"] {
        assert_eq!(check(&guarded(), place), Err(NotAllowed), "{place}");
    }
}

#[test]
fn one_text() {
    let rules = [
        check(&guarded(), "https://127.0.0.1/"),
        check(&guarded(), "https://localhost/"),
        check(&guarded(), "https://example.com:22/"),
    ];
    for refusal in rules {
        assert_eq!(refusal.unwrap_err().to_string(), Unreachable::NotAllowed.to_string());
    }
}
