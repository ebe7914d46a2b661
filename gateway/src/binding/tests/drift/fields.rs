//! Drift between the fields of an object and those of a message.

use prost_reflect::DescriptorPool;

use super::{NSID, drift, rpc};
use crate::binding::bind;
use crate::binding::fixture::{descriptors, lexicons};

/// The drift between an input with one property `a` and a request with one field.
fn of_property(schema: &str, required: bool, field: &str) -> Vec<String> {
    let required = if required { r#"["a"]"# } else { "[]" };
    let defs = format!(
        r#"{{"main": {{"type": "procedure", "input": {{"encoding": "application/json", "schema":
            {{"type": "object", "required": {required}, "properties": {{"a": {schema}}}}}}}}},
            "array": {{"type": "array", "items": {{"type": "string"}}}},
            "token": {{"type": "token"}}}}"#
    );
    let request = format!(
        "message Request {{ {field} }} message Response {{}} message Other {{ optional string b = 1; }} \
         enum Colour {{ RED = 0; }}"
    );
    drift(
        &[
            (NSID, &defs),
            (
                "com.example.record",
                r#"{"main": {"type": "record", "key": "tid", "record": {"type": "object"}}}"#,
            ),
        ],
        &rpc(&request),
    )
}

#[test]
fn field_without_partner() {
    let string = r#"{"type": "string"}"#;
    assert_eq!(
        of_property(string, true, "string b = 1;"),
        [
            "com.example.put: input.a: no field of `made.up.Request` carries it",
            "com.example.put: input.b: the lexicon has no such field, but the proto has `made.up.Request.b`",
        ]
    );
    assert_eq!(
        of_property(string, true, r#"string b = 1 [json_name = "a"];"#),
        [
            "com.example.put: input.a: no field of `made.up.Request` carries it",
            "com.example.put: input.b: the lexicon has no such field, but the proto has `made.up.Request.b`",
        ]
    );
}

#[test]
fn field_of_a_nested_object_without_partner() {
    let schema = r#"{"type": "array", "items": {"type": "object"}}"#;
    assert_eq!(
        of_property(schema, false, "repeated Other a = 1;"),
        ["com.example.put: input.a[].b: the lexicon has no such field, but the proto has `made.up.Other.b`"]
    );
}

#[test]
fn types_that_can_not_carry_each_other() {
    for (schema, field, expected) in [
        (r#"{"type": "string"}"#, "bytes", "string can't be carried by bytes"),
        (r#"{"type": "string"}"#, "Colour", "string can't be carried by enum made.up.Colour"),
        (r#"{"type": "string"}"#, "bool", "string can't be carried by bool"),
        (r#"{"type": "string"}"#, "repeated string", "string can't be carried by repeated string"),
        (
            r#"{"type": "string"}"#,
            "google.protobuf.Timestamp",
            "string can't be carried by google.protobuf.Timestamp",
        ),
        (
            r#"{"type": "string", "format": "uri"}"#,
            "google.protobuf.Timestamp",
            "string (uri) can't be carried by google.protobuf.Timestamp",
        ),
        (
            r#"{"type": "string", "format": "datetime"}"#,
            "Other",
            "string (datetime) can't be carried by made.up.Other",
        ),
        (
            r#"{"type": "string", "format": "datetime"}"#,
            "int64",
            "string (datetime) can't be carried by int64",
        ),
        (r#"{"type": "integer"}"#, "double", "integer can't be carried by double"),
        (r#"{"type": "integer"}"#, "float", "integer can't be carried by float"),
        (r#"{"type": "integer"}"#, "string", "integer can't be carried by string"),
        (r#"{"type": "boolean"}"#, "int32", "boolean can't be carried by int32"),
        (r#"{"type": "array", "items": {"type": "string"}}"#, "string", "array can't be carried by string"),
        (
            r#"{"type": "array", "items": {"type": "string"}}"#,
            "map<string, string>",
            "array can't be carried by map",
        ),
        (r#"{"type": "object"}"#, "map<string, string>", "object can't be carried by map"),
        (r#"{"type": "object"}"#, "string", "object can't be carried by string"),
        (r##"{"type": "ref", "ref": "#array"}"##, "Other", "array can't be carried by made.up.Other"),
    ] {
        let lines = of_property(schema, true, &format!("{field} a = 1;"));
        assert_eq!(lines, [format!("com.example.put: input.a: {expected}: `made.up.Request.a`")], "{field}");
    }
}

#[test]
fn items_that_can_not_carry_each_other() {
    for (items, field, expected) in [
        (r#"{"type": "string"}"#, "repeated int32", "string can't be carried by repeated int32"),
        (
            r##"{"type": "ref", "ref": "#array"}"##,
            "repeated string",
            "array can't be carried by repeated string",
        ),
    ] {
        let lines = of_property(
            &format!(r#"{{"type": "array", "items": {items}}}"#),
            true,
            &format!("{field} a = 1;"),
        );
        assert_eq!(
            lines,
            [format!("com.example.put: input.a[]: {expected}: `made.up.Request.a`")],
            "{field}"
        );
    }
}

#[test]
fn optional_scalar_without_presence() {
    for (schema, field) in [
        (r#"{"type": "string"}"#, "string"),
        (r#"{"type": "integer"}"#, "int32"),
        (r#"{"type": "boolean", "default": false}"#, "bool"),
    ] {
        assert_eq!(
            of_property(schema, false, &format!("{field} a = 1;")),
            [
                "com.example.put: input.a: the lexicon calls it optional, so the proto field must be `optional`: `made.up.Request.a`"
            ]
        );
    }
    assert_eq!(
        drift(
            &[(
                NSID,
                r#"{"main": {"type": "procedure", "output": {"encoding": "application/json",
                    "schema": {"type": "object", "properties": {"a": {"type": "string"}}}}}}"#
            )],
            &rpc("message Request {} message Response { string a = 1; }")
        ),
        [
            "com.example.put: output.a: the lexicon calls it optional, so the proto field must be `optional`: `made.up.Response.a`"
        ]
    );
}

#[test]
fn field_in_a_oneof() {
    assert_eq!(
        of_property(r#"{"type": "string"}"#, false, "oneof choice { string a = 1; }"),
        ["com.example.put: input.a: `made.up.Request.a` is in a oneof"]
    );
}

#[test]
fn default_that_does_not_fit() {
    for (schema, field, expected) in [
        (
            r#"{"type": "integer", "default": 2147483648}"#,
            "int32",
            "does not fit the type of the proto field",
        ),
        (r#"{"type": "integer", "default": -1}"#, "uint64", "does not fit the type of the proto field"),
        (r#"{"type": "integer", "default": 0, "minimum": 1}"#, "int32", "is below the minimum"),
        (r#"{"type": "integer", "default": 2, "maximum": 1}"#, "int32", "is above the maximum"),
        (r#"{"type": "integer", "default": 2, "enum": [1]}"#, "int32", "is none of the values there are"),
        (r#"{"type": "string", "default": "b", "const": "a"}"#, "string", "is none of the values there are"),
        (r#"{"type": "string", "default": "b", "minLength": 2}"#, "string", "is too short"),
        (r#"{"type": "string", "default": "äh", "maxLength": 2}"#, "string", "is too long"),
        (
            r#"{"type": "string", "default": "today", "format": "datetime"}"#,
            "google.protobuf.Timestamp",
            "is no datetime",
        ),
        (r#"{"type": "boolean", "default": true, "const": false}"#, "bool", "is not the one value there is"),
    ] {
        let lines = of_property(schema, false, &format!("optional {field} a = 1;"));
        assert_eq!(lines, [format!("com.example.put: input.a: its default {expected}")], "{schema}");
    }
}

#[test]
fn types_that_are_not_served() {
    for kind in ["unknown", "blob", "bytes", "cid-link", "token", "null"] {
        let schema = format!(r#"{{"type": "{kind}"}}"#);
        assert_eq!(
            of_property(&schema, true, "string a = 1;"),
            [format!("com.example.put: input.a: the type `{kind}` is not served")]
        );
        assert_eq!(
            of_property(
                &format!(r#"{{"type": "array", "items": {schema}}}"#),
                true,
                "repeated string a = 1;"
            ),
            [format!("com.example.put: input.a[]: the type `{kind}` is not served")]
        );
    }
    assert_eq!(
        of_property(r##"{"type": "union", "refs": ["#token"]}"##, true, "string a = 1;"),
        ["com.example.put: input.a: the type `union` is not served"]
    );
    for (reference, expected) in [
        ("#token", "com.example.put#token: the type `token` is not served"),
        ("com.example.record", "com.example.record#main: the type `record` is not served"),
        ("com.example.put", "com.example.put#main is a method, not a type"),
        ("#nothing", "com.example.put#nothing: no document defines it"),
        ("com.example.nothing", "com.example.nothing#main: no document defines it"),
    ] {
        assert_eq!(
            of_property(&format!(r#"{{"type": "ref", "ref": "{reference}"}}"#), true, "string a = 1;"),
            [format!("com.example.put: input.a: {expected}")]
        );
    }
}

#[test]
fn nullable() {
    let defs = r#"{"main": {"type": "procedure", "input": {"encoding": "application/json", "schema": {"type": "object",
        "required": ["a"], "nullable": ["a"], "properties": {"a": {"type": "string"}}}}}}"#;
    assert_eq!(
        drift(&[(NSID, defs)], &rpc("message Request { string a = 1; } message Response {}")),
        ["com.example.put: input.a: nullable is not served"]
    );
}

#[test]
fn group() {
    let defs = r#"{"main": {"type": "procedure", "input": {"encoding": "application/json",
        "schema": {"type": "object", "properties": {"a": {"type": "object"}}}}}}"#;
    let pool = descriptors(&rpc("message Request { Other a = 1; } message Response {} message Other {}"));
    // proto3 has no groups: change the type of the field, which is encoded before the name of its message.
    let mut files = pool.encode_to_vec();
    let message = b"\x28\x0b\x32\x0e.made.up.Other";
    let at = files.windows(message.len()).position(|bytes| bytes == message).expect("the field");
    files[at + 1] = 10;
    let pool = DescriptorPool::decode(&*files).expect("descriptors");
    let drift = bind(&lexicons(&[(NSID, defs)]), &pool).expect_err("drift");
    let expected =
        "com.example.put: input.a: object can't be carried by group made.up.Other: `made.up.Request.a`";
    assert_eq!(drift.to_string(), expected);
}
