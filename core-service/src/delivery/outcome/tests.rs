//! The rules for outcomes and answers.

use super::*;

/// Sat, 28 Nov 2026 20:15:00 GMT.
const NOW_MS: i64 = 1_795_896_900_000;
const DAY: Duration = Duration::from_hours(24);

fn verdict_of(format: Format, status: u16, fields: &[(&'static str, &str)], body: &str) -> Verdict {
    let status = StatusCode::from_u16(status).unwrap();
    let headers: HeaderMap =
        fields.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
    let answer = Answer { status, headers: &headers, body: body.as_bytes() };
    verdict(Outcome::of(status), Some(answer), format, NOW_MS)
}

fn retry(after: Duration) -> Next {
    Next::Retry { after }
}

fn hold(scope: HoldScope, time: Duration) -> Option<Hold> {
    Some(Hold { scope, time: Some(time) })
}

#[test]
fn words() {
    for word in ["ok", "http", "timeout", "connect", "tls", "dns", "refused", "lost", "secret", "cancelled"] {
        assert_eq!(word.parse::<Outcome>().unwrap().to_string(), word);
    }
    assert_eq!("OK".parse::<Outcome>(), Err(NoOutcome));
}

#[test]
fn every_status() {
    for status in 100..1000 {
        let (next, counts_as_error) = match status {
            200..=299 => (Next::Done, false),
            429 => (RETRY, false),
            408 | 409 | 423 | 425 => (RETRY, true),
            410 => (Next::EndAndDisable, true),
            400..=499 => (Next::End, true),
            _ => (RETRY, true),
        };
        for format in [Format::Discord, Format::Slack, Format::Json] {
            let verdict = verdict_of(format, status, &[], "");
            assert_eq!((verdict.next, verdict.counts_as_error), (next, counts_as_error), "{status}");
            let held = (status == 429).then_some(Hold { scope: HoldScope::Webhook, time: None });
            assert_eq!(verdict.hold, held, "{status}");
        }
    }
}

#[test]
fn without_an_answer() {
    let wait = Next::Wait { after: Duration::from_mins(10) };
    for (outcome, next, counts_as_error) in [
        (Outcome::Ok, Next::Done, false),
        (Outcome::Timeout, RETRY, true),
        (Outcome::Connect, RETRY, true),
        (Outcome::Tls, RETRY, true),
        (Outcome::Dns, RETRY, true),
        (Outcome::Refused, RETRY, true),
        (Outcome::Lost, RETRY, true),
        (Outcome::Secret, wait, false),
        (Outcome::Cancelled, Next::End, false),
    ] {
        let expected = Verdict { next, counts_as_error, hold: None };
        assert_eq!(verdict(outcome, None, Format::Discord, NOW_MS), expected, "{outcome}");
    }
}

#[test]
fn retry_after_of_any_receiver() {
    let seconds = Duration::from_secs;
    for (text, expected) in [
        ("3", seconds(3)),
        (" 3 ", seconds(3)),
        ("0", Duration::ZERO),
        ("1.5", Duration::from_millis(1500)),
        ("86400", DAY),
        ("86401", DAY),
        ("99999999999999999999999", DAY),
        // The three forms of a date.
        ("Sat, 28 Nov 2026 20:16:00 GMT", seconds(60)),
        ("Saturday, 28-Nov-26 20:16:00 GMT", seconds(60)),
        ("Sat Nov 28 20:16:00 2026", seconds(60)),
        ("Sat, 28 Nov 2026 20:14:59 GMT", Duration::ZERO),
        ("Thu, 01 Jan 2099 00:00:00 GMT", DAY),
        ("", Duration::ZERO),
        ("-3", Duration::ZERO),
        ("1e9", Duration::ZERO),
        ("inf", Duration::ZERO),
        ("NaN", Duration::ZERO),
        (".", Duration::ZERO),
        ("soon", Duration::ZERO),
    ] {
        for status in [302, 429, 503] {
            let verdict = verdict_of(Format::Json, status, &[("retry-after", text)], "");
            assert_eq!(verdict.next, retry(expected), "{text:?}");
        }
    }
    let verdict = verdict_of(Format::Json, 429, &[("retry-after", "3")], "");
    assert_eq!(verdict.hold, hold(HoldScope::Webhook, seconds(3)));
    // Only a 429 holds the webhook.
    assert_eq!(verdict_of(Format::Json, 503, &[("retry-after", "3")], "").hold, None);
    assert_eq!(verdict_of(Format::Json, 404, &[("retry-after", "3")], "").next, Next::End);
}

#[test]
fn deleted_webhook_of_discord() {
    let body = r#"{"message": "Unknown Webhook", "code": 10015}"#;
    assert_eq!(verdict_of(Format::Discord, 404, &[], body).next, Next::EndAndDisable);
    for (format, status, body) in [
        (Format::Json, 404, body),
        (Format::Slack, 404, body),
        (Format::Discord, 403, body),
        (Format::Discord, 404, r#"{"message": "Unknown Channel", "code": 10003}"#),
        (Format::Discord, 404, r#"{"code": "10015"}"#),
        (Format::Discord, 404, "10015"),
    ] {
        assert_eq!(verdict_of(format, status, &[], body).next, Next::End, "{format:?} {status} {body}");
    }
}

#[test]
fn rate_limits_of_discord() {
    let ms = Duration::from_millis;
    for (fields, body, scope, time) in [
        (
            [("retry-after", "1")].as_slice(),
            r#"{"retry_after": 1.337, "global": false}"#,
            HoldScope::Webhook,
            ms(1337),
        ),
        (
            &[("retry-after", "65")],
            r#"{"retry_after": 64.57, "global": false}"#,
            HoldScope::Webhook,
            ms(65_000),
        ),
        (&[("x-ratelimit-reset-after", "2.5")], "", HoldScope::Webhook, ms(2_500)),
        (&[], r#"{"retry_after": 1e300}"#, HoldScope::Webhook, DAY),
        (&[], r#"{"retry_after": -1}"#, HoldScope::Webhook, Duration::ZERO),
        (&[("retry-after", "3"), ("x-ratelimit-scope", "shared")], "{", HoldScope::Webhook, ms(3_000)),
        (&[("retry-after", "3"), ("x-ratelimit-scope", "global")], "", HoldScope::Discord, ms(3_000)),
        (&[("retry-after", "3"), ("x-ratelimit-global", "true")], "", HoldScope::Discord, ms(3_000)),
        (&[], r#"{"retry_after": 3, "global": true}"#, HoldScope::Discord, ms(3_000)),
    ] {
        let verdict = verdict_of(Format::Discord, 429, fields, body);
        let expected = Verdict { next: retry(time), counts_as_error: false, hold: hold(scope, time) };
        assert_eq!(verdict, expected, "{fields:?} {body}");
    }
    // Somebody who is not Discord can't hold its webhooks.
    let verdict = verdict_of(Format::Json, 429, &[("x-ratelimit-scope", "global")], r#"{"retry_after": 9}"#);
    assert_eq!(verdict.hold, Some(Hold { scope: HoldScope::Webhook, time: None }));
}

#[test]
fn holds_before_discord_refuses() {
    let of = |format, status, remaining, reset_after| {
        let fields = [("x-ratelimit-remaining", remaining), ("x-ratelimit-reset-after", reset_after)];
        verdict_of(format, status, &fields, "").hold
    };
    let held = |ms| hold(HoldScope::Webhook, Duration::from_millis(ms));
    assert_eq!(of(Format::Discord, 204, "0", "1.25"), held(1_250));
    assert_eq!(of(Format::Discord, 400, "0", "2"), held(2_000));
    assert_eq!(of(Format::Discord, 204, "0", "1000000"), hold(HoldScope::Webhook, DAY));
    assert_eq!(of(Format::Discord, 204, "1", "1.25"), None);
    assert_eq!(of(Format::Discord, 204, "0", "soon"), None);
    assert_eq!(of(Format::Json, 204, "0", "1.25"), None);
}
