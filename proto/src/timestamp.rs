//! Milliseconds as `google.protobuf.Timestamp`.

use prost_types::Timestamp;

/// The moment `unix_ms` milliseconds after 1970-01-01T00:00:00Z.
#[must_use]
pub fn of_unix_ms(unix_ms: i64) -> Timestamp {
    let nanos = unix_ms.rem_euclid(1000) * 1_000_000;
    Timestamp {
        seconds: unix_ms.div_euclid(1000),
        nanos: i32::try_from(nanos).expect("a thousandth of a second has less than 2^31 nanoseconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_kept() {
        for (unix_ms, seconds, nanos) in
            [(1_700_000_000_123, 1_700_000_000, 123_000_000), (-1, -1, 999_000_000)]
        {
            assert_eq!(of_unix_ms(unix_ms), Timestamp { seconds, nanos });
        }
    }
}
