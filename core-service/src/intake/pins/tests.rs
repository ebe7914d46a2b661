//! What waits for what, and what happens when too much does.

use uuid::Uuid;

use super::*;
use crate::delivery::event::{Payload, StreamReceived};
use crate::domain::event_type::EventType;

fn did(name: &str) -> Did {
    format!("did:plc:{name}").parse().unwrap()
}

fn chat(streamer: &str) -> Candidate {
    Candidate {
        id: Uuid::nil(),
        streamer: did(streamer),
        author: did("author"),
        event_type: EventType::Chat,
        time_us: 0,
        verdict: Ok(Payload::StreamReceived(StreamReceived {})),
        check: Check::BlocksAndAccess,
    }
}

#[test]
fn chat_waits_for_its_verifiers() {
    let mut pins = Pins { verifiers: [(did("a"), vec![did("v")])].into(), ..Pins::default() };
    assert!(pins.list(&did("a"), MirrorKind::Access) && pins.list(&did("v"), MirrorKind::Verification));
    assert!(!pins.list(&did("v"), MirrorKind::Verification));
    assert_eq!(pins.keep_back(chat("a"), None), None);
    assert_eq!(pins.keep_back(chat("b"), None), Some(chat("b")));
    assert_eq!(pins.listed(did("a"), MirrorKind::Access), []);
    assert_eq!(pins.listed(did("v"), MirrorKind::Verification), [chat("a")]);
    assert_eq!(pins.keep_back(chat("a"), None), Some(chat("a")));
}

#[test]
fn flood_in_one_chat_ends_the_wait_of_that_one_alone() {
    let mut pins = Pins::default();
    for streamer in ["a", "b"] {
        pins.list(&did(streamer), MirrorKind::Block);
    }
    assert_eq!(pins.keep_back(chat("a"), None), None);
    for _ in 1..MAX_WAITING {
        assert!(!pins.is_full());
        assert_eq!(pins.keep_back(chat("b"), None), None);
    }
    assert!(pins.is_full());
    let (streamer, ready) = pins.give_up().unwrap();
    assert_eq!((streamer, ready.len()), (did("b"), MAX_WAITING - 1));
    assert!(!pins.is_full());
    assert_eq!(pins.keep_back(chat("b"), None), Some(chat("b")));
    assert_eq!(pins.keep_back(chat("a"), None), None);
    // Listed anew, it waits again.
    pins.listed(did("b"), MirrorKind::Block);
    pins.list(&did("b"), MirrorKind::Block);
    assert_eq!(pins.keep_back(chat("b"), None), None);
}
