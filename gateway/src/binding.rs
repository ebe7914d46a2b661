//! Lexicon documents and rpcs, bound to each other before the first request.
//!
//! Owns the question whether the two fit, and its answer: a [`Method`] for each XRPC method, with everything
//! that serving it takes (verb, gRPC path, shapes, error table), or a [`Drift`] that lists all that does not fit.
//! Knows no value, no JSON and no HTTP: `transcode` turns values, the XRPC envelope answers.
//!
//! A field's partner is found by name: the lexicon's `muteWords` is the proto's `mute_words`.

mod defaults;
pub(crate) mod errors;
#[cfg(test)]
pub(crate) mod fixture;
mod message;
mod rpc;
pub(crate) mod shape;
#[cfg(test)]
mod tests;
mod types;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use http::uri::PathAndQuery;
use prost_reflect::{DescriptorPool, FieldDescriptor};

use crate::binding::errors::ErrorTable;
use crate::binding::message::Binder;
use crate::binding::rpc::Rpc;
use crate::binding::shape::{Object, ObjectId};
use crate::lexicon::Lexicons;
use crate::lexicon::schema::{Body, Definition, Document, Object as Properties, Operation, Schema};

/// The one encoding of inputs and outputs that is served.
const JSON: &str = "application/json";

/// Binds every query and procedure in `lexicons` to the rpc in `descriptors` whose option
/// `(xrpc.v1.method).nsid` names it.
///
/// # Errors
///
/// [`Drift`] when anything at all does not fit.
pub fn bind(lexicons: &Lexicons, descriptors: &DescriptorPool) -> Result<Methods, Drift> {
    let mut problems = Vec::new();
    let mut methods = BTreeMap::new();
    let mut rpcs = rpc::annotated(descriptors, &mut problems);
    for document in lexicons.documents() {
        let (verb, operation) = match document.definitions.get("main") {
            Some(Definition::Query(operation)) => (Verb::Query, operation),
            Some(Definition::Procedure(operation)) => (Verb::Procedure, operation),
            Some(Definition::Unserved("subscription")) => {
                rpcs.remove(&document.id);
                problems.push(format!("{}: a subscription is not served", document.id));
                continue;
            }
            _ => continue,
        };
        let Some(rpc) = rpcs.remove(&document.id) else {
            problems.push(format!("{}: no rpc serves it", document.id));
            continue;
        };
        if let Some(method) = bind_method(lexicons, document, verb, operation, rpc, &mut problems) {
            methods.insert(document.id.clone(), Arc::new(method));
        }
    }
    for (nsid, rpc) in rpcs {
        problems.push(format!("{nsid}: `{}` serves it, but no lexicon describes it", rpc.name));
    }
    if problems.is_empty() { Ok(Methods { methods }) } else { Err(Drift { problems }) }
}

/// Every method that is served.
#[derive(Debug)]
pub struct Methods {
    methods: BTreeMap<String, Arc<Method>>,
}

impl Methods {
    /// The method that `nsid` names, exactly and case-sensitively.
    #[must_use]
    pub fn get(&self, nsid: &str) -> Option<&Arc<Method>> {
        self.methods.get(nsid)
    }

    /// All methods, ordered by NSID.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Method>> {
        self.methods.values()
    }
}

/// Everything that does not fit between lexicons and descriptors, a line each: NSID, place, problem.
#[derive(Debug)]
pub struct Drift {
    problems: Vec<String>,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n"))
    }
}

impl std::error::Error for Drift {}

/// What a method is called with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// GET, with parameters in the query string.
    Query,
    /// POST, with an input in the body.
    Procedure,
}

/// One XRPC method and the rpc that serves it.
#[derive(Debug)]
pub struct Method {
    nsid: String,
    verb: Verb,
    path: PathAndQuery,
    requires_input: bool,
    request: Request,
    response: Option<ObjectId>,
    objects: Vec<Object>,
    errors: ErrorTable,
    error_domain: Option<String>,
}

impl Method {
    /// The name that clients call it by.
    #[must_use]
    pub fn nsid(&self) -> &str {
        &self.nsid
    }

