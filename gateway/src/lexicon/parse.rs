//! Parses a text into a [`Document`]: the grammar of the lexicon language.

use std::collections::BTreeMap;

use shrike::syntax::Nsid;

use super::node::{Json, Malformed, Node};
use super::schema::{
    Array, Body, Boolean, DeclaredError, Definition, Document, Integer, Object, Operation, Reference, Schema,
    Text, Type,
};

/// The version of the language.
const LANGUAGE: i64 = 1;

/// Reads one document.
pub(super) fn document(text: &str) -> Result<Document, Malformed> {
    let json: Json = serde_json::from_str(text)
        .map_err(|error| Malformed::new("document", format!("no valid JSON: {error}")))?;
    let root = Node::document(&json);

    let language = root.required("lexicon")?;
    if language.integer()? != LANGUAGE {
        return language.refuse(format!("expected {LANGUAGE}"));
    }
    let id = root.required("id")?;
    let Ok(nsid) = id.string()?.parse::<Nsid>() else { return id.refuse("no NSID") };
    let description = description(&root)?;

    let parser = Parser { document: nsid.to_string() };
    let defs = root.required("defs")?;
    let mut definitions = BTreeMap::new();
    for (name, node) in defs.entries()? {
        if name.is_empty() || name.contains('#') {
            return node.refuse("no name of a definition");
        }
        definitions.insert(name.to_owned(), parser.definition(name, &node)?);
    }
    if definitions.is_empty() {
        return defs.refuse("expected at least one definition");
    }
    Ok(Document { id: parser.document, description, text: text.to_owned(), definitions })
}

struct Parser {
    /// The document's NSID: what a reference without an NSID refers to.
    document: String,
}

impl Parser {
    fn definition(&self, name: &str, node: &Node<'_>) -> Result<Definition, Malformed> {
        let kind = node.required("type")?;
        let definition = match kind.string()? {
            "query" => Definition::Query(self.operation(node, false)?),
            "procedure" => Definition::Procedure(self.operation(node, true)?),
            "subscription" => Definition::Unsupported(self.subscription(node)?),
            "record" => Definition::Unsupported(self.record(node)?),
            "permission-set" => Definition::Unsupported(permission_set(node)?),
            "ref" | "union" | "unknown" | "params" => {
                return kind.refuse("this type can't be a definition of its own");
            }
            _ => return self.schema(node).map(Definition::Schema),
        };
        if name != "main" {
            return kind.refuse("this type can only be the definition `main`");
        }
        Ok(definition)
    }

    fn operation(&self, node: &Node<'_>, procedure: bool) -> Result<Operation, Malformed> {
        let description = description(node)?;
        let parameters = node.optional_as("parameters", |node| self.parameters(node))?;
        let input = node.optional_as("input", |node| {
            if procedure { self.body(node) } else { node.refuse("a query has none") }
        })?;
        let output = node.optional_as("output", |node| self.body(node))?;
        let errors = node.optional_as("errors", errors)?.unwrap_or_default();
        Ok(Operation { description, parameters, input, output, errors })
    }

