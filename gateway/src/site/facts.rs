//! The type and the rules of a value as words, the same on pages and in the OpenAPI document.

use std::fmt::Display;

use crate::lexicon::schema::{Array, Boolean, Integer, Schema, Text, Type};

/// The rules of a value: limits, allowed values, default; each a few words.
pub(super) fn of(schema: &Schema) -> Vec<String> {
    let mut facts = Vec::new();
    match &schema.kind {
        Type::String(text) => of_text(text, &mut facts),
        Type::Integer(integer) => of_integer(integer, &mut facts),
        Type::Boolean(Boolean { constant, default }) => {
            facts.extend(constant.map(|constant| format!("always {constant}")));
            facts.extend(default.map(|default| format!("default {default}")));
        }
        Type::Array(Array { items, min_length, max_length }) => {
            facts.extend(range(*min_length, *max_length, "elements"));
            facts.extend(of(items).into_iter().map(|fact| format!("each: {fact}")));
        }
        Type::Object(_) | Type::Ref(_) | Type::Unsupported(_) => {}
    }
    facts
}

fn of_text(text: &Text, facts: &mut Vec<String>) {
    let Text {
        format: _,
        min_length,
        max_length,
        min_graphemes,
        max_graphemes,
        values,
        known_values,
        default,
    } = text;
    facts.extend(range(*min_length, *max_length, "bytes"));
    facts.extend(range(*min_graphemes, *max_graphemes, "graphemes"));
    facts.extend(values.as_ref().map(|values| format!("one of {}", values.join(", "))));
    facts.extend(known_values.as_ref().map(|values| format!("such as {}", values.join(", "))));
    facts.extend(default.as_ref().map(|default| format!("default {default:?}")));
}

fn of_integer(integer: &Integer, facts: &mut Vec<String>) {
    let Integer { minimum, maximum, values, default } = integer;
    facts.extend(range(*minimum, *maximum, ""));
    let listed = |values: &Vec<i64>| values.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
    facts.extend(values.as_ref().map(|values| format!("one of {}", listed(values))));
    facts.extend(default.map(|default| format!("default {default}")));
}

fn range<N: Display>(low: Option<N>, high: Option<N>, unit: &str) -> Option<String> {
    let words = match (low, high) {
        (Some(low), Some(high)) => format!("{low} to {high} {unit}"),
        (Some(low), None) => format!("at least {low} {unit}"),
        (None, Some(high)) => format!("at most {high} {unit}"),
        (None, None) => return None,
    };
    Some(words.trim_end().to_owned())
}
