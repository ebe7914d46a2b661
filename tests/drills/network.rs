//! Hosts: network namespaces with an address each, and a router between them that can drop packets.
//!
//! The router is the drill's own namespace; clients of the drill call from there. A packet is dropped by a
//! rule of the router's routing, without a word to anybody: not refused, not answered with ICMP. All of it is
//! made with `ip` (iproute2), and nothing has a name outside: a namespace lives as long as somebody holds its
//! file.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, setns, unshare};

/// The router's address on every link.
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// A machine with one address.
pub(crate) struct Host {
    ip: Ipv4Addr,
    namespace: File,
}

/// Makes the drill's own namespace the router.
pub(crate) fn route() {
    ip(&["link", "set", "lo", "up"]);
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
}

/// What is done to a host's packets.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Packets {
    Dropped,
    PassedOn,
}

impl Host {
    /// A host at 10.77.0.`number`, which is 2 or more, connected to the router.
    pub(crate) fn new(number: u8) -> Self {
        let [a, b, c, _] = ROUTER.octets();
        let address = Ipv4Addr::new(a, b, c, number);
        let made = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("root may make namespaces");
            File::open("/proc/thread-self/ns/net").unwrap()
        });
        let host = Self { ip: address, namespace: made.join().unwrap() };
        let (link, router, address) = (format!("host{number}"), ROUTER.to_string(), address.to_string());
        // `ip` finds the namespace as its standard input.
        let mut cable = Command::new("ip");
        cable.args(["link", "add", &link, "type", "veth", "peer", "name", "eth0"]);
        cable.args(["netns", "/proc/self/fd/0"]).stdin(Stdio::from(host.namespace.try_clone().unwrap()));
        assert!(cable.status().expect("ip is there (iproute2)").success());
        ip(&["address", "add", &router, "peer", &address, "dev", &link]);
        ip(&["link", "set", &link, "up"]);
        host.within(|| {
            ip(&["link", "set", "lo", "up"]);
            ip(&["address", "add", &address, "peer", &router, "dev", "eth0"]);
            ip(&["link", "set", "eth0", "up"]);
            ip(&["route", "add", "default", "via", &router]);
        });
        host
    }

    pub(crate) fn ip(&self) -> Ipv4Addr {
        self.ip
    }

    /// Does `what` on this host: processes that it starts and sockets that it opens are there for good.
    pub(crate) fn within<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                setns(self.namespace.as_fd(), CloneFlags::CLONE_NEWNET).unwrap();
                what()
            });
            thread.join().expect("what is done on a host succeeds")
        })
    }

    /// From now on, packets from and to this host are dropped, or passed on again.
    pub(crate) fn all(&self, packets: Packets) {
        let own = self.ip.to_string();
        rule(packets, &["from", &own]);
        rule(packets, &["to", &own]);
    }
}

fn rule(packets: Packets, of: &[&str]) {
    let change = match packets {
        Packets::Dropped => "add",
        Packets::PassedOn => "delete",
    };
    ip(&[&["rule", change], of, &["blackhole"]].concat());
}

/// Runs `ip` where the calling thread is.
fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).stdin(Stdio::null()).status();
    assert!(status.expect("ip is there (iproute2)").success(), "ip {}", arguments.join(" "));
}
