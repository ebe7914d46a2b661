//! Binds lexicon documents to rpcs at start.
//!
//! The result is a [`Method`] for each XRPC method, with everything that is needed to serve it (verb, gRPC
//! path, shapes, error table), or a [`Drift`] that lists all differences between lexicons and protos. Knows
//! no values, no JSON and no HTTP: `transcode` converts values, and `xrpc` handles requests.
//!
//! A lexicon field is bound to the proto field of the same name: `muteWords` to `mute_words`.

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
use crate::lexicon::schema::{Body, Definition, Document, Object as Properties, Operation, Type};

/// The only supported encoding of inputs and outputs.
const JSON: &str = "application/json";

/// Binds every query and procedure in `lexicons` to the rpc in `descriptors` that has its NSID in the option
/// `(xrpc.v1.method).nsid`.
///
/// # Errors
///
/// [`Drift`] if there is any difference.
pub fn bind(lexicons: &Lexicons, descriptors: &DescriptorPool) -> Result<Methods, Drift> {
    let mut problems = Vec::new();
    let mut methods = BTreeMap::new();
    let mut rpcs = rpc::annotated(descriptors, &mut problems);
    for document in lexicons.documents() {
        let (verb, operation) = match document.definitions.get("main") {
            Some(Definition::Query(operation)) => (Verb::Query, operation),
            Some(Definition::Procedure(operation)) => (Verb::Procedure, operation),
            Some(Definition::Unsupported("subscription")) => {
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

/// All methods that the gateway serves.
#[derive(Debug)]
pub struct Methods {
    methods: BTreeMap<String, Arc<Method>>,
}

impl Methods {
    /// The method named `nsid`. The case matters.
    #[must_use]
    pub fn get(&self, nsid: &str) -> Option<&Arc<Method>> {
        self.methods.get(nsid)
    }

    /// All methods, ordered by NSID.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Method>> {
        self.methods.values()
    }
}

/// All differences between lexicons and descriptors, one line each: NSID, location, problem.
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

/// The kind of a method, which decides its HTTP verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// GET with parameters in the query string.
    Query,
    /// POST with an input in the body.
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
    /// The name of the method.
    #[must_use]
    pub fn nsid(&self) -> &str {
        &self.nsid
    }

    /// Whether it is a query or a procedure.
    #[must_use]
    pub fn verb(&self) -> Verb {
        self.verb
    }

    /// The path of the rpc: `/package.Service/Rpc`.
    #[must_use]
    pub fn path(&self) -> &PathAndQuery {
        &self.path
    }

    /// Whether the lexicon declares an input, so that a request needs a body.
    pub(crate) fn requires_input(&self) -> bool {
        self.requires_input
    }

    /// The request message of the rpc.
    pub(crate) fn request(&self) -> &Request {
        &self.request
    }

    /// The response message of the rpc, if the lexicon declares an output.
    pub(crate) fn response(&self) -> Option<&Object> {
        self.response.map(|id| self.object(id))
    }

    /// An object that a shape of this method refers to.
    pub(crate) fn object(&self, id: ObjectId) -> &Object {
        id.of(&self.objects)
    }

    /// The XRPC error names of the rpc's failures.
    pub(crate) fn errors(&self) -> &ErrorTable {
        &self.errors
    }

    /// The `google.rpc.ErrorInfo.domain` whose reasons are understood, if the proto service names one.
    pub(crate) fn error_domain(&self) -> Option<&str> {
        self.error_domain.as_deref()
    }
}

/// A request message: the object that the client sends, and the fields that the gateway fills in.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) object: ObjectId,
    /// A string: the DID of the verified caller.
    pub(crate) caller: Option<FieldDescriptor>,
    /// A field mask: the proto names of the fields that the client sent.
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
    let Operation { description: _, parameters, input, output, errors } = operation;
    let Rpc { name, path, streaming, request, response, role, error_domain, errors: rows } = rpc;
    let before = problems.len();
    if streaming {
        problems.push(format!("{}: `{name}` is a streaming rpc", document.id));
    }
    let errors = ErrorTable::new(&document.id, errors, rows, problems);

    let mut binder = Binder::new(lexicons, &document.id, role, problems);
    let empty = Properties { required: Vec::new(), nullable: Vec::new(), properties: Vec::new() };
    let (location, properties) = match verb {
        Verb::Query => ("params", Some(parameters.as_ref().unwrap_or(&empty))),
        Verb::Procedure => {
            if parameters.is_some() {
                binder.report("params", "the parameters of a procedure are not served");
            }
            match input {
                None => ("input", Some(&empty)),
                Some(body) => ("input", body_schema(&mut binder, "input", body)),
            }
        }
    };
    let request = properties.map(|properties| binder.request(location, properties, &request));

    let response = match output {
        Some(body) => body_schema(&mut binder, "output", body)
            .map(|properties| binder.object("output", properties, &response, &[])),
        None => {
            if response.fields().len() > 0 {
                let message = response.full_name();
                binder.report("output", &format!("the lexicon has none, but `{message}` has fields"));
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

/// The object schema of a body.
fn body_schema<'a>(binder: &mut Binder<'a>, location: &str, body: &'a Body) -> Option<&'a Properties> {
    let Body { description: _, encoding, schema } = body;
    if encoding != JSON {
        binder.report(location, &format!("the encoding `{encoding}` is not served"));
        return None;
    }
    let Some(schema) = schema else {
        binder.report(location, "a body without a schema is not served");
        return None;
    };
    match &binder.resolve(location, schema)?.kind {
        Type::Object(properties) => Some(properties),
        _ => {
            binder.report(location, "a body that is no object is not served");
            None
        }
    }
}
