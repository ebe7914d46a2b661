//! The pages themselves: the index, one for each method, and the console, which modules fill.

use maud::{Markup, html};

use super::client::Service;
use super::documents::{Described, key};
use super::example;
use super::page::{Frame, Place};
use super::tables;
use crate::binding::Verb;
use crate::lexicon::schema::{Body, Document};

const SERVICE_AUTH: &str = "https://atproto.com/specs/xrpc#inter-service-authentication-jwt";

/// What the service is, how it is called, the methods by family (their NSIDs without the last segment), and
/// what is there for programs.
pub(super) fn index(
    frame: &Frame,
    service: &Service,
    methods: &[Described<'_>],
    documents: &[&Document],
) -> String {
    let Service { did, ids, url, .. } = service;
    let main = html! {
        h1 { "XRPC methods of " (frame.host) }
        dl {
            dt { "Service" } dd { code { (did) } }
            dt { "Service ids" } dd { @for id in ids { code { "#" (id) } " " } }
            dt { "URL" } dd { code { (url) } }
            dt { "Version" } dd { "athook " (service.version) }
        }
        @if frame.has_console {
            p { a href="/console" { "Console" } ": look after what is yours without writing code." }
        }
        section {
            h2 { "How to call it" }
            p {
                "Through a PDS: send the call to your PDS, with your session there and one more header. The PDS "
                "adds the token."
            }
            @for id in ids { pre { code { "atproto-proxy: " (did) "#" (id) } } }
            p {
                "Directly: ask your PDS for a token by " a href=(SERVICE_AUTH) { code { "getServiceAuth" } }
                ", and send it as " code { "Authorization: Bearer" } ". Each method's page has the command."
            }
        }
        @for (family, methods) in families(methods) {
            section.family {
                h2 { (family) }
                dl {
                    @for method in methods {
                        dt {
                            a href={ "/docs/" (method.nsid()) } { (method.nsid()) }
                            " " (badge(method.verb))
                        }
                        dd { (description(method)) }
                    }
                }
            }
        }
        section {
            h2 { "For programs" }
            ul {
                li { a href="/openapi.json" { "OpenAPI 3.1 of all methods" } }
                @for document in documents {
                    li { "Lexicon " a href={ "/lexicons/" (document.id) ".json" } { (document.id) } }
                }
            }
        }
    };
    frame.page("Methods", Place::Methods, &[], &main)
}

/// What one method takes, gives and refuses; and a form that calls it.
pub(super) fn method(frame: &Frame, service: &Service, method: &Described<'_>) -> String {
    let Described { document, verb, operation, definitions } = method;
    let nsid = method.nsid();
    let (http_verb, kind) = kind(*verb);
    let main = html! {
        h1 { (nsid) }
        p { (badge(*verb)) " " code { (http_verb) " /xrpc/" (nsid) } }
        p { (description(method)) }
        @if let Some(parameters) = &operation.parameters {
            section { h2 { "Parameters" } (tables::properties("Parameters", parameters)) }
        }
        (body("Input", operation.input.as_ref()))
        (body("Output", operation.output.as_ref()))
        section {
            h2 { "Errors" }
            @if operation.errors.is_empty() { p { "None but those that every method may answer." } }
            @else { (tables::errors(operation)) }
        }
        @if !definitions.is_empty() {
            section {
                h2 { "Definitions" }
                @for (reference, schema) in definitions {
                    h3 id=(key(reference)) { (reference) }
                    @if let Some(description) = &schema.description { p { (description) } }
                    (tables::schema(&reference.to_string(), schema))
                }
            }
        }
        section {
            h2 { "Call it" }
            (token(service, nsid))
            pre tabindex="0" { code { (example::curl(method, &service.url)) } }
        }
        details {
            summary { "Raw schema" }
            p { a href={ "/lexicons/" (nsid) ".json" } { "/lexicons/" (nsid) ".json" } }
            pre tabindex="0" { code { (document.text) } }
        }
        section #try-it data-nsid=(nsid) data-type=(kind) {}
    };
    frame.page(nsid, Place::Elsewhere, &[], &main)
}

/// What the console's modules fill.
pub(super) fn console(frame: &Frame) -> String {
    let main = html! {
        h1 { "Console" }
        div #console {}
        noscript { p { "The console needs JavaScript. The methods can be called without it: see their pages." } }
    };
    frame.page("Console", Place::Console, &["/assets/console/main.js"], &main)
}

fn token(service: &Service, nsid: &str) -> Markup {
    html! {
        p {
            "The token in " code { "$TOKEN" } " is one of "
            a href=(SERVICE_AUTH) { code { "getServiceAuth" } } " of your PDS, with " code { "lxm" } " "
            code { (nsid) } " and as " code { "aud" } " "
            @for (index, audience) in service.audiences.iter().enumerate() {
                @if index > 0 { " or " }
                code { (audience) }
            }
            "."
        }
    }
}

fn body(title: &str, body: Option<&Body>) -> Markup {
    html! {
        @if let Some(Body { description, encoding, schema }) = body {
            section {
                h2 { (title) }
                @if let Some(description) = description { p { (description) } }
                p { "Encoding: " code { (encoding) } }
                @if let Some(schema) = schema { (tables::schema(title, schema)) }
            }
        }
    }
}

fn badge(verb: Verb) -> Markup {
    html! { span.badge { (kind(verb).1) } }
}

/// The HTTP verb and the name of the kind.
fn kind(verb: Verb) -> (&'static str, &'static str) {
    match verb {
        Verb::Query => ("GET", "query"),
        Verb::Procedure => ("POST", "procedure"),
    }
}

fn description<'a>(method: &'a Described<'_>) -> &'a str {
    let own = method.operation.description.as_ref();
    own.or(method.document.description.as_ref()).map(String::as_str).unwrap_or_default()
}

/// The methods by the NSID without its last segment, in their order.
fn families<'m, 'a>(methods: &'m [Described<'a>]) -> Vec<(&'m str, Vec<&'m Described<'a>>)> {
    let mut families: Vec<(&str, Vec<&Described<'_>>)> = Vec::new();
    for method in methods {
        let family = method.nsid().rsplit_once('.').map_or(method.nsid(), |(family, _)| family);
        match families.iter_mut().find(|(name, _)| *name == family) {
            Some((_, methods)) => methods.push(method),
            None => families.push((family, vec![method])),
        }
    }
    families
}
