//! Converts between RFC 3339 text and `google.protobuf.Timestamp`.

use std::ops::RangeInclusive;

use chrono::{DateTime, SecondsFormat};
use prost_reflect::{DynamicMessage, MessageDescriptor};
use prost_types::Timestamp;
use shrike::syntax::Datetime;

/// The range of a Timestamp: 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z.
const VALID_SECONDS: RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
const VALID_NANOS: RangeInclusive<i32> = 0..=999_999_999;

/// Parses a lexicon datetime (<https://atproto.com/specs/lexicon#datetime>) into a Timestamp, whose
/// descriptor is `descriptor`. `None` if the text is no datetime, the date does not exist, or a Timestamp
/// can't hold it.
pub(crate) fn read(text: &str, descriptor: &MessageDescriptor) -> Option<DynamicMessage> {
    // shrike checks the grammar, and prost parses the date.
    Datetime::parse(text).ok()?;
    let timestamp: Timestamp = text.parse().ok()?;
    if !VALID_SECONDS.contains(&timestamp.seconds) {
        return None;
    }
    let mut message = DynamicMessage::new(descriptor.clone());
    message.transcode_from(&timestamp).ok()?;
    Some(message)
}

/// Formats a Timestamp in UTC with milliseconds and `Z`. `None` if it is out of range.
pub(crate) fn write(message: &DynamicMessage) -> Option<String> {
    let Timestamp { seconds, nanos } = message.transcode_to().ok()?;
    if !VALID_SECONDS.contains(&seconds) || !VALID_NANOS.contains(&nanos) {
        return None;
    }
    let time = DateTime::from_timestamp(seconds, nanos.cast_unsigned())?;
    Some(time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
    use prost_reflect::{DescriptorPool, MessageDescriptor};

    use super::{read, write};

    static TIMESTAMP: LazyLock<MessageDescriptor> = LazyLock::new(|| {
        let timestamp = DescriptorPool::global().get_message_by_name("google.protobuf.Timestamp");
        timestamp.expect("every pool has the well-known types")
    });

    fn normalised(text: &str) -> Option<String> {
        let timestamp = read(text, &TIMESTAMP)?;
        Some(write(&timestamp).expect("what was read can be written"))
    }

    #[test]
    fn lexicon_datetimes() {
        for (text, expected) in [
            ("1985-04-12T23:20:50.123Z", "1985-04-12T23:20:50.123Z"),
            ("1985-04-12T23:20:50Z", "1985-04-12T23:20:50.000Z"),
            ("1985-04-12T23:20:50.1Z", "1985-04-12T23:20:50.100Z"),
            ("1985-04-12T23:20:50.9999999999999Z", "1985-04-12T23:20:50.999Z"),
            ("1985-04-12T23:20:50.123-07:00", "1985-04-13T06:20:50.123Z"),
            ("1985-04-12T23:20:50.123+01:45", "1985-04-12T21:35:50.123Z"),
            ("1985-04-12T23:20:50.123-01:45", "1985-04-13T01:05:50.123Z"),
            ("1985-04-12T23:20:50.123+00:00", "1985-04-12T23:20:50.123Z"),
            ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000Z"),
            ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.500Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
            ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.000Z"),
            // The interop test vectors of AT Protocol, except the one below with the year 0.
            ("1985-04-12T23:20:50.1235678912345Z", "1985-04-12T23:20:50.123Z"),
            ("1985-04-12T23:20:50.123456789012Z", "1985-04-12T23:20:50.123Z"),
            ("1985-04-12T23:20:50.0Z", "1985-04-12T23:20:50.000Z"),
            ("1985-04-12T23:20:50.123+07:00", "1985-04-12T16:20:50.123Z"),
            ("0985-04-12T23:20:50.123-07:00", "0985-04-13T06:20:50.123Z"),
            ("0123-01-01T00:00:00.000Z", "0123-01-01T00:00:00.000Z"),
            ("0010-12-31T23:00:00.000Z", "0010-12-31T23:00:00.000Z"),
            ("1000-12-31T23:00:00.000Z", "1000-12-31T23:00:00.000Z"),
            ("3001-12-31T23:00:00.000Z", "3001-12-31T23:00:00.000Z"),
        ] {
            assert_eq!(normalised(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_texts() {
        for text in [
            "",
            "1985",
            "1985-04-12",
            "1985-04-12T23:20Z",
            "1985-04-12T23:20:50",
            "1985-04-12 23:20:50Z",
            "1985-04-12t23:20:50z",
            "1985-04-12T23:20:50.Z",
            "1985-04-12T23:20:50-00:00",
            "1985-04-12T23:20:50+0100",
            "1985-04-31T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "1985-13-12T00:00:00Z",
            "1985-00-12T00:00:00Z",
            "1985-04-12T24:00:00Z",
            "1985-04-12T23:20:61Z",
            "0000-12-31T23:59:59Z",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "+1985-04-12T23:20:50Z",
            "1985-04-12T23:20:50Z ",
            "١٩٨٥-04-12T23:20:50Z",
            // The interop test vectors of AT Protocol. The first is a valid datetime that no Timestamp can
            // hold.
            "0000-01-01T00:00:00.000Z",
            "0000-01-01T00:00:00+01:00",
            "1985-04-12T23:20:50.123z",
            "01985-04-12T23:20:50.123Z",
            "985-04-12T23:20:50.123Z",
            "1985-04-32T23;20:50.123Z",
            "1985—04-32T23;20:50.123Z",
            " 1985-04-12T23:20:50.123Z",
            "1985-04-12T 23:20:50.123Z",
            "1985-4-12T23:20:50.123Z",
            "1985-04-2T23:20:50.123Z",
            "1985-04-12T3:20:50.123Z",
            "1985-04-12T23:0:50.123Z",
            "1985-04-12T23:20:5.123Z",
            "1985-004-12T23:20:50.123Z",
            "1985-04-012T23:20:50.123Z",
            "1985-04-12T023:20:50.123Z",
            "1985-04-12T23:020:50.123Z",
            "1985-04-12T23:20:050.123Z",
            "1985-04-12_23:20:50.123Z",
            "1985-04-274T23:20:50.123Z",
            "1985-04-12T23:20:50.123",
            "+001985-04-12T23:20:50.123Z",
            "-000001-12-31T23:00:00.000Z",
            "23:20:50.123Z",
            "1985-04-12T23:20:50.123+00",
            "1985-04-12T23:20:50.123+00:0",
            "1985-04-12T23:20:50.123+0:00",
            "1985-04-12T23:20:50.123+",
            "1985-04-12T23:20:50.123-",
            "1985-04-00T23:20:50.123Z",
            "1985-04-12T25:20:50.123Z",
            "1985-04-12T23:99:50.123Z",
        ] {
            assert_eq!(normalised(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            prop_assert!(normalised(&text).is_none());
        }

        #[test]
        fn what_was_written_stays_as_it_is(text in "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,12})?(Z|[+-][01][0-9]:[0-5][0-9])") {
            if let Some(once) = normalised(&text) {
                prop_assert_eq!(normalised(&once), Some(once));
            }
        }
    }
}
