//! Each kind of drift and its line.

mod fields;

use crate::binding::bind;
use crate::binding::fixture::{descriptors, lexicons};

const NSID: &str = "com.example.put";

/// The lines of the drift between lexicon documents and a proto.
fn drift(documents: &[(&str, &str)], proto: &str) -> Vec<String> {
    let drift = bind(&lexicons(documents), &descriptors(proto)).expect_err("drift");
    drift.to_string().lines().map(str::to_owned).collect()
}

/// A proto with one rpc for [`NSID`] and these messages.
fn rpc(messages: &str) -> String {
    format!(
        r#"service Things {{
          rpc Put(Request) returns (Response) {{ option (xrpc.v1.method) = {{ nsid: "{NSID}" }}; }}
        }}
        message None {{}}
        {messages}"#
    )
}

/// The drift between a document with this main definition and messages without fields.
fn of_main(main: &str) -> Vec<String> {
    drift(&[(NSID, &format!(r#"{{"main": {main}}}"#))], &rpc("message Request {} message Response {}"))
}

#[test]
fn lexicon_without_rpc() {
    let documents = [("com.example.get", r#"{"main": {"type": "query"}}"#)];
    assert_eq!(drift(&documents, ""), ["com.example.get: no rpc serves it"]);
}

#[test]
fn rpc_without_lexicon() {
    let proto = rpc("message Request {} message Response {}");
    assert_eq!(
        drift(&[], &proto),
        ["com.example.put: `made.up.Things.Put` serves it, but no lexicon describes it"]
    );
    assert_eq!(
        drift(&[(NSID, r#"{"thing": {"type": "token"}}"#)], &proto),
        ["com.example.put: `made.up.Things.Put` serves it, but no lexicon describes it"]
    );
}

#[test]
fn two_rpcs_for_one_nsid() {
    let proto = r#"
        service Things {
          rpc One(None) returns (None) { option (xrpc.v1.method) = { nsid: "com.example.put" }; }
          rpc Two(None) returns (None) { option (xrpc.v1.method) = { nsid: "com.example.put" }; }
          rpc Three(None) returns (None) { option (xrpc.v1.method) = {}; }
        }
        message None {}"#;
    assert_eq!(
        drift(&[(NSID, r#"{"main": {"type": "procedure"}}"#)], proto),
        [
            "com.example.put: two rpcs serve it: `made.up.Things.One` and `made.up.Things.Two`",
            "`made.up.Things.Three`: its option (xrpc.v1.method): it names no NSID",
        ]
    );
}

#[test]
fn streaming_rpc() {
    let proto = r#"
        service Things {
          rpc Put(None) returns (stream None) { option (xrpc.v1.method) = { nsid: "com.example.put" }; }
        }
        message None {}"#;
    assert_eq!(
        drift(&[(NSID, r#"{"main": {"type": "procedure"}}"#)], proto),
        ["com.example.put: `made.up.Things.Put` is a streaming rpc"]
    );
}

#[test]
fn subscription() {
    assert_eq!(of_main(r#"{"type": "subscription"}"#), ["com.example.put: a subscription is not served"]);
}

#[test]
fn bodies_that_are_not_served() {
    for (body, expected) in [
        (r#"{"encoding": "*/*"}"#, "the encoding `*/*` is not served"),
        (r#"{"encoding": "application/json"}"#, "a body without a schema is not served"),
        (
            r##"{"encoding": "application/json", "schema": {"type": "union", "refs": ["#a"]}}"##,
            "the type `union` is not served",
        ),
        (
            r##"{"encoding": "application/json", "schema": {"type": "ref", "ref": "com.example.put#nothing"}}"##,
            "com.example.put#nothing: no document defines it",
        ),
    ] {
        let main = format!(r#"{{"type": "procedure", "input": {body}, "output": {body}}}"#);
        let lines = of_main(&main);
        assert_eq!(
            lines,
            [format!("com.example.put: input: {expected}"), format!("com.example.put: output: {expected}")]
        );
    }
    assert_eq!(
        drift(
            &[(
                NSID,
                r##"{"main": {"type": "procedure", "input": {"encoding": "application/json",
                    "schema": {"type": "ref", "ref": "#text"}}}, "text": {"type": "string"}}"##
            )],
            &rpc("message Request {} message Response {}")
        ),
        ["com.example.put: input: a body that is no object is not served"]
    );
}

#[test]
fn parameters_of_a_procedure() {
    assert_eq!(
        of_main(r#"{"type": "procedure", "parameters": {"type": "params"}}"#),
        ["com.example.put: params: the parameters of a procedure are not served"]
    );
}

#[test]
fn answer_without_output() {
    assert_eq!(
        drift(
            &[(NSID, r#"{"main": {"type": "procedure"}}"#)],
            &rpc("message Request {} message Response { string a = 1; }")
        ),
        ["com.example.put: output: the lexicon has none, but `made.up.Response` has fields"]
    );
}

#[test]
fn output_without_answer() {
    assert_eq!(
        of_main(
            r#"{"type": "procedure", "output": {"encoding": "application/json", "schema": {"type": "object",
                "properties": {"a": {"type": "string"}}}}}"#
        ),
        ["com.example.put: output.a: no field of `made.up.Response` carries it"]
    );
}

#[test]
fn roles_in_the_wrong_place() {
    let of_request = |fields: &str| {
        drift(
            &[(NSID, r#"{"main": {"type": "procedure"}}"#)],
            &rpc(&format!("message Request {{ {fields} }} message Response {{}}")),
        )
    };
    let caller = "the role CALLER belongs on one string field";
    let presence = "the role PRESENCE belongs on one google.protobuf.FieldMask field";
    for (fields, expected) in [
        ("bytes a = 1 [(xrpc.v1.role) = CALLER];", format!("`made.up.Request.a`: {caller}")),
        ("repeated string a = 1 [(xrpc.v1.role) = CALLER];", format!("`made.up.Request.a`: {caller}")),
        (
            "string a = 1 [(xrpc.v1.role) = CALLER]; string b = 2 [(xrpc.v1.role) = CALLER];",
            format!("`made.up.Request.b`: {caller}"),
        ),
        ("repeated string a = 1 [(xrpc.v1.role) = PRESENCE];", format!("`made.up.Request.a`: {presence}")),
        ("None a = 1 [(xrpc.v1.role) = PRESENCE];", format!("`made.up.Request.a`: {presence}")),
        (
            "repeated google.protobuf.FieldMask a = 1 [(xrpc.v1.role) = PRESENCE];",
            format!("`made.up.Request.a`: {presence}"),
        ),
    ] {
        assert_eq!(of_request(fields), [format!("com.example.put: input: {expected}")], "{fields}");
    }
    assert_eq!(
        drift(
            &[(
                NSID,
                r#"{"main": {"type": "procedure", "output": {"encoding": "application/json", "schema": {"type": "object"}}}}"#
            )],
            &rpc("message Request {} message Response { string a = 1 [(xrpc.v1.role) = CALLER]; }")
        ),
        ["com.example.put: output: `made.up.Response.a`: the role CALLER belongs in a request itself"]
    );
}

#[test]
fn error_tables_that_do_not_fit() {
    let of_errors = |errors: &str| {
        let proto = format!(
            r#"service Things {{ rpc Put(None) returns (None) {{
                option (xrpc.v1.method) = {{ nsid: "{NSID}" {errors} }}; }} }}
            message None {{}}"#
        );
        drift(&[(NSID, r#"{"main": {"type": "procedure", "errors": [{"name": "Known"}]}}"#)], &proto)
    };
    for (errors, expected) in [
        (r#"errors: { code: ABORTED name: "Other" }"#, "ABORTED: the lexicon does not declare `Other`"),
        (
            r#"errors: { code: ABORTED reason: "R" name: "NotFound" }"#,
            "ABORTED R: the lexicon does not declare `NotFound`",
        ),
        (r#"errors: { code: ABORTED }"#, "ABORTED: the lexicon does not declare ``"),
        (r#"errors: { code: OK name: "Known" }"#, "OK: OK is no failure"),
        (
            r#"errors: { code: ABORTED name: "Known" } errors: { code: ABORTED name: "Forbidden" }"#,
            "ABORTED: two rows for it",
        ),
        (
            r#"errors: { code: ABORTED reason: "R" name: "Known" } errors: { code: ABORTED reason: "R" name: "Known" }"#,
            "ABORTED R: two rows for it",
        ),
    ] {
        assert_eq!(of_errors(errors), [format!("com.example.put: errors: {expected}")], "{errors}");
    }
}

#[test]
fn everything_is_told_at_once() {
    let lines = drift(
        &[
            ("com.example.get", r#"{"main": {"type": "query"}}"#),
            (
                NSID,
                r#"{"main": {"type": "procedure", "input": {"encoding": "text/plain"},
                    "output": {"encoding": "application/json", "schema": {"type": "object",
                    "properties": {"a": {"type": "blob"}, "b": {"type": "string"}}}}}}"#,
            ),
        ],
        &rpc(
            "message Request {} message Response { optional bytes a = 1; optional bytes b = 2; optional bytes c = 3; }",
        ),
    );
    assert_eq!(lines.len(), 5, "{lines:#?}");
}