    /// Whether it is a query or a procedure.
    #[must_use]
    pub fn verb(&self) -> Verb {
        self.verb
    }

    /// Where the rpc is: `/package.Service/Rpc`.
    #[must_use]
    pub fn path(&self) -> &PathAndQuery {
        &self.path
    }

    /// Whether the lexicon declares an input: a call without a body is no call.
    pub(crate) fn requires_input(&self) -> bool {
        self.requires_input
    }

    /// What the rpc is asked with.
    pub(crate) fn request(&self) -> &Request {
        &self.request
    }

    /// What the rpc answers with, when the lexicon declares an output.
    pub(crate) fn response(&self) -> Option<&Object> {
        self.response.map(|id| self.object(id))
    }

    /// One of the objects that this method's shapes refer to.
    pub(crate) fn object(&self, id: ObjectId) -> &Object {
        id.of(&self.objects)
    }

    /// How the rpc's failures are named.
    pub(crate) fn errors(&self) -> &ErrorTable {
        &self.errors
    }

    /// The `google.rpc.ErrorInfo.domain` of the reasons that count, when the proto service names one.
    pub(crate) fn error_domain(&self) -> Option<&str> {
        self.error_domain.as_deref()
    }
}

/// A request message: the client's object, and the fields that the gateway fills in.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) object: ObjectId,
    /// A string: the DID of the verified caller.
    pub(crate) caller: Option<FieldDescriptor>,
    /// A field mask: the proto names of the fields that were present.
    pub(crate) presence: Option<FieldDescriptor>,
}

fn bind_method(
    lexicons: &Lexicons,
    document: &Document,
    verb: Verb,
    operation: &Operation,
    rpc: Rpc,
    problems: &mut Vec<String>,
) -> Option<Method> {
    let Operation { parameters, input, output, errors } = operation;
    let Rpc { name, path, streaming, request, response, role, error_domain, errors: rows } = rpc;
    let before = problems.len();
    if streaming {
        problems.push(format!("{}: `{name}` is a streaming rpc", document.id));
    }
    let errors = ErrorTable::new(&document.id, errors, rows, problems);

    let mut binder = Binder::new(lexicons, &document.id, role, problems);
    let empty = Properties { required: Vec::new(), nullable: Vec::new(), properties: Vec::new() };
    let (place, properties) = match verb {
        Verb::Query => ("params", Some(parameters.as_ref().unwrap_or(&empty))),
        Verb::Procedure => {
            if parameters.is_some() {
                binder.refuse("params", "the parameters of a procedure are not served");
            }
            match input {
                None => ("input", Some(&empty)),
                Some(body) => ("input", body_schema(&mut binder, "input", body)),
            }
        }
    };
    let request = properties.map(|properties| binder.request(place, properties, &request));

    let response = match output {
        Some(body) => body_schema(&mut binder, "output", body)
            .map(|properties| binder.object("output", properties, &response, &[])),
        None => {
            if response.fields().len() > 0 {
                let message = response.full_name();
                binder.refuse("output", &format!("the lexicon has none, but `{message}` has fields"));
            }
            None
        }
    };
    let objects = binder.finish();
    if problems.len() > before {
        return None;
    }
    Some(Method {
        nsid: document.id.clone(),
        verb,
        path,
        requires_input: input.is_some(),
        request: request?,
        response,
        objects,
        errors,
        error_domain,
    })
}

/// The object that a body consists of.
fn body_schema<'a>(binder: &mut Binder<'a>, place: &str, body: &'a Body) -> Option<&'a Properties> {
    let Body { encoding, schema } = body;
    if encoding != JSON {
        binder.refuse(place, &format!("the encoding `{encoding}` is not served"));
        return None;
    }
    let Some(schema) = schema else {
        binder.refuse(place, "a body without a schema is not served");
        return None;
    };
    match binder.resolve(place, schema)? {
        Schema::Object(properties) => Some(properties),
        _ => {
            binder.refuse(place, "a body that is no object is not served");
            None
        }
    }
}