    fn subscription(&self, node: &Node<'_>) -> Result<&'static str, Malformed> {
        node.optional_as("parameters", |node| self.parameters(node))?;
        node.optional_as("errors", errors)?;
        node.optional_as("message", |message| {
            let schema = message.required("schema")?;
            match self.schema(&schema)?.kind {
                Type::Ref(_) | Type::Unsupported("union") => Ok(()),
                _ => schema.refuse("expected a union or a ref"),
            }
        })?;
        Ok("subscription")
    }

    fn record(&self, node: &Node<'_>) -> Result<&'static str, Malformed> {
        node.required("key")?.string()?;
        let record = node.required("record")?;
        match self.schema(&record)?.kind {
            Type::Object(_) => Ok("record"),
            _ => record.refuse("expected an object"),
        }
    }

    fn body(&self, node: &Node<'_>) -> Result<Body, Malformed> {
        let description = description(node)?;
        let encoding = node.required("encoding")?.string()?.to_owned();
        let schema = node.optional_as("schema", |node| {
            let schema = self.schema(node)?;
            match schema.kind {
                Type::Object(_) | Type::Ref(_) | Type::Unsupported("union") => Ok(schema),
                _ => node.refuse("expected an object, a ref or a union"),
            }
        })?;
        Ok(Body { description, encoding, schema })
    }

    fn parameters(&self, node: &Node<'_>) -> Result<Object, Malformed> {
        let kind = node.required("type")?;
        if kind.string()? != "params" {
            return kind.refuse("expected `params`");
        }
        let object = self.object(node)?;
        for (name, schema) in &object.properties {
            let item = if let Type::Array(array) = &schema.kind { &array.items.kind } else { &schema.kind };
            let served = matches!(item, Type::String(_) | Type::Integer(_) | Type::Boolean(_));
            if !served && !matches!(item, Type::Unsupported("unknown")) {
                return node.refuse(format!(
                    "`{name}` can't be a parameter: expected a string, integer, boolean, unknown or an array of one"
                ));
            }
        }
        Ok(object)
    }

    fn schema(&self, node: &Node<'_>) -> Result<Schema, Malformed> {
        Ok(Schema { description: description(node)?, kind: self.kind(node)? })
    }

    fn kind(&self, node: &Node<'_>) -> Result<Type, Malformed> {
        let kind = node.required("type")?;
        Ok(match kind.string()? {
            "object" => Type::Object(self.object(node)?),
            "array" => {
                let (min_length, max_length) = limits(node, "minLength", "maxLength")?;
                let items = Box::new(self.schema(&node.required("items")?)?);
                Type::Array(Array { items, min_length, max_length })
            }
            "string" => Type::String(text(node)?),
            "integer" => Type::Integer(integer(node)?),
            "boolean" => Type::Boolean(Boolean {
                constant: node.optional_as("const", Node::boolean)?,
                default: node.optional_as("default", Node::boolean)?,
            }),
            "ref" => Type::Ref(self.reference(&node.required("ref")?)?),
            "union" => {
                for reference in node.required("refs")?.elements()? {
                    self.reference(&reference)?;
                }
                node.optional_as("closed", Node::boolean)?;
                Type::Unsupported("union")
            }
            "blob" => {
                node.optional_as("accept", Node::strings)?;
                node.optional_as("maxSize", Node::count)?;
                Type::Unsupported("blob")
            }
            "bytes" => {
                limits(node, "minLength", "maxLength")?;
                Type::Unsupported("bytes")
            }
            "unknown" => Type::Unsupported("unknown"),
            "cid-link" => Type::Unsupported("cid-link"),
            "token" => Type::Unsupported("token"),
            "null" => Type::Unsupported("null"),
            _ => return kind.refuse("no type of the lexicon language that can stand here"),
        })
    }

    fn object(&self, node: &Node<'_>) -> Result<Object, Malformed> {
        let mut properties = Vec::new();
        if let Some(entries) = node.optional("properties")? {
            for (name, property) in entries.entries()? {
                properties.push((name.to_owned(), self.schema(&property)?));
            }
        }
        let names = |list: &Node<'_>| {
            let names = list.strings()?;
            match names.iter().find(|name| !properties.iter().any(|(property, _)| property == *name)) {
                Some(name) => list.refuse(format!("`{name}` is none of the properties")),
                None => Ok(names),
            }
        };
        let required = node.optional_as("required", names)?.unwrap_or_default();
        let nullable = node.optional_as("nullable", names)?.unwrap_or_default();
        Ok(Object { required, nullable, properties })
    }

    fn reference(&self, node: &Node<'_>) -> Result<Reference, Malformed> {
        let text = node.string()?;
        let (document, definition) = text.split_once('#').unwrap_or((text, "main"));
        if definition.is_empty() || definition.contains('#') {
            return node.refuse("no reference");
        }
        if !document.is_empty() && document.parse::<Nsid>().is_err() {
            return node.refuse("no reference: what is before the `#` is no NSID");
        }
        let document = if document.is_empty() { &self.document } else { document };
        Ok(Reference { document: document.to_owned(), definition: definition.to_owned() })
    }
}

fn permission_set(node: &Node<'_>) -> Result<&'static str, Malformed> {
    for permission in node.required("permissions")?.elements()? {
        let kind = permission.required("type")?;
        if kind.string()? != "permission" {
            return kind.refuse("expected `permission`");
        }
        permission.required("resource")?.string()?;
    }
    Ok("permission-set")
}

fn description(node: &Node<'_>) -> Result<Option<String>, Malformed> {
    node.optional_as("description", |text| text.string().map(str::to_owned))
}

fn errors(node: &Node<'_>) -> Result<Vec<DeclaredError>, Malformed> {
    let mut errors = Vec::new();
    for error in node.elements()? {
        let description = description(&error)?;
        let name = error.required("name")?;
        if name.string()?.is_empty() || name.string()?.contains(char::is_whitespace) {
            return name.refuse("an error name has no white space and is not empty");
        }
        errors.push(DeclaredError { name: name.string()?.to_owned(), description });
    }
    Ok(errors)
}

fn text(node: &Node<'_>) -> Result<Text, Malformed> {
    let (min_graphemes, max_graphemes) = limits(node, "minGraphemes", "maxGraphemes")?;
    let (min_length, max_length) = limits(node, "minLength", "maxLength")?;
    let constant = node.optional_as("const", |node| node.string().map(|value| vec![value.to_owned()]))?;
    let listed = node.optional_as("enum", Node::strings)?;
    Ok(Text {
        format: node.optional_as("format", |node| node.string().map(str::to_owned))?,
        min_length,
        max_length,
        min_graphemes,
        max_graphemes,
        values: constant.or(listed),
        known_values: node.optional_as("knownValues", Node::strings)?,
        default: node.optional_as("default", |node| node.string().map(str::to_owned))?,
    })
}

fn integer(node: &Node<'_>) -> Result<Integer, Malformed> {
    let minimum = node.optional_as("minimum", Node::integer)?;
    let maximum = node.optional_as("maximum", Node::integer)?;
    if minimum.zip(maximum).is_some_and(|(minimum, maximum)| minimum > maximum) {
        return node.refuse("`minimum` is above `maximum`");
    }
    let constant = node.optional_as("const", |node| node.integer().map(|value| vec![value]))?;
    let listed = node.optional_as("enum", |node| node.elements()?.iter().map(Node::integer).collect())?;
    Ok(Integer {
        minimum,
        maximum,
        values: constant.or(listed),
        default: node.optional_as("default", Node::integer)?,
    })
}

/// The lower and the upper limit of a length.
fn limits(node: &Node<'_>, lower: &str, upper: &str) -> Result<(Option<u64>, Option<u64>), Malformed> {
    let low = node.optional_as(lower, Node::count)?;
    let high = node.optional_as(upper, Node::count)?;
    if low.zip(high).is_some_and(|(low, high)| low > high) {
        return node.refuse(format!("`{lower}` is above `{upper}`"));
    }
    Ok((low, high))
}
