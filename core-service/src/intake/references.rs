//! The references in a record: string values that are at-uris.
//!
//! A record is a stranger's, so the walk through it has bounds; beyond one of them the record refers to
//! nothing that is known.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::scope::{AtUri, did_of};

/// How many levels of objects and lists are walked.
const MAX_DEPTH: usize = 32;
/// The most values of a record that is walked.
const MAX_NODES: usize = 2048;
/// All string values of a record that is walked together, in bytes.
const MAX_TEXT_BYTES: usize = 256 * 1024;
/// The most properties of an object that is walked.
const MAX_PROPERTIES: usize = 256;
/// The most references that matter.
const MAX_REFERENCES: usize = 100;

/// The record has more than one of the bounds allows, or is no JSON that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record is too large, too deep or not readable")]
pub(crate) struct TooComplex;

/// At-uris, none of them twice.
///
/// `Display` and [`References::stored`] are for the database: one a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct References(Vec<AtUri>);

impl References {
    /// The references of `record` whose DID is `relevant`.
    ///
    /// # Errors
    ///
    /// The record goes beyond a bound of the walk.
    pub(crate) fn of(record: &RawValue, relevant: impl Fn(&str) -> bool) -> Result<Self, TooComplex> {
        let json = record.get();
        // Without either there is no at-uri, not even one with escapes in it.
        if !json.contains("at:") && !json.contains('\\') {
            return Ok(Self::default());
        }
        let mut walk = Walk { relevant, found: Vec::new(), nodes: 0, text_bytes: 0 };
        let mut reader = serde_json::Deserializer::from_str(json);
        Value { walk: &mut walk, depth: 0 }.deserialize(&mut reader).map_err(|_| TooComplex)?;
        Ok(Self(walk.found))
    }

    /// Reads what `Display` wrote. A line that is no at-uri is left out.
    pub(crate) fn stored(text: &str) -> Self {
        Self(text.lines().filter_map(AtUri::parse).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &AtUri> {
        self.0.iter()
    }

    /// These and those: what an update takes away and what it brings both count.
    pub(crate) fn and(mut self, others: &Self) -> Self {
        for other in others.iter() {
            if !self.0.contains(other) {
                self.0.push(other.clone());
            }
        }
        self
    }
}

impl fmt::Display for References {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, uri) in self.0.iter().enumerate() {
            let line_end = if index == 0 { "" } else { "\n" };
            write!(f, "{line_end}{uri}")?;
        }
        Ok(())
    }
}

/// What the walk has seen.
struct Walk<F> {
    relevant: F,
    found: Vec<AtUri>,
    nodes: usize,
    text_bytes: usize,
}

impl<F: Fn(&str) -> bool> Walk<F> {
    fn text<E: Error>(&mut self, text: &str) -> Result<(), E> {
        self.text_bytes += text.len();
        if self.text_bytes > MAX_TEXT_BYTES {
            return Err(E::custom(TooComplex));
        }
        let uri = text.trim_matches(is_space).trim_end_matches(is_punctuation);
        if !did_of(uri).is_some_and(&self.relevant) {
            return Ok(());
        }
        let uri = AtUri::parse(uri).filter(|uri| !self.found.contains(uri));
        if uri.is_some() && self.found.len() == MAX_REFERENCES {
            return Err(E::custom(TooComplex));
        }
        self.found.extend(uri);
        Ok(())
    }
}

/// As JavaScript's `trim` has it.
fn is_space(character: char) -> bool {
    character.is_whitespace() || character == '\u{feff}'
}

/// What ends a sentence or a bracket, and no at-uri.
fn is_punctuation(character: char) -> bool {
    "),;!?]}'\".".contains(character)
}

/// One value of the record, `depth` levels below its top.
struct Value<'w, F> {
    walk: &'w mut Walk<F>,
    depth: usize,
}

impl<F> Value<'_, F> {
    /// One level down, if that is still walked.
    fn enter<E: Error>(&self) -> Result<usize, E> {
        if self.depth < MAX_DEPTH { Ok(self.depth + 1) } else { Err(E::custom(TooComplex)) }
    }
}

