//! The parser against anything.

use std::sync::Arc;

use jetstream::event::{Kind, Operation, Wire};
use jetstream::frame::{Frame, parse};
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

fn wires() -> impl Strategy<Value = Wire> {
    prop_oneof![Just(Wire::V1), Just(Wire::V2)]
}

fn host() -> Arc<str> {
    "ws://a.example/subscribe".into()
}

fn text(wire: Wire, rev: &str, collection: &str, rkey: &str, record: &str, number: i64) -> String {
    let commit = format!(
        r#""rev":"{rev}","operation":"create","collection":"{collection}","rkey":"{rkey}","record":{record}"#
    );
    match wire {
        Wire::V1 => format!(
            r#"{{"did":"did:plc:abc","time_us":{},"kind":"commit","commit":{{{commit}}}}}"#,
            number + 1_700_000_000_000_000
        ),
        Wire::V2 => format!(
            r#"{{"$type":"message","payload":{{"$type":"network.bsky.jetstream.subscribeEvents#commit","seq":{number},"did":"did:plc:abc","time":"2026-11-29T12:00:00.000001Z",{commit}}}}}"#
        ),
    }
}

proptest! {
    #[test]
    fn bytes_do_not_stop_it(wire in wires(), bytes in any::<Vec<u8>>()) {
        let _ = parse(wire, &host(), &bytes);
    }

    #[test]
    fn frames_that_are_cut_or_changed_do_not_stop_it(
        wire in wires(),
        at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let mut frame = text(wire, "3kabc", "a.b.c", "x", r#"{"a":[1,"ä"]}"#, 5).into_bytes();
        let at = at.index(frame.len());
        frame[at] = byte;
        if cut {
            frame.truncate(at);
            assert!(matches!(parse(wire, &host(), &frame), Frame::Unreadable(_)), "no half frame is an event");
        }
        let _ = parse(wire, &host(), &frame);
    }

    #[test]
    fn what_is_written_is_read(
        wire in wires(),
        rev in "[2-7a-z]{13}",
        collection in "[a-z]{1,9}\\.[a-z]{1,9}\\.[a-zA-Z]{1,9}",
        rkey in "[a-zA-Z0-9_~:-]{1,512}",
        record in "\\{\"text\":\"[^\"\\\\\\x00-\\x1f]{0,40}\"\\}",
        number in 0_i64..1_000_000_000,
    ) {
        let frame = text(wire, &rev, &collection, &rkey, &record, number);
        let Frame::Event(event) = parse(wire, &host(), frame.as_bytes()) else { panic!("no event: {frame}") };
        assert_eq!(event.did, "did:plc:abc");
        assert_eq!(event.position.wire, wire);
        let expected = match wire {
            Wire::V1 => (number + 1_700_000_000_000_000, number + 1_700_000_000_000_000),
            Wire::V2 => (number, 1_795_953_600_000_001),
        };
        assert_eq!((event.position.cursor, event.position.time_us), expected);
        let Kind::Commit(commit) = event.kind else { panic!("no commit") };
        assert_eq!((commit.rev, commit.operation), (rev, Operation::Create));
        assert_eq!((commit.collection, commit.rkey), (collection, rkey));
        assert_eq!(commit.record.unwrap().get(), record);
    }
}

#[test]
fn witnessed_time_counts_where_there_is_one() {
    let frame = text(Wire::V2, "3kabc", "a.b.c", "x", "{}", 5);
    for witnessed in [r#""2026-11-29T13:00:00.000002Z""#, "1795957200000002"] {
        let frame = frame.replace(r#""seq""#, &format!(r#""witnessedAt":{witnessed},"seq""#));
        let Frame::Event(event) = parse(Wire::V2, &host(), frame.as_bytes()) else { panic!("no event") };
        assert_eq!(event.position.time_us, 1_795_957_200_000_002, "{witnessed}");
    }
}
