//! Hosts that webhooks must not reach.

/// Hosts of URLs that are loopback or lead there, and other private ones.
pub(crate) const PRIVATE_HOSTS: [&str; 24] = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "①②⑦.⓪.⓪.①",
    "0.0.0.0",
    "[::1]",
    "[::]",
    "[::7f00:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:0:7f00:1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:4700::5efe:7f00:1]",
    "[fe80::1]",
    "[fd00::1]",
    "10.0.0.1",
    "100.64.0.1",
    "168.63.129.16",
    "169.254.169.254",
    "192.168.0.1",
    "localhost",
];