impl<'de, F: Fn(&str) -> bool> DeserializeSeed<'de> for Value<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.walk.nodes += 1;
        if self.walk.nodes > MAX_NODES {
            return Err(D::Error::custom(TooComplex));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: Fn(&str) -> bool> Visitor<'de> for Value<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.walk.text(text)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _value: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _value: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _value: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _value: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let depth = self.enter()?;
        while list.next_element_seed(Value { walk: &mut *self.walk, depth })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let depth = self.enter()?;
        let mut properties = 0;
        while object.next_key::<IgnoredAny>()?.is_some() {
            properties += 1;
            if properties > MAX_PROPERTIES {
                return Err(A::Error::custom(TooComplex));
            }
            object.next_value_seed(Value { walk: &mut *self.walk, depth })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};
    use serde_json::{Value as Json, json};

    use super::*;

    const DID: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";

    fn of_text(json: &str) -> Result<Vec<String>, TooComplex> {
        let raw: &RawValue = serde_json::from_str(json).unwrap();
        let found = References::of(raw, |did| did == DID)?;
        assert_eq!(References::stored(&found.to_string()), found);
        Ok(found.iter().map(ToString::to_string).collect())
    }

    fn of(record: &Json) -> Result<Vec<String>, TooComplex> {
        of_text(&record.to_string())
    }

    #[test]
    fn what_is_a_reference() {
        let uri = format!("at://{DID}/app.bsky.feed.post/3l6oveex3ii2l");
        for text in [
            uri.clone(),
            format!("  {uri}\n"),
            format!("\u{feff}\u{3000}{uri}\u{2029}"),
            format!("{uri}."),
            format!("{uri}\"'}})];!?,."),
        ] {
            assert_eq!(of(&json!({"subject": {"uri": text}})).unwrap(), [uri.as_str()], "{text:?}");
        }
        for text in [
            DID.to_owned(),
            format!("see {uri}"),
            format!("{uri} or so"),
            format!("({uri})"),
            "at://did:plc:z72i7hdynmk6r22z27h6tvur".to_owned(),
            "at://alice.example".to_owned(),
            format!("AT://{DID}"),
        ] {
            assert_eq!(of(&json!({"subject": text})).unwrap(), [""; 0], "{text:?}");
        }
        // A property's name is no value.
        assert_eq!(of(&json!({uri.clone(): 1, "at:": "a"})).unwrap(), [""; 0]);
        assert_eq!(
            of(&json!([uri, {"a": [format!("at://{DID}")]}, uri])).unwrap(),
            [uri, format!("at://{DID}")]
        );
    }

    #[test]
    fn escapes() {
        let escaped = format!(r#"{{"a":"\u0061t:\/\/{DID}"}}"#);
        assert_eq!(of_text(&escaped).unwrap(), [format!("at://{DID}")]);
        assert_eq!(of_text(r#"{"a":"\ud800"}"#), Err(TooComplex));
    }

    #[test]
    fn bounds() {
        let uri = format!("at://{DID}");
        let nested = |levels: usize| (0..levels).fold(json!(uri), |inner, _| json!([inner]));
        assert_eq!(of(&nested(MAX_DEPTH)).unwrap(), [uri.as_str()]);
        assert_eq!(of(&nested(MAX_DEPTH + 1)), Err(TooComplex));
        let deep = format!("{}\"{uri}\"{}", "{\"a\":".repeat(20_000), "}".repeat(20_000));
        assert_eq!(of_text(&deep), Err(TooComplex));

        // The list and the reference are values too.
        let list = |more: usize| {
            let mut list = vec![json!(uri)];
            list.extend(std::iter::repeat_n(json!(0), more));
            of(&json!(list))
        };
        assert_eq!(list(MAX_NODES - 2).unwrap(), [uri.as_str()]);
        assert_eq!(list(MAX_NODES - 1), Err(TooComplex));

        let text =
            |bytes: usize| of(&json!({"a": uri, "b": "é".repeat(bytes / 2), "c": "x".repeat(bytes % 2)}));
        assert_eq!(text(MAX_TEXT_BYTES - uri.len()).unwrap(), [uri.as_str()]);
        assert_eq!(text(MAX_TEXT_BYTES - uri.len() + 1), Err(TooComplex));

        let object = |properties: usize| {
            let object: serde_json::Map<_, _> =
                (0..properties).map(|index| (index.to_string(), json!(uri))).collect();
            of(&json!([object, {}]))
        };
        assert_eq!(object(MAX_PROPERTIES).unwrap(), [uri.as_str()]);
        assert_eq!(object(MAX_PROPERTIES + 1), Err(TooComplex));

        let many = |count: usize| {
            let mut uris: Vec<_> = (0..count).map(|index| format!("at://{DID}/a.b.c/{index}")).collect();
            uris.extend((0..500).map(|index| format!("at://did:web:{index}.example")));
            uris.push(uris[0].clone());
            of(&json!(uris))
        };
        assert_eq!(many(MAX_REFERENCES).unwrap().len(), MAX_REFERENCES);
        assert_eq!(many(MAX_REFERENCES + 1), Err(TooComplex));
    }

    #[test]
    fn old_and_new() {
        let old = References::stored("at://did:web:a.example\nat://did:web:b.example\nno at-uri");
        let new = References::stored("at://did:web:b.example\nat://did:web:c.example/a.b.c");
        let both = old.and(&new).to_string();
        assert_eq!(both, "at://did:web:a.example\nat://did:web:b.example\nat://did:web:c.example/a.b.c");
        assert!(References::default().is_empty());
    }

    /// As the rule says it, on a record that is read whole.
    fn naive(value: &Json, found: &mut Vec<String>) {
        match value {
            Json::String(text) => {
                let uri = AtUri::parse(text.trim().trim_end_matches(is_punctuation));
                let uri = uri.filter(|uri| uri.did.as_str() == DID).map(|uri| uri.to_string());
                found.extend(uri.filter(|uri| !found.contains(uri)));
            }
            Json::Array(list) => list.iter().for_each(|value| naive(value, found)),
            Json::Object(object) => object.values().for_each(|value| naive(value, found)),
            Json::Null | Json::Bool(_) | Json::Number(_) => {}
        }
    }

    fn record() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            any::<f64>().prop_map(|number| json!(number)),
            any::<i64>().prop_map(|number| json!(number)),
            any::<String>().prop_map(|text| json!(text)),
            "(at://|)(did:plc:ewvi7nxzyoun6zhxrhs64oiz|did:web:a|alice)(/a.b.c|)(/[a-z]|)[ ).]{0,2}"
                .prop_map(|text| json!(text)),
            Just(json!(null)),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(|list| json!(list)),
                proptest::collection::btree_map("[a-c]", inner, 0..4).prop_map(|object| json!(object)),
            ]
        })
    }

    proptest! {
        #[test]
        fn all_of_a_record_within_the_bounds(record in record()) {
            let mut expected = Vec::new();
            naive(&record, &mut expected);
            prop_assert_eq!(of(&record).unwrap(), expected);
        }
    }
}
