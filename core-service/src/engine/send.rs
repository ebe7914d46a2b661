//! One attempt of a delivery: the request, and what became of it.
//!
//! The only file of deliveries that talks to receivers. The request is made by
//! [`signature`], and what an answer means is said by
//! [`outcome`](crate::delivery::outcome).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use egress::client::deliveries::{Answered, Attempted as Exchange, Deliverer};
use egress::error::AttemptFailure;
use http::HeaderValue;
use process::clock::Clock;
use process::exit::chain;
use process::traces::{Span, TraceContext, Tracer};
use tokio::time::Instant;
use uuid::Uuid;

use crate::delivery::finished::{Attempted, Ending, Finished};
use crate::delivery::format::Format;
use crate::delivery::lanes::Place;
use crate::delivery::lease::{Leased, Signing, may_start};
use crate::delivery::metrics::DeliveryMetrics;
use crate::delivery::outcome::{Answer, Next, Outcome, verdict};
use crate::delivery::signature::{self, Request};

/// How much of an answer's body is kept for the owner, in bytes.
const MAX_RESPONSE_BYTES: usize = 1024;
/// The name of an attempt's span.
const SPAN: &str = "delivery attempt";

/// What attempts are made with.
pub(crate) struct Sender {
    pub(crate) deliverer: Deliverer,
    /// `--delivery-timeout`.
    pub(crate) timeout: Duration,
    pub(crate) clock: Clock,
    pub(crate) user_agent: HeaderValue,
    pub(crate) metrics: Arc<DeliveryMetrics>,
    pub(crate) tracer: Tracer,
}

/// An attempt that was made, or not begun.
pub(crate) struct Made {
    pub(crate) finished: Finished,
    /// To be kept until that is written.
    pub(crate) place: Place,
    /// The context of the attempt's span.
    pub(crate) trace: TraceContext,
}

impl Sender {
    /// Makes the attempt that `leased` allows. A failed attempt is a result, not an error. Its span is a
    /// child of the span of the call that published the event; the receiver hears nothing of it.
    pub(crate) async fn attempt(&self, leased: Leased<Bytes>) -> Made {
        let Leased {
            delivery,
            event,
            webhook,
            lease,
            attempt,
            url,
            signing,
            body,
            place,
            traceparent,
            published,
            taken,
        } = leased;
        let finished = |ending| Finished { delivery, webhook, lease, ending };
        let not_begun = |ending, place| {
            tracing::debug!(%delivery, %webhook, ?ending, "an attempt was not begun");
            Made { finished: finished(ending), place, trace: TraceContext::default() }
        };
        if !may_start(taken.elapsed()) {
            return not_begun(Ending::GivenBack, place);
        }
        let tokens = match &signing {
            Signing::None => None,
            Signing::With(tokens) => Some(tokens),
            Signing::Unavailable => return not_begun(Ending::NoSecret, place),
        };
        if attempt == 1 {
            self.metrics.first_attempt(published.elapsed());
        }
        let mut span = self.tracer.resume(traceparent.as_deref()).call(SPAN);
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
        let status = seen.answered.as_ref().map(|answered| answered.status.as_u16());
        let trace = span.context();
        tracing::debug!(
            %delivery,
            %webhook,
            attempt,
            outcome = %seen.outcome,
            status,
            duration_ms,
            causes = seen.causes.as_deref(),
            trace_id = trace.trace_id(),
            "attempt ended"
        );
        note(&mut span, delivery, webhook, attempt, seen.outcome, status);
        let attempted = Attempted {
            number: attempt,
            at_ms,
            duration_ms,
            outcome: seen.outcome,
            status,
            response: seen.answered.as_ref().and_then(|answered| response(&answered.body)),
            verdict,
        };
        Made { finished: finished(Ending::Attempted(attempted)), place, trace }
    }
}

/// Writes into the span of an attempt what is known of it, without the URL and the body.
fn note(span: &mut Span, delivery: Uuid, webhook: Uuid, attempt: u32, outcome: Outcome, status: Option<u16>) {
    span.note_text("athook.delivery_id", &delivery.to_string());
    span.note_text("athook.webhook_id", &webhook.to_string());
    span.note("athook.attempt", i64::from(attempt));
    span.note_text("athook.outcome", outcome.as_str());
    if let Some(status) = status {
        span.note("http.response.status_code", i64::from(status));
    }
    if outcome != Outcome::Ok {
        span.fail();
    }
}

/// What came of a request.
struct Seen {
    outcome: Outcome,
    answered: Option<Answered>,
    /// Why there is no answer.
    causes: Option<String>,
}

impl Seen {
    /// `None`: there was nothing to send, which is a success.
    fn of(exchange: Option<Exchange>) -> Self {
        let failure = match exchange {
            None => return Self { outcome: Outcome::Ok, answered: None, causes: None },
            Some(Exchange::Answered(answered)) => {
                let outcome = Outcome::of(answered.status);
                return Self { outcome, answered: Some(answered), causes: None };
            }
            Some(Exchange::Failed(failure)) => failure,
        };
        let causes = Some(chain(&failure));
        let outcome = match failure {
            AttemptFailure::Timeout(_) => Outcome::Timeout,
            AttemptFailure::Connect(_) => Outcome::Connect,
            AttemptFailure::Tls(_) => Outcome::Tls,
            AttemptFailure::Dns(_) => Outcome::Dns,
            AttemptFailure::Refused(_) => Outcome::Refused,
        };
        Self { outcome, answered: None, causes }
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
