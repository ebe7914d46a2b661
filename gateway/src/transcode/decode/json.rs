//! Deserializes JSON into messages: a `DeserializeSeed` for each shape asks the parser for the expected type.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use prost_reflect::Value;
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::DecodeError;
use super::draft::Draft;
use super::scalar::{self, Rule};
use super::scan::{self, Flaw, MAX_DEPTH};
use crate::binding::Method;
use crate::binding::shape::{ObjectId, Shape};
use crate::transcode::path::Path;

const GIVEN_TWICE: Rule = "given twice";
const EXPECTED_STRING: Rule = "expected a string";

/// Decodes the JSON object in `body` as the input of `method`.
pub(super) fn object<'m>(method: &'m Method, body: &[u8], root: &Path<'_>) -> Result<Draft<'m>, DecodeError> {
    let Ok(text) = str::from_utf8(body) else {
        return Err(DecodeError::new("the body is not valid UTF-8"));
    };
    if text.trim_ascii().is_empty() {
        return Err(DecodeError::new("the body is empty: expected a JSON object"));
    }
    let nul = scan::check(text).map_err(|flaw| match flaw {
        Flaw::TooDeep => DecodeError::new(format!("the body nests deeper than {MAX_DEPTH} levels")),
        Flaw::LoneSurrogate => DecodeError::new("the body is not valid JSON: lone surrogate in hex escape"),
    })?;

    let context = Context { method, first_error: RefCell::new(None) };
    let mut parser = serde_json::Deserializer::from_str(text);
    let seed = ObjectSeed { context: &context, path: root, id: method.request().object };
    let result = seed.deserialize(&mut parser).and_then(|draft| parser.end().map(|()| draft));
    let draft = result.map_err(|error| context.explain(&error))?;
    if nul {
        // In a key or the value of an unknown field. In a known field it was an error with its path.
        return Err(DecodeError::new("the body contains U+0000 in a string"));
    }
    Ok(draft)
}

/// Shared by all seeds of one body.
struct Context<'m> {
    method: &'m Method,
    /// The first error with the path of its value. serde's own errors have only a line and a column.
    first_error: RefCell<Option<DecodeError>>,
}

impl Context<'_> {
    fn note(&self, path: &Path<'_>, rule: Rule) {
        self.first_error.borrow_mut().get_or_insert_with(|| DecodeError::at(path, rule));
    }

    fn error<E: de::Error>(&self, path: &Path<'_>, rule: Rule) -> E {
        self.note(path, rule);
        E::custom(rule)
    }

    /// The error for the client, given the parser's error.
    fn explain(&self, error: &serde_json::Error) -> DecodeError {
        // A number like 1e400 is valid JSON of the wrong type, but the parser can't represent it in its
        // error.
        let text = error.to_string();
        let wrong_type = error.classify() == Category::Data || text.starts_with("number out of range");
        match self.first_error.take() {
            Some(first) if wrong_type => first,
            _ => DecodeError::new(format!("the body is not valid JSON: {text}")),
        }
    }
}

#[derive(Clone, Copy)]
struct ObjectSeed<'a, 'm> {
    context: &'a Context<'m>,
    path: &'a Path<'a>,
    id: ObjectId,
}

impl<'de, 'm> DeserializeSeed<'de> for ObjectSeed<'_, 'm> {
    type Value = Draft<'m>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Draft<'m>, D::Error> {
        let result = deserializer.deserialize_map(self);
        result.inspect_err(|_| self.context.note(self.path, "expected an object"))
    }
}

impl<'de, 'm> Visitor<'de> for ObjectSeed<'_, 'm> {
    type Value = Draft<'m>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Draft<'m>, A::Error> {
        let Self { context, path, id } = self;
        let object = context.method.object(id);
        let mut draft = Draft::new(object);
        let mut unknown = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            let Some(index) = object.find(&name) else {
                map.next_value::<IgnoredAny>()?;
                if let Some(name) = unknown.replace(name) {
                    return Err(context.error(&path.name(&name), GIVEN_TWICE));
                }
                continue;
            };
            let field = &object.fields[index];
            let path = path.name(&field.name);
            if draft.is_given(index) {
                return Err(context.error(&path, GIVEN_TWICE));
            }
            let value = map.next_value_seed(ValueSeed { context, path: &path, shape: &field.shape })?;
            draft.set(index, value);
        }
        match draft.complete(path) {
            Ok(()) => Ok(draft),
            Err(error) => {
                context.first_error.borrow_mut().get_or_insert(error);
                Err(de::Error::custom("required"))
            }
        }
    }
}

#[derive(Clone, Copy)]
struct ValueSeed<'a, 'm> {
    context: &'a Context<'m>,
    path: &'a Path<'a>,
    shape: &'m Shape,
}

impl ValueSeed<'_, '_> {
    /// Deserializes a `T`. A value of another type breaks the rule `expected`.
    fn read<'de, T, D>(self, deserializer: D, expected: Rule) -> Result<T, D::Error>
    where
        T: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        T::deserialize(deserializer).inspect_err(|_| self.context.note(self.path, expected))
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let Self { context, path, shape } = self;
        let decoded = match shape {
            Shape::Text => scalar::text(self.read(deserializer, EXPECTED_STRING)?),
            Shape::Datetime(timestamp) => {
                let text: String = self.read(deserializer, EXPECTED_STRING)?;
                scalar::datetime(&text, timestamp)
            }
            Shape::Integer(integer) => {
                // Its text, because once parsed 1, 1.0 and 1e0 are the same.
                let text = <&RawValue>::deserialize(deserializer)?;
                scalar::integer(text.get(), *integer)
            }
            Shape::Boolean => Ok(Value::Bool(self.read(deserializer, "expected a boolean")?)),
            Shape::Object(id) => {
                Ok(ObjectSeed { context, path, id: *id }.deserialize(deserializer)?.into_value())
            }
            Shape::List(items) => {
                let list = deserializer.deserialize_seq(ListVisitor { context, path, items });
                Ok(Value::List(list.inspect_err(|_| context.note(path, "expected an array"))?))
            }
        };
        decoded.map_err(|rule| context.error(path, rule))
    }
}

struct ListVisitor<'a, 'm> {
    context: &'a Context<'m>,
    path: &'a Path<'a>,
    items: &'m Shape,
}

impl<'de> Visitor<'de> for ListVisitor<'_, '_> {
    type Value = Vec<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<Value>, A::Error> {
        let Self { context, path, items } = self;
        let mut list = Vec::new();
        loop {
            let path = path.index(list.len());
            let seed = ValueSeed { context, path: &path, shape: items };
            let Some(value) = sequence.next_element_seed(seed)? else { return Ok(list) };
            list.push(value);
        }
    }
}
