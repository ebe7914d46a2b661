//! The path of a field of the request message, as the client of the method knows it: `mute_words[1]` is
//! `input.muteWords[1]`.

use crate::binding::shape::Shape;
use crate::binding::{Method, Verb};

/// Translates `field`, a path in the request message of the rpc. The field mask of the given fields stands
/// for the whole input. `None`: the client can't set such a field.
pub(crate) fn of(method: &Method, field: &str) -> Option<String> {
    let mut path = String::from(match method.verb() {
        Verb::Query => "params",
        Verb::Procedure => "input",
    });
    if method.request().presence.as_ref().is_some_and(|presence| presence.name() == field) {
        return Some(path);
    }
    let mut object = Some(method.object(method.request().object));
    for step in field.split('.') {
        let (name, indices) = step.split_at(step.find('[').unwrap_or(step.len()));
        let field = object?.fields.iter().find(|field| field.descriptor.name() == name)?;
        path.push('.');
        path.push_str(&field.name);
        let mut shape = &field.shape;
        for index in indices.split_terminator(']') {
            let Shape::List(items) = shape else { return None };
            let index: u32 = index.strip_prefix('[')?.parse().ok()?;
            path.push_str(&format!("[{index}]"));
            shape = items;
        }
        object = match shape {
            Shape::Object(id) => Some(method.object(*id)),
            _ => None,
        };
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binding::fixture;

    const OBJECT: &str = r##""type": "object", "properties": {
        "muteWords": {"type": "array", "items": {"type": "string"}},
        "rewrite": {"type": "array", "items": {"type": "ref", "ref": "#rule"}},
        "rule": {"type": "ref", "ref": "#rule"}}"##;

    #[test]
    fn paths_of_an_input() {
        let rule = r#""rule": {"type": "object", "properties": {"replaceBy": {"type": "string"}}}"#;
        let input = format!(r#""input": {{"encoding": "application/json", "schema": {{{OBJECT}}}}}"#);
        let method = fixture::method(
            &[("com.example.do", &format!(r#"{{"main": {{"type": "procedure", {input}}}, {rule}}}"#))],
            r#"
            service Things {
              rpc Do(Thing) returns (Nothing) { option (xrpc.v1.method) = { nsid: "com.example.do" }; }
            }
            message Thing {
              string caller_did = 1 [(xrpc.v1.role) = CALLER];
              google.protobuf.FieldMask given = 2 [(xrpc.v1.role) = PRESENCE];
              repeated string mute_words = 3;
              repeated Rule rewrite = 4;
              Rule rule = 5;
            }
            message Rule { optional string replace_by = 1; }
            message Nothing {}
            "#,
        );
        for (field, path) in [
            ("mute_words", Some("input.muteWords")),
            ("mute_words[17]", Some("input.muteWords[17]")),
            ("rewrite[2].replace_by", Some("input.rewrite[2].replaceBy")),
            ("rule.replace_by", Some("input.rule.replaceBy")),
            ("given", Some("input")),
            ("caller_did", None),
            ("muteWords", None),
            ("mute_words[0][0]", None),
            ("mute_words[x]", None),
            ("mute_words[", None),
            ("mute_words.a", None),
            ("rule.nothing", None),
            ("", None),
        ] {
            assert_eq!(of(&method, field).as_deref(), path, "{field}");
        }
    }

    #[test]
    fn parameters_of_a_query() {
        let query = r#"{"main": {"type": "query", "parameters": {"type": "params", "properties": {
            "maxCount": {"type": "integer"}}}}}"#;
        let method = fixture::method(
            &[("com.example.get", query)],
            r#"
            service Things {
              rpc Get(Thing) returns (Nothing) { option (xrpc.v1.method) = { nsid: "com.example.get" }; }
            }
            message Thing { optional int64 max_count = 1; }
            message Nothing {}
            "#,
        );
        assert_eq!(of(&method, "max_count").as_deref(), Some("params.maxCount"));
    }
}
