//! The lexicons as a contract: whether a request that succeeded, and every answer, is as the method's lexicon
//! and docs/methods.md say. The lexicon is checked by an independent validator (shrike), not by the gateway's
//! own parser, decoder and encoder.
//!
//! Owns a second table of the XRPC-wide error names and their statuses, independent of the gateway's on
//! purpose. Every answer that a test receives through the harness goes through [`Contract::check`].

pub(crate) mod exchange;

use std::path::Path;
use std::sync::LazyLock;

use http::{Method, StatusCode};
use serde_json::{Map, Value};
use shrike::lexicon::{
    Catalog, Def, FieldSchema, ParamsDef, ValidationError, validate_input, validate_output, validate_params,
};

use crate::harness::answer::Answer;
use crate::harness::contract::exchange::SentRequest;

/// The longest body of an error, in bytes.
const MAX_ERROR_BYTES: usize = 1024;

/// An error name that any method may answer with, its status, and its text if it has only one.
type XrpcWide = (&'static str, u16, Option<&'static str>);

/// docs/methods.md, "HTTP status". `NotFound` is only for paths outside `/xrpc/`.
const XRPC_WIDE: [XrpcWide; 10] = [
    ("InvalidRequest", 400, None),
    ("AuthenticationRequired", 401, None),
    ("Forbidden", 403, None),
    ("PayloadTooLarge", 413, None),
    ("RateLimitExceeded", 429, None),
    ("InternalServerError", 500, Some("something went wrong here; it has been logged")),
    ("MethodNotImplemented", 501, Some("no such method here")),
    ("UpstreamFailure", 502, Some("a service that this one depends on does not answer")),
    ("NotEnoughResources", 503, Some("too busy or not ready; try again later")),
    ("UpstreamTimeout", 504, Some("the request took too long; it may or may not have been carried out")),
];

/// The text of a declared error that has one. Others say what is wrong with the input.
const DECLARED: [(&str, &str); 7] = [
    ("AlreadyExists", "a secret with this name exists already"),
    ("NotFound", "there is no secret with this name"),
    ("DuplicateWebhook", "a webhook with this URL exists already"),
    ("WebhookNotFound", "there is no such webhook"),
    ("DeliveryNotFound", "there is no such delivery"),
    ("PayloadExpired", "the body of this delivery is no longer kept"),
    ("InvalidCursor", "params.cursor: must be one that this service gave out"),
];

/// Declared for clients that know it, and never answered: the webhook of another caller looks like one that
/// does not exist.
pub(crate) const NEVER_ANSWERED: &str = "Unauthorized";

/// The documents that a gateway serves.
pub(crate) struct Contract {
    catalog: Catalog,
    /// Names of declared errors, each with its text.
    texts: &'static [(&'static str, &'static str)],
}

/// How an exchange breaks the contract.
pub(crate) type Violation = String;

