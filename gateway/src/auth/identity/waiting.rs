//! Places of calls that wait for a look-up: some of all for each DID, did:web zone and client address, so
//! that none of them keeps the others from waiting.

use std::sync::Arc;

use crate::auth::did::{Did, Method};
use crate::client_address::ClientAddress;
use crate::places::{Place, Places};

/// Calls that wait for look-ups of one DID method.
const MAX_WAITING: usize = 512;
/// … for the look-up of one DID. More than a client address gets, so that forged tokens from one address keep
/// no owner from waiting.
const MAX_WAITING_FOR_DID: usize = 256;
/// … for look-ups of did:webs whose host names have the same last two labels.
const MAX_WAITING_FOR_ZONE: usize = 128;
/// … from one client address.
const MAX_WAITING_FROM_ADDRESS: usize = 128;

/// The places of both DID methods.
pub(super) struct WaitingCalls {
    plc: Waiting,
    web: Waiting,
}

struct Waiting {
    dids: Arc<Places<Did>>,
    zones: Arc<Places<String>>,
    addresses: Arc<Places<ClientAddress>>,
}

/// The place of a call that waits.
pub(super) struct WaitingCall {
    _did: Place<Did>,
    _zone: Option<Place<String>>,
    _address: Place<ClientAddress>,
}

impl WaitingCalls {
    pub(super) fn new() -> Self {
        Self { plc: Waiting::new(), web: Waiting::new() }
    }

    /// Takes a place for a call from `client` that waits for the look-up of `did`.
    pub(super) fn take(&self, did: &Did, client: ClientAddress) -> Option<WaitingCall> {
        let (waiting, zone) = match did.method() {
            Method::Plc => (&self.plc, None),
            Method::Web { host, port: _ } => (&self.web, Some(zone(host))),
        };
        let zone = match zone {
            Some(zone) => Some(waiting.zones.take(zone)?),
            None => None,
        };
        let (did, address) = (waiting.dids.take(did.clone())?, waiting.addresses.take(client)?);
        Some(WaitingCall { _did: did, _zone: zone, _address: address })
    }
}

impl Waiting {
    fn new() -> Self {
        Self {
            dids: Places::new(MAX_WAITING, MAX_WAITING_FOR_DID),
            zones: Places::new(MAX_WAITING, MAX_WAITING_FOR_ZONE),
            addresses: Places::new(MAX_WAITING, MAX_WAITING_FROM_ADDRESS),
        }
    }
}

/// The last two labels of a host name: who has a name can make any number of names below it.
fn zone(host: &str) -> String {
    let start = host.rmatch_indices('.').nth(1).map_or(0, |(dot, _)| dot + 1);
    host[start..].to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn client(number: u8) -> ClientAddress {
        ClientAddress::new(IpAddr::from([192, 0, 2, number]))
    }

    /// How many of these calls get a place at the same time.
    fn places(calls: impl Iterator<Item = (String, u8)>) -> usize {
        let waiting = WaitingCalls::new();
        let taken = calls.filter_map(|(did, number)| waiting.take(&did.parse().unwrap(), client(number)));
        taken.collect::<Vec<_>>().len()
    }

    #[test]
    fn nobody_takes_all() {
        let numbers = || (0..=255_u8).cycle().zip(0..1_000);
        assert_eq!(places(numbers().map(|(address, _)| ("did:plc:a".to_owned(), address))), 256);
        assert_eq!(places(numbers().map(|(_, n)| (format!("did:plc:a{n}"), 1))), 128);
        assert_eq!(places(numbers().map(|(address, n)| (format!("did:plc:a{n}"), address))), 512);
        assert_eq!(
            places(numbers().map(|(address, n)| (format!("did:web:a{n}.Evil.example"), address))),
            128
        );
        assert_eq!(
            places(numbers().map(|(address, n)| (format!("did:web:e.example%3A{}", n + 1), address))),
            128
        );
        assert_eq!(places(numbers().map(|(address, n)| (format!("did:web:a{n}.example"), address))), 512);
    }

    #[test]
    fn invented_did_webs_take_no_place_of_a_did_plc() {
        let waiting = WaitingCalls::new();
        let web = |n: u16| format!("did:web:a{n}.example").parse().unwrap();
        let taken: Vec<_> =
            (0..512).filter_map(|n| waiting.take(&web(n), client(n.to_be_bytes()[1]))).collect();
        assert_eq!(taken.len(), 512);
        assert!(waiting.take(&web(999), client(1)).is_none());
        assert!(waiting.take(&"did:plc:a".parse().unwrap(), client(1)).is_some());
    }

    #[test]
    fn zones() {
        for (host, expected) in
            [("a.b.Example.com", "example.com"), ("example.com", "example.com"), ("localhost", "localhost")]
        {
            assert_eq!(zone(host), expected);
        }
    }
}
