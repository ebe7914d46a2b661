//! Traces: spans that show how the parts of one request belong together, across processes.
//!
//! Owns the spans, the `traceparent` header that carries a trace from process to process (W3C Trace Context),
//! and the current trace context of a task. [`export`] sends the spans. Spans are created and passed on
//! explicitly, not by a layer of the log subscriber: nothing is global, and without a collector a span is
//! `None`.
//!
//! Span names and attributes are constants or made by athook. None holds a token, a URL, a DID or a body.

pub mod export;

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use opentelemetry::trace::{
    Link, Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags,
    TraceId, TraceState, Tracer as _,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::{SdkTracer, Span as SdkSpan};

/// The HTTP header and gRPC metadata key that carries the trace id and the caller's span id.
pub const TRACEPARENT: &str = "traceparent";
/// The length of a `traceparent` of version 00, in bytes. Later versions begin the same way and may be
/// longer.
const TRACEPARENT_BYTES: usize = 55;

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// Starts the spans of incoming requests. Clones are the same tracer.
#[derive(Debug, Clone)]
pub struct Tracer(Option<SdkTracer>);

/// A running span, or none. It ends when it is dropped.
#[derive(Debug)]
pub struct Span(Option<Box<Active>>);

#[derive(Debug)]
struct Active {
    tracer: SdkTracer,
    span: SdkSpan,
}

/// The position of a span in its trace, under which child spans can be started; or none. Clones are the same
/// context.
#[derive(Debug, Clone, Default)]
pub struct TraceContext(Option<Arc<Parent>>);

#[derive(Debug)]
struct Parent {
    tracer: SdkTracer,
    context: SpanContext,
}

impl Tracer {
    /// A tracer that starts no spans.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    /// Whether it starts spans.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The context of a span that another process may have started, perhaps days ago: for work that was left
    /// for later. `traceparent` is what [`TraceContext::sampled_traceparent`] gave. No context if there is
    /// none or it is malformed.
    #[must_use]
    pub fn resume(&self, traceparent: Option<&str>) -> TraceContext {
        let context = traceparent.and_then(|text| parse(&HeaderValue::from_str(text).ok()?));
        let (Some(tracer), Some(context)) = (&self.0, context) else { return TraceContext::default() };
        TraceContext(Some(Arc::new(Parent { tracer: tracer.clone(), context })))
    }

    /// Starts the span of a request with these headers. With a well-formed `traceparent` it is a child of
    /// that span, and sampled if that span is. Otherwise it starts a new trace.
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

    /// The context for children of this span.
    #[must_use]
    pub fn context(&self) -> TraceContext {
        TraceContext(self.0.as_ref().map(|active| {
            let Active { tracer, span } = &**active;
            Arc::new(Parent { tracer: tracer.clone(), context: span.span_context().clone() })
        }))
    }

    /// Changes the name.
    pub fn rename(&mut self, name: &str) {
        if let Some(active) = self.recorded() {
            active.span.update_name(name.to_owned());
        }
    }

    /// Sets an attribute. The value must not be confidential.
    pub fn note(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(active) = self.recorded() {
            active.span.set_attribute(KeyValue::new(key, value));
        }
    }

    /// Sets an attribute to a text, which is copied only if the span is recorded.
    pub fn note_text(&mut self, key: &'static str, text: &str) {
        if let Some(active) = self.recorded() {
            active.span.set_attribute(KeyValue::new(key, text.to_owned()));
        }
    }

    /// Sets the status to error.
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
    /// Starts a child span for a part of the work in this process.
    #[must_use]
    pub fn step(&self, name: &str) -> Span {
        self.begin(name, SpanKind::Internal)
    }

    /// Starts a child span for a call to something outside this process: another service, a database.
    #[must_use]
    pub fn call(&self, name: &str) -> Span {
        self.begin(name, SpanKind::Client)
    }

    /// Starts the span of one call that serves all of `contexts`, such as a shared database transaction. It
    /// is a child of the first sampled context and linked to every sampled one. Without a sampled context
    /// there is no span.
    #[must_use]
    pub fn shared_call<'a>(name: &str, contexts: impl Iterator<Item = &'a Self>) -> Span {
        let parents = contexts.filter_map(|context| context.0.as_deref());
        let mut sampled = parents.filter(|parent| parent.context.is_sampled()).peekable();
        let Some(first) = sampled.peek() else { return Span::none() };
        let (tracer, parent) = (&first.tracer, Some(first.context.clone()));
        let links = sampled.map(|parent| Link::with_context(parent.context.clone())).collect();
        begin(tracer, name, SpanKind::Client, parent, links)
    }

    fn begin(&self, name: &str, kind: SpanKind) -> Span {
        let Some(parent) = &self.0 else { return Span::none() };
        begin(&parent.tracer, name, kind, Some(parent.context.clone()), Vec::new())
    }

    /// The value of [`TRACEPARENT`] for outgoing calls. `None`: there is no trace.
    #[must_use]
    pub fn traceparent(&self) -> Option<String> {
        let context = &self.0.as_ref()?.context;
        let flags = context.trace_flags() & TraceFlags::SAMPLED;
        let traceparent = format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), flags.to_u8());
        // Spans that start after the exporter has ended have no ids.
        context.is_valid().then_some(traceparent)
    }

    /// The same for work that is left for later ([`Tracer::resume`]). `None`: the trace is not sampled.
    #[must_use]
    pub fn sampled_traceparent(&self) -> Option<String> {
        self.0.as_ref().filter(|parent| parent.context.is_sampled())?;
        self.traceparent()
    }

    /// The trace id for the log. `None`: the trace is not sampled.
    #[must_use]
    pub fn trace_id(&self) -> Option<String> {
        let parent = self.0.as_ref().filter(|parent| parent.context.is_sampled())?;
        Some(parent.context.trace_id().to_string())
    }

    /// Runs `work` with this as its current context.
    pub async fn scope<T>(self, work: impl Future<Output = T>) -> T {
        CURRENT.scope(self, work).await
    }

    /// The current context of the task; none outside of [`scope`](Self::scope).
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

/// The parent span in the `traceparent` header; none if it is malformed or given twice. `tracestate` is
/// ignored: it would pass a client's text on to the collector.
fn parent(headers: &HeaderMap) -> Option<SpanContext> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    parse(value)
}

/// Parses a `traceparent` (W3C Trace Context, section 3.2.2). A version later than 00 may have more after the
/// flags; version ff is invalid.
fn parse(value: &HeaderValue) -> Option<SpanContext> {
    let text = value.to_str().ok()?;
    let (known, rest) = text.split_at_checked(TRACEPARENT_BYTES)?;
    let mut parts = known.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |part: &str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let well_formed = [(version, 2), (trace, 32), (span, 16), (flags, 2)]
        .into_iter()
        .all(|(part, length)| part.len() == length && is_hex(part));
    let end_is_valid =
        if version == "00" { rest.is_empty() } else { rest.is_empty() || rest.starts_with('-') };
    if !well_formed || !end_is_valid || version == "ff" {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let context = SpanContext::new(trace, span, flags, true, TraceState::NONE);
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests;
