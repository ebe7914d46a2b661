//! Lexicons and protos that can be bound.

mod drift;

use prost_reflect::FieldDescriptor;
use proto::xrpc::Code;

use super::fixture::{lexicons, method, methods};
use super::shape::{Integer, Shape};
use super::{Verb, bind};
use crate::lexicon::Lexicons;

#[test]
fn embedded_lexicons_fit_the_proto() {
    let lexicons = Lexicons::embedded().expect("well-formed");
    let descriptors = prost_reflect::DescriptorPool::decode(proto::DESCRIPTORS).expect("descriptors decode");
    let methods = bind(&lexicons, &descriptors).unwrap_or_else(|drift| panic!("{drift}"));
    assert!(methods.iter().len() > 0);
    for method in methods.iter() {
        assert_eq!(methods.get(method.nsid()).map(|method| method.nsid()), Some(method.nsid()));
        assert_eq!(method.error_domain(), Some(proto::error::DOMAIN));
        assert!(method.request().caller.is_some(), "{}", method.nsid());
    }
}

#[test]
fn query_and_procedure() {
    let methods = methods(
        &[
            (
                "com.example.get",
                r#"{"main": {"type": "query", "parameters": {"type": "params", "properties": {"theId": {"type": "string"}}}}}"#,
            ),
            (
                "com.example.put",
                r#"{"main": {"type": "procedure", "input": {"encoding": "application/json", "schema": {"type": "object"}}}}"#,
            ),
            ("com.example.defs", r#"{"thing": {"type": "object"}, "word": {"type": "token"}}"#),
            (
                "com.example.record",
                r#"{"main": {"type": "record", "key": "tid", "record": {"type": "object"}}}"#,
            ),
        ],
        r#"
        service Things {
          option (xrpc.v1.error_domain) = "made.up";
          rpc Fetch(Get) returns (None) { option (xrpc.v1.method) = { nsid: "com.example.get" }; }
        }
        service Bare {
          rpc Store(None) returns (None) { option (xrpc.v1.method) = { nsid: "com.example.put" }; }
          rpc Private(stream Get) returns (stream Get);
        }
        message Get { optional string the_id = 1; }
        message None {}
        "#,
    );
    let names: Vec<_> = methods.iter().map(|method| method.nsid()).collect();
    assert_eq!(names, ["com.example.get", "com.example.put"]);
    assert!(methods.get("com.example.Get").is_none());

    let get = methods.get("com.example.get").expect("bound");
    assert_eq!((get.verb(), get.path().as_str()), (Verb::Query, "/made.up.Things/Fetch"));
    assert_eq!((get.requires_input(), get.error_domain()), (false, Some("made.up")));
    assert!(get.response().is_none());

    let put = methods.get("com.example.put").expect("bound");
    assert_eq!((put.verb(), put.path().as_str()), (Verb::Procedure, "/made.up.Bare/Store"));
    assert_eq!((put.requires_input(), put.error_domain()), (true, None));
}

#[test]
fn error_table() {
    let method = method(
        &[(
            "com.example.get",
            r#"{"main": {"type": "query", "errors": [{"name": "TooOld"}, {"name": "TooNew"}, {"name": "Unused"}]}}"#,
        )],
        r#"
        service Things {
          rpc Get(None) returns (None) {
            option (xrpc.v1.method) = {
              nsid: "com.example.get"
              errors: { code: OUT_OF_RANGE reason: "NEW" name: "TooNew" }
              errors: { code: OUT_OF_RANGE name: "TooOld" }
              errors: { code: ABORTED reason: "NEW" name: "RateLimitExceeded" }
            };
          }
        }
        message None {}
        "#,
    );
    let errors = method.errors();
    assert_eq!(errors.with_reason(Code::OutOfRange, "NEW"), Some("TooNew"));
    assert_eq!(errors.with_reason(Code::Aborted, "NEW"), Some("RateLimitExceeded"));
    assert_eq!(errors.with_reason(Code::Internal, "NEW"), None);
    assert_eq!(errors.with_reason(Code::OutOfRange, "OTHER"), None);
    assert_eq!(errors.with_reason(Code::OutOfRange, ""), None);
    assert_eq!(errors.with_code(tonic::Code::OutOfRange), Some("TooOld"));
    assert_eq!(errors.with_code(Code::Aborted), None);
    assert!(errors.declares("TooOld") && errors.declares("Unused"));
    assert!(!errors.declares("RateLimitExceeded"));
}

#[test]
fn every_pair_of_types_that_fits() {
    let schemas = [
        ("text", r#"{"type": "string", "format": "uri"}"#, "string"),
        ("written_time", r#"{"type": "string", "format": "datetime"}"#, "string"),
        ("time", r#"{"type": "string", "format": "datetime"}"#, "google.protobuf.Timestamp"),
        ("flag", r#"{"type": "boolean"}"#, "bool"),
        ("a", r#"{"type": "integer"}"#, "int32"),
        ("b", r#"{"type": "integer"}"#, "sint32"),
        ("c", r#"{"type": "integer"}"#, "sfixed32"),
        ("d", r#"{"type": "integer"}"#, "int64"),
        ("e", r#"{"type": "integer"}"#, "sint64"),
        ("f", r#"{"type": "integer"}"#, "sfixed64"),
        ("g", r#"{"type": "integer"}"#, "uint32"),
        ("h", r#"{"type": "integer"}"#, "fixed32"),
        ("i", r#"{"type": "integer"}"#, "uint64"),
        ("j", r#"{"type": "integer"}"#, "fixed64"),
        ("list", r#"{"type": "array", "items": {"type": "string"}}"#, "repeated string"),
        ("named_list", r#"{"type": "ref", "ref": "com.example.defs#list"}"#, "repeated string"),
        ("inner", r#"{"type": "object"}"#, "None"),
        ("node", r##"{"type": "ref", "ref": "#node"}"##, "Node"),
        ("other_node", r#"{"type": "ref", "ref": "com.example.put#node"}"#, "Node"),
    ];
    let camel = |name: &str| super::types::lower_camel_case(name);
    let properties: Vec<_> =
        schemas.iter().map(|(name, schema, _)| format!(r#""{}": {schema}"#, camel(name))).collect();
    let fields = schemas.iter().zip(1..).map(|((name, _, kind), number)| {
        let optional = if kind.starts_with("repeated") { "" } else { "optional " };
        format!("{optional}{kind} {name} = {number};\n")
    });
    let method = method(
        &[
            (
                "com.example.put",
                &format!(
                    r##"{{
                    "main": {{"type": "procedure", "input": {{"encoding": "application/json",
                        "schema": {{"type": "object", "properties": {{{}}}}}}}}},
                    "node": {{"type": "object", "required": ["value"], "properties": {{
                        "value": {{"type": "string"}},
                        "next": {{"type": "ref", "ref": "#node"}},
                        "children": {{"type": "array", "items": {{"type": "ref", "ref": "#node"}}}}}}}}
                    }}"##,
                    properties.join(", ")
                ),
            ),
            ("com.example.defs", r#"{"list": {"type": "array", "items": {"type": "string"}}}"#),
        ],
        &format!(
            r#"
            service Things {{
              rpc Put(Request) returns (None) {{ option (xrpc.v1.method) = {{ nsid: "com.example.put" }}; }}
            }}
            message Request {{ {} }}
            message Node {{ string value = 1; Node next = 2; repeated Node children = 3; }}
            message None {{}}
            "#,
            fields.collect::<String>()
        ),
    );
    let object = method.object(method.request().object);
    let names: Vec<_> = object.fields.iter().map(|field| field.name.to_string()).collect();
    assert_eq!(names, schemas.map(|(name, ..)| camel(name)));

    let shape = |name: &str| &object.fields[object.find(name).expect("a field")].shape;
    assert!(matches!(shape("text"), Shape::Text));
    assert!(matches!(shape("writtenTime"), Shape::Text));
    assert!(matches!(shape("time"), Shape::Datetime(_)));
    assert!(matches!(shape("c"), Shape::Integer(Integer::I32)));
    assert!(matches!(shape("f"), Shape::Integer(Integer::I64)));
    assert!(matches!(shape("h"), Shape::Integer(Integer::U32)));
    assert!(matches!(shape("j"), Shape::Integer(Integer::U64)));
    assert!(matches!(shape("namedList"), Shape::List(items) if matches!(**items, Shape::Text)));
    assert!(object.find("written_time").is_none());

    let (Shape::Object(node), Shape::Object(other)) = (shape("node"), shape("otherNode")) else {
        panic!("objects")
    };
    assert_eq!(node, other);
    let node_object = method.object(*node);
    let next = node_object.find("next").map(|index| &node_object.fields[index].shape);
    assert!(matches!(next, Some(Shape::Object(next)) if next == node));
}

#[test]
fn roles_have_no_partner() {
    let method = method(
        &[("com.example.put", r#"{"main": {"type": "procedure"}}"#)],
        r#"
        service Things {
          rpc Put(Request) returns (None) { option (xrpc.v1.method) = { nsid: "com.example.put" }; }
        }
        message Request {
          string who = 1 [(xrpc.v1.role) = CALLER];
          google.protobuf.FieldMask given = 2 [(xrpc.v1.role) = PRESENCE];
        }
        message None {}
        "#,
    );
    let request = method.request();
    let number = |field: &Option<FieldDescriptor>| field.as_ref().map(FieldDescriptor::number);
    assert_eq!((number(&request.caller), number(&request.presence)), (Some(1), Some(2)));
    assert!(method.object(request.object).fields.is_empty());
}

#[test]
fn no_descriptors_at_all() {
    let drift = bind(&lexicons(&[]), &prost_reflect::DescriptorPool::new()).expect_err("drift");
    assert_eq!(drift.to_string(), "descriptors: xrpc/v1/annotations.proto is not among them");
}
