//! Canonical JSON of a record, within bounds.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::number::write_number;
use super::{MAX_BYTES, MAX_DEPTH, MAX_KEY_UNITS, MAX_NODES, NoPayload};

/// What the values of a payload may still take up.
pub(super) struct Budget {
    nodes: usize,
    bytes: usize,
    exceeded: bool,
}

impl Budget {
    /// For the record of a payload that has `nodes` values without it.
    pub(super) fn for_a_record(nodes: usize) -> Self {
        Self { nodes: MAX_NODES.saturating_sub(nodes), bytes: MAX_BYTES, exceeded: false }
    }

    fn take<E: Error>(&mut self, nodes: usize, bytes: usize) -> Result<(), E> {
        match (self.nodes.checked_sub(nodes), self.bytes.checked_sub(bytes)) {
            (Some(nodes), Some(bytes)) => {
                self.nodes = nodes;
                self.bytes = bytes;
                Ok(())
            }
            _ => Err(self.exceed()),
        }
    }

    fn exceed<E: Error>(&mut self) -> E {
        self.exceeded = true;
        E::custom("beyond a bound")
    }
}

/// The record, one level below the top of a payload, without its field `left_out`.
pub(super) fn write(
    record: &RawValue,
    left_out: Option<&str>,
    budget: &mut Budget,
) -> Result<String, NoPayload> {
    let mut reader = serde_json::Deserializer::from_str(record.get());
    let value = Value { budget: &mut *budget, depth: 1, left_out }.deserialize(&mut reader);
    // A parser's own limit of depth lies beyond that of payloads.
    let too_large = if budget.exceeded { NoPayload::TooLarge } else { NoPayload::Unreadable };
    value.map_err(|_| too_large)
}

/// Writes a text in quotes, escaped as `JSON.stringify` does it.
pub(super) fn write_text(json: &mut String, text: &str) {
    json.push_str(&serde_json::to_string(text).expect("a text is JSON"));
}

/// One value of a payload, `depth` levels below its top. Its JSON is the result.
struct Value<'b> {
    budget: &'b mut Budget,
    depth: usize,
    left_out: Option<&'b str>,
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        if self.depth > MAX_DEPTH {
            return Err(self.budget.exceed());
        }
        self.budget.take(1, 1)?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        self.budget.take(0, text.len())?;
        let mut json = String::new();
        write_text(&mut json, text);
        Ok(json)
    }

    fn visit_unit<E>(self) -> Result<String, E> {
        Ok("null".to_owned())
    }

    fn visit_bool<E>(self, value: bool) -> Result<String, E> {
        Ok(value.to_string())
    }

    #[expect(clippy::cast_precision_loss, reason = "a JavaScript number is a double")]
    fn visit_i64<E: Error>(self, value: i64) -> Result<String, E> {
        self.visit_f64(value as f64)
    }

    #[expect(clippy::cast_precision_loss, reason = "a JavaScript number is a double")]
    fn visit_u64<E: Error>(self, value: u64) -> Result<String, E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E>(self, value: f64) -> Result<String, E> {
        let mut json = String::new();
        write_number(&mut json, value);
        Ok(json)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<String, A::Error> {
        let Self { budget, depth, left_out: _ } = self;
        let mut json = String::from("[");
        let depth = depth + 1;
        while let Some(value) =
            list.next_element_seed(Value { budget: &mut *budget, depth, left_out: None })?
        {
            if json.len() > 1 {
                json.push(',');
            }
            json.push_str(&value);
        }
        json.push(']');
        Ok(json)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<String, A::Error> {
        let Self { budget, depth, left_out } = self;
        let mut properties: Vec<(String, String)> = Vec::new();
        let depth = depth + 1;
        while let Some(key) = object.next_key::<String>()? {
            if left_out == Some(key.as_str()) {
                object.next_value::<serde::de::IgnoredAny>()?;
                continue;
            }
            if key.encode_utf16().count() > MAX_KEY_UNITS {
                return Err(budget.exceed());
            }
            budget.take(0, key.len())?;
            let value = object.next_value_seed(Value { budget: &mut *budget, depth, left_out: None })?;
            properties.push((key, value));
        }
        // As JavaScript sorts texts. Of two properties with one key the later one counts.
        properties.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
        let mut json = String::from("{");
        for (index, (key, value)) in properties.iter().enumerate() {
            if properties.get(index + 1).is_some_and(|(next, _)| next == key) {
                continue;
            }
            if json.len() > 1 {
                json.push(',');
            }
            write_text(&mut json, key);
            json.push(':');
            json.push_str(value);
        }
        json.push('}');
        Ok(json)
    }
}
