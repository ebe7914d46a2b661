//! JSON values of a lexicon document: properties keep their order, a name that is given twice is an error,
//! and each value knows its location.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

/// A JSON value. A lexicon uses only numbers that are 64-bit integers.
#[derive(Debug)]
pub(super) enum Json {
    Null,
    Boolean(bool),
    Integer(i64),
    OtherNumber,
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// What is wrong with a document, and where.
#[derive(Debug, thiserror::Error)]
#[error("{location}: {problem}")]
pub(super) struct Malformed {
    location: String,
    problem: String,
}

impl Malformed {
    /// `location` is a path in the document: `defs.main.type`.
    pub(super) fn new(location: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { location: location.into(), problem: problem.into() }
    }
}

/// A value and its location.
#[derive(Debug)]
pub(super) struct Node<'a> {
    pub(super) location: String,
    json: &'a Json,
}

impl<'a> Node<'a> {
    /// The whole document.
    pub(super) fn document(json: &'a Json) -> Self {
        Self { location: "document".to_owned(), json }
    }

    pub(super) fn refuse<T>(&self, problem: impl Into<String>) -> Result<T, Malformed> {
        Err(Malformed::new(self.location.clone(), problem))
    }

    /// The property `name` of an object.
    pub(super) fn optional(&self, name: &str) -> Result<Option<Node<'a>>, Malformed> {
        let Some((_, json)) = self.properties()?.iter().find(|(key, _)| key == name) else {
            return Ok(None);
        };
        Ok(Some(self.below(name, json)))
    }

    /// The property `name` of an object, which must be there.
    pub(super) fn required(&self, name: &str) -> Result<Node<'a>, Malformed> {
        match self.optional(name)? {
            Some(node) => Ok(node),
            None => self.refuse(format!("`{name}` is missing")),
        }
    }

    /// The properties of an object, in order.
    pub(super) fn entries(&self) -> Result<Vec<(&'a str, Node<'a>)>, Malformed> {
        let properties = self.properties()?;
        Ok(properties.iter().map(|(name, json)| (name.as_str(), self.below(name, json))).collect())
    }

    /// The elements of an array.
    pub(super) fn elements(&self) -> Result<Vec<Node<'a>>, Malformed> {
        let Json::Array(elements) = self.json else { return self.refuse("expected an array") };
        let node = |(index, json)| Node { location: format!("{}[{index}]", self.location), json };
        Ok(elements.iter().enumerate().map(node).collect())
    }

    pub(super) fn string(&self) -> Result<&'a str, Malformed> {
        match self.json {
            Json::String(text) => Ok(text),
            _ => self.refuse("expected a string"),
        }
    }

    pub(super) fn integer(&self) -> Result<i64, Malformed> {
        match self.json {
            Json::Integer(number) => Ok(*number),
            _ => self.refuse("expected an integer"),
        }
    }

    /// A length or size.
    pub(super) fn count(&self) -> Result<u64, Malformed> {
        match u64::try_from(self.integer()?) {
            Ok(count) => Ok(count),
            Err(_) => self.refuse("expected an integer that is not negative"),
        }
    }

    pub(super) fn boolean(&self) -> Result<bool, Malformed> {
        match self.json {
            Json::Boolean(value) => Ok(*value),
            _ => self.refuse("expected a boolean"),
        }
    }

    /// The strings of an array.
    pub(super) fn strings(&self) -> Result<Vec<String>, Malformed> {
        self.elements()?.iter().map(|element| element.string().map(str::to_owned)).collect()
    }

    /// The property `name` as `read` reads it.
    pub(super) fn optional_as<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Node<'a>) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        self.optional(name)?.as_ref().map(read).transpose()
    }

    fn properties(&self) -> Result<&'a [(String, Json)], Malformed> {
        match self.json {
            Json::Object(properties) => Ok(properties),
            _ => self.refuse("expected an object"),
        }
    }

    fn below(&self, name: &str, json: &'a Json) -> Node<'a> {
        let location =
            if self.location == "document" { name.to_owned() } else { format!("{}.{name}", self.location) };
        Node { location, json }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(i64::try_from(value).map_or(Json::OtherNumber, Json::Integer))
    }

    fn visit_f64<E>(self, _value: f64) -> Result<Json, E> {
        Ok(Json::OtherNumber)
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Json, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = sequence.next_element()? {
            elements.push(element);
        }
        Ok(Json::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut properties: Vec<(String, Json)> = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, Json>()? {
            if properties.iter().any(|(other, _)| *other == name) {
                return Err(de::Error::custom(format!("`{name}` is given twice")));
            }
            properties.push((name, value));
        }
        Ok(Json::Object(properties))
    }
}
