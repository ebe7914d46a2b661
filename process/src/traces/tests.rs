//! Which headers name a parent span, and which spans are recorded.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{InMemorySpanExporter, Sampler, SdkTracerProvider, SpanData};

use super::*;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn headers(values: &[&str]) -> HeaderMap {
    values.iter().map(|value| (TRACEPARENT.parse().unwrap(), value.parse().unwrap())).collect()
}

fn tracer(sample: f64) -> (Tracer, InMemorySpanExporter) {
    let exporter = InMemorySpanExporter::default();
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(sample)));
    let provider =
        SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).with_sampler(sampler).build();
    (Tracer(Some(provider.tracer("test"))), exporter)
}

fn named(spans: &[SpanData], name: &str) -> SpanData {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name}")).clone()
}

#[test]
fn well_formed_parents() {
    let later = format!("cc{}-what-comes-later", &PARENT[2..]);
    for (value, sampled) in [(PARENT, true), (&format!("{}00", &PARENT[..53]), false), (&later, true)] {
        let parent = parent(&headers(&[value])).unwrap_or_else(|| panic!("{value}"));
        assert_eq!(parent.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(parent.span_id().to_string(), "b7ad6b7169203331");
        assert_eq!((parent.is_sampled(), parent.is_remote()), (sampled, true), "{value}");
    }
}

#[test]
fn malformed_parents() {
    let replaced = |from: &str, to: &str| PARENT.replacen(from, to, 1);
    for value in [
        String::new(),
        "00".to_owned(),
        PARENT.to_uppercase(),
        format!("{PARENT}-"),
        format!("{PARENT}0"),
        format!(" {}", &PARENT[1..]),
        PARENT[..54].to_owned(),
        replaced("00-", "ff-"),
        replaced("00-", "0-0"),
        replaced("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
        replaced("b7ad6b7169203331", &"0".repeat(16)),
        replaced("b7ad", "b7ag"),
        replaced("-b7", "+b7"),
        replaced("-01", "-+1"),
    ] {
        assert_eq!(parent(&headers(&[&value])), None, "{value:?}");
    }
    assert_eq!(parent(&headers(&[PARENT, PARENT])), None, "given twice");
}

#[test]
fn spans_nest_below_the_request() {
    let (tracer, exporter) = tracer(0.0);
    let mut request = tracer.serve("request", &headers(&[PARENT]));
    let call = request.context().call("call");
    let traceparent = call.context().traceparent().unwrap();
    assert_eq!(request.context().trace_id().as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
    request.rename("renamed");
    request.note("number", 7);
    request.fail();
    drop(call);
    drop(request);
    let spans = exporter.get_finished_spans().unwrap();
    let (request, call) = (named(&spans, "renamed"), named(&spans, "call"));
    assert_eq!(request.parent_span_id.to_string(), "b7ad6b7169203331");
    assert_eq!(call.parent_span_id, request.span_context.span_id());
    assert_eq!((request.span_kind, call.span_kind), (SpanKind::Server, SpanKind::Client));
    assert_eq!(request.attributes, [KeyValue::new("number", 7)]);
    assert!(matches!(request.status, Status::Error { .. }));
    let id = call.span_context.span_id();
    assert_eq!(traceparent, format!("00-0af7651916cd43dd8448eb211c80319c-{id}-01"));
}

#[test]
fn requests_without_a_parent_are_sampled() {
    for (sample, spans) in [(0.0, 0), (1.0, 2)] {
        let (tracer, exporter) = tracer(sample);
        let request = tracer.serve("request", &headers(&["nonsense"]));
        drop(request.context().step("step"));
        // The called service is told of the decision either way.
        let ends = if spans == 0 { "-00" } else { "-01" };
        assert!(request.context().traceparent().unwrap().ends_with(ends));
        assert_eq!(request.context().trace_id().is_some(), spans > 0);
        drop(request);
        assert_eq!(exporter.get_finished_spans().unwrap().len(), spans);
    }
}

#[test]
fn shared_call_is_a_child_of_the_first_and_linked_to_all() {
    let (tracer, exporter) = tracer(1.0);
    let unsampled = tracer.serve("unsampled", &headers(&[&format!("{}00", &PARENT[..53])]));
    let (first, second) = (tracer.serve("first", &headers(&[])), tracer.serve("second", &headers(&[])));
    let contexts = [TraceContext::default(), unsampled.context(), first.context(), second.context()];
    drop(TraceContext::shared_call("shared", contexts.iter()));
    drop(TraceContext::shared_call("nobody's", contexts[..2].iter()));
    drop((first, second, unsampled));
    let spans = exporter.get_finished_spans().unwrap();
    assert_eq!(spans.len(), 3);
    let ids = ["first", "second"].map(|name| named(&spans, name).span_context.span_id());
    let shared = named(&spans, "shared");
    assert_eq!(shared.parent_span_id, ids[0]);
    let links: Vec<_> = shared.links.iter().map(|link| link.span_context.span_id()).collect();
    assert_eq!(links, ids);
}

#[tokio::test]
async fn no_spans_when_it_is_off() {
    let span = Tracer::off().serve("request", &headers(&[PARENT]));
    assert!(span.0.is_none());
    let context = span.context();
    assert!(context.traceparent().is_none() && context.trace_id().is_none());
    let inner = context.scope(async { TraceContext::current().step("step") });
    assert!(inner.await.0.is_none());
}

#[tokio::test]
async fn current_context_is_that_of_the_scope() {
    let (tracer, _exporter) = tracer(1.0);
    let context = tracer.serve("request", &headers(&[])).context();
    let current = context.clone().scope(async { TraceContext::current().traceparent() });
    assert_eq!(current.await, context.traceparent());
    assert!(TraceContext::current().traceparent().is_none());
}