impl Contract {
    /// The contract of the built-in lexicons, read from the source tree.
    pub(crate) fn of_athook() -> &'static Self {
        static OURS: LazyLock<Contract> = LazyLock::new(|| {
            let ours = Contract::of(built_in().iter().map(|(_, document)| document));
            Contract { texts: &DECLARED, ..ours.expect("the lexicons are valid") }
        });
        &OURS
    }

    /// The contract of these documents.
    pub(crate) fn of<'a>(documents: impl IntoIterator<Item = &'a Value>) -> Result<Self, Violation> {
        let mut catalog = Catalog::new();
        for document in documents {
            let added = catalog.add_schema(document.to_string().as_bytes());
            added.map_err(|error| format!("{}: {error}", document["id"]))?;
        }
        Ok(Self { catalog, texts: &[] })
    }

    /// The names of the errors that `nsid` declares.
    pub(crate) fn declared_errors(&self, nsid: &str) -> Vec<&str> {
        let errors = match self.catalog.main_def(nsid) {
            Some(Def::Query(query)) => &query.errors,
            Some(Def::Procedure(procedure)) => &procedure.errors,
            _ => return Vec::new(),
        };
        errors.iter().map(|error| error.name.as_str()).collect()
    }

    /// Panics if the exchange breaks the contract.
    pub(crate) fn assert_kept(&self, asked: &SentRequest, answer: &Answer) {
        if let Err(breach) = self.check(asked, answer) {
            panic!("not as the lexicon has it: {breach}\n{}\n{answer:?}", asked.summary());
        }
    }

    /// Checks an exchange.
    pub(crate) fn check(&self, asked: &SentRequest, answer: &Answer) -> Result<(), Violation> {
        if answer.headers.get("access-control-allow-origin").is_none_or(|value| value != "*") {
            return Err("no CORS header".to_owned());
        }
        if asked.verb == Method::OPTIONS && answer.status.is_success() {
            return Ok(());
        }
        let nsid = asked.nsid();
        if !answer.status.is_success() {
            return self.check_error(nsid, asked, answer);
        }
        if answer.status != StatusCode::OK {
            return Err("a success is 200".to_owned());
        }
        match nsid {
            None => Ok(()),
            Some(nsid) => self.check_success(nsid, asked, answer),
        }
    }

    fn check_success(&self, nsid: &str, asked: &SentRequest, answer: &Answer) -> Result<(), Violation> {
        let invalid = |error: ValidationError| error.to_string();
        let (output, verbs) = match self.catalog.main_def(nsid) {
            Some(Def::Query(query)) => {
                let mut params = parameters(query.parameters.as_ref(), asked.query.as_deref())?;
                validate_params(&self.catalog, nsid, &mut params).map_err(invalid)?;
                (&query.output, [Method::GET, Method::HEAD].as_slice())
            }
            Some(Def::Procedure(procedure)) => {
                if procedure.input.is_some() {
                    let mut input = asked.json()?;
                    validate_input(&self.catalog, nsid, &mut input).map_err(invalid)?;
                }
                (&procedure.output, [Method::POST].as_slice())
            }
            _ => return Err(format!("{nsid} succeeded without a lexicon")),
        };
        if !verbs.contains(&asked.verb) {
            return Err(format!("{} succeeded, {verbs:?} were to", asked.verb));
        }
        match output {
            Some(body) if answer.headers.get("content-type").is_none_or(|value| *value != body.encoding) => {
                Err(format!("the answer is not {}", body.encoding))
            }
            Some(_) if asked.verb == Method::HEAD => empty(answer),
            Some(_) => {
                let output = serde_json::from_str(&answer.body).map_err(|error| error.to_string())?;
                validate_output(&self.catalog, nsid, &output).map_err(invalid)
            }
            None => empty(answer),
        }
    }

    fn check_error(&self, nsid: Option<&str>, asked: &SentRequest, answer: &Answer) -> Result<(), Violation> {
        if answer.headers.get("content-type").is_none_or(|value| value != "application/json") {
            return Err("an error is application/json".to_owned());
        }
        if asked.verb == Method::HEAD {
            return empty(answer);
        }
        if answer.body.len() > MAX_ERROR_BYTES {
            return Err(format!("an error of {} bytes", answer.body.len()));
        }
        let body: Map<String, Value> =
            serde_json::from_str(&answer.body).map_err(|error| format!("an error is an object: {error}"))?;
        let (Some(Value::String(name)), Some(Value::String(message)), 2) =
            (body.get("error"), body.get("message"), body.len())
        else {
            return Err("an error has `error` and `message`, two texts, and nothing else".to_owned());
        };
        let status = answer.status.as_u16();
        let (expected, text) = self.promised(nsid, asked, name)?;
        if status != expected {
            return Err(format!("{name} is {expected}"));
        }
        if text.is_some_and(|text| text != message) {
            return Err(format!("{name} has one text"));
        }
        if status == 401 && !answer.headers.contains_key("www-authenticate") {
            return Err("a 401 has a challenge".to_owned());
        }
        Ok(())
    }

    /// The status that `name` has here, and its text if that is fixed.
    fn promised(
        &self,
        nsid: Option<&str>,
        asked: &SentRequest,
        name: &str,
    ) -> Result<(u16, Option<&'static str>), Violation> {
        if name == NEVER_ANSWERED {
            return Err(format!("{name} is declared and never used"));
        }
        let declared = nsid.is_some_and(|nsid| self.declared_errors(nsid).contains(&name));
        let wide = XRPC_WIDE.iter().find(|(wide, ..)| *wide == name);
        match wide {
            _ if declared && name != "AuthenticationRequired" => {
                let text = self.texts.iter().find(|(declared, _)| *declared == name);
                Ok((400, text.map(|(_, text)| *text)))
            }
            Some((_, status, text)) => Ok((*status, *text)),
            None if name == "NotFound" && !asked.path.starts_with("/xrpc/") => Ok((404, None)),
            None => Err(format!("{name} is not declared, and not XRPC-wide")),
        }
    }
}

/// The documents of the source tree: path below the folder of the lexicons, and content.
pub(crate) fn built_in() -> &'static [(String, Value)] {
    static DOCUMENTS: LazyLock<Vec<(String, Value)>> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("gateway/lexicons");
        let mut found = Vec::new();
        collect(&folder, &folder, &mut found);
        found
    });
    &DOCUMENTS
}

/// The methods that the lexicons declare: NSIDs and main definitions.
pub(crate) fn methods() -> impl Iterator<Item = (&'static str, &'static Value)> {
    let mains = built_in()
        .iter()
        .filter_map(|(_, document)| Some((document["id"].as_str()?, document["defs"].get("main")?)));
    mains.filter(|(_, main)| main["type"] == "query" || main["type"] == "procedure")
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<(String, Value)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, found);
        } else {
            let name = path.strip_prefix(root).unwrap().display().to_string();
            found.push((name, serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap()));
        }
    }
}

fn empty(answer: &Answer) -> Result<(), Violation> {
    if answer.body.is_empty() { Ok(()) } else { Err("the body is to be empty".to_owned()) }
}

/// The query string as the values that the schema names. What it does not name, and what is empty, is left
/// out.
fn parameters(schema: Option<&ParamsDef>, query: Option<&str>) -> Result<Map<String, Value>, Violation> {
    let mut parameters = Map::new();
    for (name, text) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if text.is_empty() {
            continue;
        }
        let Some(field) = schema.and_then(|schema| schema.properties.get(name.as_ref())) else { continue };
        if let FieldSchema::Array { items, .. } = field {
            let list = parameters.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            list.as_array_mut().expect("made as one").push(typed(items, &text)?);
        } else if parameters.insert(name.to_string(), typed(field, &text)?).is_some() {
            return Err(format!("{name} was given twice"));
        }
    }
    Ok(parameters)
}

fn typed(field: &FieldSchema, text: &str) -> Result<Value, Violation> {
    let value = match field {
        FieldSchema::Integer { .. } => text.parse::<i64>().ok().map(Value::from),
        FieldSchema::Boolean { .. } => text.parse::<bool>().ok().map(Value::from),
        _ => Some(Value::from(text)),
    };
    value.ok_or_else(|| format!("{text:?} is not of its parameter's type"))
}

mod tests;
