//! What the bound methods use of the lexicons: their operations, and the definitions that these refer to.

use std::collections::BTreeSet;

use crate::binding::{Methods, Verb};
use crate::lexicon::Lexicons;
use crate::lexicon::schema::{Definition, Document, Object, Operation, Reference, Schema, Type};

/// A bound method as its lexicon describes it.
pub(super) struct Described<'a> {
    pub(super) document: &'a Document,
    pub(super) verb: Verb,
    pub(super) operation: &'a Operation,
    /// Each definition that it refers to, also through others, in the order in which they come up.
    pub(super) definitions: Vec<(Reference, &'a Schema)>,
}

impl Described<'_> {
    pub(super) fn nsid(&self) -> &str {
        &self.document.id
    }
}

/// The bound methods, ordered by NSID.
pub(super) fn described<'a>(lexicons: &'a Lexicons, methods: &Methods) -> Vec<Described<'a>> {
    let described = lexicons.documents().filter_map(|document| {
        let verb = methods.get(&document.id)?.verb();
        let (Definition::Query(operation) | Definition::Procedure(operation)) =
            document.definitions.get("main")?
        else {
            return None;
        };
        let mut definitions = Vec::new();
        for schema in schemas(operation) {
            find(lexicons, schema, &mut definitions);
        }
        Some(Described { document, verb, operation, definitions })
    });
    described.collect()
}

/// The documents of these methods and of what they refer to.
pub(super) fn documents<'a>(lexicons: &'a Lexicons, methods: &[Described<'_>]) -> Vec<&'a Document> {
    let referred =
        methods.iter().flat_map(|method| &method.definitions).map(|(reference, _)| &*reference.document);
    let used: BTreeSet<&str> = methods.iter().map(Described::nsid).chain(referred).collect();
    lexicons.documents().filter(|document| used.contains(&*document.id)).collect()
}

/// A name for a definition out of letters, digits, `.`, `_` and `-`, which no other has.
pub(super) fn key(reference: &Reference) -> String {
    // An NSID has no `_`.
    let mut key = format!("{}_", reference.document);
    for byte in reference.definition.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_' {
            key.push(char::from(byte));
        } else {
            key.push_str(&format!("-{byte:02x}"));
        }
    }
    key
}

/// The schemas that stand in an operation itself.
fn schemas(operation: &Operation) -> impl Iterator<Item = &Schema> {
    let parameters = operation.parameters.iter().flat_map(properties);
    let bodies = operation.input.iter().chain(&operation.output);
    parameters.chain(bodies.filter_map(|body| body.schema.as_ref()))
}

fn properties(object: &Object) -> impl Iterator<Item = &Schema> {
    object.properties.iter().map(|(_, schema)| schema)
}

fn find<'a>(lexicons: &'a Lexicons, schema: &'a Schema, found: &mut Vec<(Reference, &'a Schema)>) {
    match &schema.kind {
        Type::Object(object) => properties(object).for_each(|schema| find(lexicons, schema, found)),
        Type::Array(array) => find(lexicons, &array.items, found),
        Type::Ref(reference) => {
            let Some(Definition::Schema(schema)) = lexicons.resolve(reference) else { return };
            if found.iter().all(|(known, _)| known != reference) {
                found.push((reference.clone(), schema));
                find(lexicons, schema, found);
            }
        }
        Type::String(_) | Type::Integer(_) | Type::Boolean(_) | Type::Unsupported(_) => {}
    }
}
