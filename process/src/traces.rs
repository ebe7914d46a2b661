//! Traces: how the parts of one request hang together, over all processes that it goes through.
//!
//! Owns the spans, the one header that carries a trace from process to process (`traceparent`, W3C Trace Context), and
//! the task's current place in a trace. Where spans are sent is [`export`]'s. Spans are made by hand and handed on by
//! hand, rather than by a layer of the log's subscriber: so nothing is global, and without a collector a span is `None`.
//!
//! What a span is called and what it notes is known at start or made here: never a token, a URL, a DID or a body.

pub mod export;

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use opentelemetry::trace::{
    Link, Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags,
    TraceId, TraceState, Tracer as _,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::{SdkTracer, Span as SdkSpan};

/// The header, and the gRPC metadata, that names the span which a request comes from.
pub const TRACEPARENT: &str = "traceparent";
/// A `traceparent` of version 00, in bytes; later versions begin in the same way.
const TRACEPARENT_BYTES: usize = 55;

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// Begins the spans of what comes from outside. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Tracer(Option<SdkTracer>);

/// A span that is under way, or none. It ends when it is dropped.
#[derive(Debug)]
pub struct Span(Option<Box<Active>>);

#[derive(Debug)]
struct Active {
    tracer: SdkTracer,
    span: SdkSpan,
}

/// A place in a trace, below which spans can be begun; or none. Clones are the same place.
#[derive(Debug, Clone, Default)]
pub struct TraceContext(Option<Arc<At>>);

#[derive(Debug)]
struct At {
    tracer: SdkTracer,
    context: SpanContext,
}

impl Tracer {
    /// Makes no spans.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    /// A request with these headers is served. Its span is below the one that `traceparent` names, if that is well
    /// formed, and is recorded if that one is; otherwise it begins a trace.
    #[must_use]
    pub fn serve(&self, name: &str, headers: &HeaderMap) -> Span {
        let Some(tracer) = &self.0 else { return Span::none() };
        begin(tracer, name, SpanKind::Server, parent(headers), Vec::new())
    }
}

impl Span {
    /// No span.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// Where spans go that belong to this one.
    #[must_use]
    pub fn context(&self) -> TraceContext {
        TraceContext(self.0.as_ref().map(|active| {
            let Active { tracer, span } = &**active;
            Arc::new(At { tracer: tracer.clone(), context: span.span_context().clone() })
        }))
    }

    /// Gives it another name.
    pub fn rename(&mut self, name: &str) {
        if let Some(active) = self.recorded() {
            active.span.update_name(name.to_owned());
        }
    }

    /// Notes something that is no secret of anybody.
    pub fn note(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(active) = self.recorded() {
            active.span.set_attribute(KeyValue::new(key, value));
        }
    }

    /// Notes a text; it is copied only if the span is recorded.
    pub fn note_text(&mut self, key: &'static str, text: &str) {
        if let Some(active) = self.recorded() {
            active.span.set_attribute(KeyValue::new(key, text.to_owned()));
        }
    }

    /// What it stands for has failed.
    pub fn fail(&mut self) {
        if let Some(active) = self.recorded() {
            active.span.set_status(Status::error(""));
        }
    }

    fn recorded(&mut self) -> Option<&mut Active> {
        self.0.as_deref_mut().filter(|active| active.span.is_recording())
    }
}

impl TraceContext {
    /// Begins a step of the work at this place.
    #[must_use]
    pub fn step(&self, name: &str) -> Span {
        self.begin(name, SpanKind::Internal)
    }

    /// Begins a call of somebody else: another service, a database.
    #[must_use]
    pub fn call(&self, name: &str) -> Span {
        self.begin(name, SpanKind::Client)
    }

    /// Begins a call that is made for all of `places` at once: it is below the first of them that is recorded, and
    /// linked to each. No span if none is.
    #[must_use]
    pub fn shared_call<'a>(name: &str, places: impl Iterator<Item = &'a Self>) -> Span {
        let recorded = places.filter_map(|place| place.0.as_deref());
        let mut recorded = recorded.filter(|at| at.context.is_sampled()).peekable();
        let Some(first) = recorded.peek() else { return Span::none() };
        let (tracer, parent) = (&first.tracer, Some(first.context.clone()));
        let links = recorded.map(|at| Link::with_context(at.context.clone())).collect();
        begin(tracer, name, SpanKind::Client, parent, links)
    }

    fn begin(&self, name: &str, kind: SpanKind) -> Span {
        let Some(at) = &self.0 else { return Span::none() };
        begin(&at.tracer, name, kind, Some(at.context.clone()), Vec::new())
    }

    /// The value of [`TRACEPARENT`] for what is called from here. `None`: there is no trace.
    #[must_use]
    pub fn traceparent(&self) -> Option<String> {
        let context = &self.0.as_ref()?.context;
        let flags = context.trace_flags() & TraceFlags::SAMPLED;
        let traceparent = format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), flags.to_u8());
        // After the export has ended, spans have no ids.
        context.is_valid().then_some(traceparent)
    }

    /// The id of a trace that is recorded, for the log.
    #[must_use]
    pub fn trace_id(&self) -> Option<String> {
        let at = self.0.as_ref().filter(|at| at.context.is_sampled())?;
        Some(at.context.trace_id().to_string())
    }

    /// Makes this the current place of `work`.
    pub async fn scope<T>(self, work: impl Future<Output = T>) -> T {
        CURRENT.scope(self, work).await
    }

    /// The current place of the task; none outside of [`scope`](Self::scope).
    #[must_use]
    pub fn current() -> Self {
        CURRENT.try_with(Clone::clone).unwrap_or_default()
    }
}

fn begin(
    tracer: &SdkTracer,
    name: &str,
    kind: SpanKind,
    parent: Option<SpanContext>,
    links: Vec<Link>,
) -> Span {
    let builder = SpanBuilder::from_name(name.to_owned()).with_kind(kind).with_links(links);
    let context = match parent {
        Some(parent) => Context::new().with_remote_span_context(parent),
        None => Context::new(),
    };
    let span = tracer.build_with_context(builder, &context);
    Span(Some(Box::new(Active { tracer: tracer.clone(), span })))
}

/// The span that the one well-formed `traceparent` names. `tracestate` is not read: it is a text of the client's.
fn parent(headers: &HeaderMap) -> Option<SpanContext> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    parsed(value)
}

/// W3C Trace Context, section 3.2.2. A later version than 00 may go on after the flags, and ff is none.
fn parsed(value: &HeaderValue) -> Option<SpanContext> {
    let text = value.to_str().ok()?;
    let (known, rest) = text.split_at_checked(TRACEPARENT_BYTES)?;
    let mut parts = known.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |part: &str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let fits = [(version, 2), (trace, 32), (span, 16), (flags, 2)]
        .into_iter()
        .all(|(part, length)| part.len() == length && is_hex(part));
    let ends = if version == "00" { rest.is_empty() } else { rest.is_empty() || rest.starts_with('-') };
    if !fits || !ends || version == "ff" {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let context = SpanContext::new(trace, span, flags, true, TraceState::NONE);
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests;
