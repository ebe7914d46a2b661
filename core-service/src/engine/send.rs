//! One attempt of a delivery: the request, and what became of it.
//!
//! The only file of deliveries that talks to receivers. The request is made by
//! [`signature`], and what an answer means is said by
//! [`outcome`](crate::delivery::outcome).

use std::sync::Arc;
use std::time::Duration;

use egress::client::deliveries::{Answered, Attempted as Exchange, Deliverer};
use egress::error::AttemptFailure;
use http::HeaderValue;
use process::clock::Clock;
use process::exit::chain;
use tokio::time::Instant;

use crate::delivery::finished::{Attempted, Ending, Finished};
use crate::delivery::format::Format;
use crate::delivery::lanes::Place;
use crate::delivery::lease::{Leased, Signing, may_start};
use crate::delivery::metrics::DeliveryMetrics;
use crate::delivery::outcome::{Answer, Next, Outcome, verdict};
use crate::delivery::signature::{self, Request};

/// How much of an answer's body is kept for the owner, in bytes.
const MAX_RESPONSE_BYTES: usize = 1024;

/// What attempts are made with.
pub(crate) struct Sender {
    pub(crate) deliverer: Deliverer,
    /// `--delivery-timeout`.
    pub(crate) timeout: Duration,
    pub(crate) clock: Clock,
    pub(crate) user_agent: HeaderValue,
    pub(crate) metrics: Arc<DeliveryMetrics>,
}

impl Sender {
    /// Makes the attempt that `leased` allows. A failed attempt is a result, not an error. The place is to be
    /// kept until that is written.
    pub(crate) async fn attempt(&self, leased: Leased) -> (Finished, Place) {
        let Leased { delivery, event, webhook, lease, attempt, url, signing, body, place, published, taken } =
            leased;
        let finished = |ending| Finished { delivery, webhook, lease, ending };
        if !may_start(taken.elapsed()) {
            return (finished(Ending::GivenBack), place);
        }
        let tokens = match &signing {
            Signing::None => None,
            Signing::With(tokens) => Some(tokens),
            Signing::Unavailable => return (finished(Ending::NoSecret), place),
        };
        if attempt == 1 {
            self.metrics.first_attempt(published.elapsed());
        }
        let at_ms = self.clock.unix_ms();
        let begun = Instant::now();
        let exchange = if body.is_empty() {
            None
        } else {
            let headers = signature::headers(&Request {
                event_id: event,
                delivery_id: delivery,
                unix_seconds: at_ms.div_euclid(1000),
                body: &body,
                tokens,
                user_agent: &self.user_agent,
            });
            Some(self.deliverer.post(url.expose(), headers, body, begun + self.timeout).await)
        };
        let duration_ms = u32::try_from(begun.elapsed().as_millis()).unwrap_or(u32::MAX);
        let seen = Seen::of(exchange);
        let answer = seen.answered.as_ref().map(|answered| Answer {
            status: answered.status,
            headers: &answered.headers,
            body: &answered.body,
        });
        let verdict = verdict(seen.outcome, answer, Format::of(url.expose()), self.clock.unix_ms());
        let place = place.ended(verdict.next == Next::Done);
        let attempted = Attempted {
            number: attempt,
            at_ms,
            duration_ms,
            outcome: seen.outcome,
            status: seen.answered.as_ref().map(|answered| answered.status.as_u16()),
            response: seen.answered.as_ref().and_then(|answered| response(&answered.body)),
            verdict,
        };
        (finished(Ending::Attempted(attempted)), place)
    }
}

/// What came of a request.
struct Seen {
    outcome: Outcome,
    answered: Option<Answered>,
}

impl Seen {
    /// `None`: there was nothing to send, which is a success.
    fn of(exchange: Option<Exchange>) -> Self {
        let failure = match exchange {
            None => return Self { outcome: Outcome::Ok, answered: None },
            Some(Exchange::Answered(answered)) => {
                return Self { outcome: Outcome::of(answered.status), answered: Some(answered) };
            }
            Some(Exchange::Failed(failure)) => failure,
        };
        tracing::debug!(causes = chain(&failure), "an attempt failed");
        let outcome = match failure {
            AttemptFailure::Timeout(_) => Outcome::Timeout,
            AttemptFailure::Connect(_) => Outcome::Connect,
            AttemptFailure::Tls(_) => Outcome::Tls,
            AttemptFailure::Dns(_) => Outcome::Dns,
            AttemptFailure::Refused(_) => Outcome::Refused,
        };
        Self { outcome, answered: None }
    }
}

/// The beginning of an answer's body as text that every database can store; `None` if there is none.
fn response(body: &[u8]) -> Option<String> {
    let beginning = &body[..body.len().min(MAX_RESPONSE_BYTES)];
    let text = String::from_utf8_lossy(beginning).replace('\0', "\u{fffd}");
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginning_of_an_answer_is_text() {
        for (body, expected) in [
            (&b""[..], None),
            (b"ok", Some("ok".to_owned())),
            (b"a\0b\xffc", Some("a\u{fffd}b\u{fffd}c".to_owned())),
            ("é".repeat(600).as_bytes(), Some("é".repeat(512))),
            // A character that is cut becomes U+FFFD as well.
            (
                ("a".to_owned() + &"é".repeat(600)).as_bytes(),
                Some("a".to_owned() + &"é".repeat(511) + "\u{fffd}"),
            ),
        ] {
            assert_eq!(response(body), expected);
        }
    }
}
