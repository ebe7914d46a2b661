//! Valid and invalid documents.

mod any_json;

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::schema::{Definition, Schema, Type};
use super::{EMBEDDED, Lexicons, parse};

fn problem(text: &str) -> String {
    parse::document(text).expect_err("malformed").to_string()
}

fn with_defs(defs: &str) -> String {
    format!(r#"{{"lexicon": 1, "id": "com.example.thing", "defs": {defs}}}"#)
}

fn with_main(main: &str) -> String {
    with_defs(&format!(r#"{{"main": {main}}}"#))
}

#[test]
fn embedded_documents_are_lexicons_where_their_id_says() {
    let lexicons = Lexicons::embedded().expect("embedded documents are well-formed");
    assert_eq!(lexicons.documents().count(), EMBEDDED.len());
    for (path, text) in EMBEDDED {
        let document = parse::document(text).expect("well-formed");
        assert_eq!(*path, format!("{}.json", document.id.replace('.', "/")));
    }
}

#[test]
fn every_type_of_the_language_is_known() {
    for schema in [
        r#"{"type": "object"}"#,
        r#"{"type": "object", "required": ["a"], "nullable": ["a"], "properties": {"a": {"type": "unknown"}}}"#,
        r##"{"type": "array", "items": {"type": "union", "refs": ["#a", "com.example.b", "com.example.b#c"]}}"##,
        r#"{"type": "array", "minLength": 1, "maxLength": 2, "items": {"type": "ref", "ref": "com.example.b"}}"#,
        r#"{"type": "string", "format": "uri", "minLength": 0, "maxLength": 9, "minGraphemes": 1,
            "maxGraphemes": 2, "enum": ["a"], "knownValues": ["b"], "const": "a", "default": "a"}"#,
        r#"{"type": "integer", "minimum": -1, "maximum": 9, "enum": [1, 2], "const": 1, "default": 1}"#,
        r#"{"type": "boolean", "const": true, "default": true}"#,
        r#"{"type": "blob", "accept": ["image/*"], "maxSize": 100}"#,
        r#"{"type": "bytes", "minLength": 1, "maxLength": 2}"#,
        r#"{"type": "cid-link"}"#,
        r#"{"type": "token", "description": "a word"}"#,
        r#"{"type": "null"}"#,
    ] {
        parse::document(&with_defs(&format!(r#"{{"a": {schema}}}"#))).expect(schema);
    }
    for main in [
        r#"{"type": "query"}"#,
        r#"{"type": "procedure", "input": {"encoding": "*/*"}, "output": {"encoding": "text/plain"}}"#,
        r##"{"type": "subscription", "parameters": {"type": "params"}, "errors": [{"name": "Old"}],
            "message": {"schema": {"type": "union", "refs": ["#a"]}}}"##,
        r#"{"type": "record", "key": "tid", "record": {"type": "object"}}"#,
        r#"{"type": "permission-set", "permissions": [{"type": "permission", "resource": "rpc"}]}"#,
    ] {
        parse::document(&with_main(main)).expect(main);
    }
}

/// The interop test vectors of AT Protocol.
#[test]
fn ids_are_nsids() {
    let parsed = |id: &str| {
        let document = serde_json::json!({"lexicon": 1, "id": id, "defs": {"a": {"type": "token"}}});
        parse::document(&document.to_string()).is_ok()
    };
    let long = |count| format!("com.{}.foo", "o".repeat(count));
    for id in [
        long(63).as_str(),
        &format!("com.example.{}", "o".repeat(63)),
        &format!("com.{}foo", "middle.".repeat(44)),
        "com.example.fooBar",
        "net.users.bob.ping",
        "a.b.c",
        "m.xn--masekowski-d0b.pl",
        "one.two.three.four-and.FiVe",
        "one.2.three",
        "a-0.b-1.c",
        "a0.b1.cc",
        "cn.8.lex.stuff",
        "test.12345.record",
        "a.0.c",
        "com.example.f00",
        "org.4chan.lex.getThing",
        "onion.2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.lex.deleteThing",
    ] {
        assert!(parsed(id), "{id}");
    }
    for id in [
        long(64).as_str(),
        &format!("com.example.{}", "o".repeat(64)),
        &format!("com.{}foo", "middle.".repeat(45)),
        "com.example.foo.*",
        "com.example.foo.blah*",
        "com.exa💩ple.thing",
        "a-0.b-1.c-3",
        "a-0.b-1.c-o",
        "1.0.0.127.record",
        "0two.example.foo",
        "example.com",
        "a.",
        ".one.two.three",
        "one.two.three ",
        "one.two..three",
        " one.two.three",
        "com.atproto.feed.p@st",
        "com.atproto.feed.p_st",
        "com.example-.foo",
        "com.example.fooBar.2",
    ] {
        assert!(!parsed(id), "{id}");
    }
}

#[test]
fn properties_keep_their_order() {
    let document = parse::document(&with_defs(
        r#"{"a": {"type": "object", "properties": {"z": {"type": "null"}, "m": {"type": "null"}, "a": {"type": "null"}}}}"#,
    ))
    .expect("well-formed");
    let Some(Definition::Schema(Schema { kind: Type::Object(object), .. })) = document.definitions.get("a")
    else {
        panic!("an object")
    };
    let names: Vec<_> = object.properties.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["z", "m", "a"]);
}

#[test]
fn malformed_documents_are_refused_with_the_place() {
    for (text, expected) in [
        ("", "document: no valid JSON: EOF while parsing a value at line 1 column 0"),
        ("[]", "document: expected an object"),
        ("{}", "document: `lexicon` is missing"),
        (r#"{"lexicon": 2}"#, "lexicon: expected 1"),
        (r#"{"lexicon": 1.0}"#, "lexicon: expected an integer"),
        (r#"{"lexicon": 1, "id": "one-two"}"#, "id: no NSID"),
        (r#"{"lexicon": 1, "id": 3}"#, "id: expected a string"),
        (r#"{"lexicon": 1, "id": "com.example.a"}"#, "document: `defs` is missing"),
        (r#"{"lexicon": 1, "id": "com.example.a", "defs": {}}"#, "defs: expected at least one definition"),
        (
            r#"{"lexicon": 1, "id": "com.example.a", "id": "com.example.b"}"#,
            "document: no valid JSON: `id` is given twice at line 1 column 60",
        ),
    ] {
        assert_eq!(problem(text), expected, "{text}");
    }
}

#[test]
fn malformed_definitions_are_refused_with_the_place() {
    for (defs, expected) in [
        (r#"{"a#b": {"type": "token"}}"#, "defs.a#b: no name of a definition"),
        (r#"{"a": {}}"#, "defs.a: `type` is missing"),
        (
            r#"{"a": {"type": "ref", "ref": "com.example.b"}}"#,
            "defs.a.type: this type can't be a definition of its own",
        ),
        (r#"{"a": {"type": "unknown"}}"#, "defs.a.type: this type can't be a definition of its own"),
        (r#"{"a": {"type": "query"}}"#, "defs.a.type: this type can only be the definition `main`"),
        (r#"{"a": {"type": "float"}}"#, "defs.a.type: no type of the lexicon language that can stand here"),
        (r#"{"a": {"type": "object", "required": ["b"]}}"#, "defs.a.required: `b` is none of the properties"),
        (r#"{"a": {"type": "object", "nullable": ["b"]}}"#, "defs.a.nullable: `b` is none of the properties"),
        (
            r#"{"a": {"type": "object", "properties": {"b": {"type": "query"}}}}"#,
            "defs.a.properties.b.type: no type of the lexicon language that can stand here",
        ),
        (r#"{"a": {"type": "object", "properties": null}}"#, "defs.a.properties: expected an object"),
        (r#"{"a": {"type": "array"}}"#, "defs.a: `items` is missing"),
        (
            r#"{"a": {"type": "array", "items": {"type": "ref", "ref": "x#y"}}}"#,
            "defs.a.items.ref: no reference: what is before the `#` is no NSID",
        ),
        (
            r##"{"a": {"type": "array", "items": {"type": "union", "refs": ["#b", "#"]}}}"##,
            "defs.a.items.refs[1]: no reference",
        ),
        (
            r#"{"a": {"type": "string", "maxLength": -1}}"#,
            "defs.a.maxLength: expected an integer that is not negative",
        ),
        (
            r#"{"a": {"type": "string", "minLength": 2, "maxLength": 1}}"#,
            "defs.a: `minLength` is above `maxLength`",
        ),
        (r#"{"a": {"type": "string", "default": 1}}"#, "defs.a.default: expected a string"),
        (r#"{"a": {"type": "string", "enum": ["b", 1]}}"#, "defs.a.enum[1]: expected a string"),
        (r#"{"a": {"type": "integer", "minimum": 2, "maximum": 1}}"#, "defs.a: `minimum` is above `maximum`"),
        (r#"{"a": {"type": "integer", "default": "1"}}"#, "defs.a.default: expected an integer"),
        (
            r#"{"a": {"type": "integer", "maximum": 9223372036854775808}}"#,
            "defs.a.maximum: expected an integer",
        ),
        (r#"{"a": {"type": "boolean", "default": 0}}"#, "defs.a.default: expected a boolean"),
    ] {
        assert_eq!(problem(&with_defs(defs)), expected, "{defs}");
    }
}

#[test]
fn malformed_methods_are_refused_with_the_place() {
    for (main, expected) in [
        (r#"{"type": "procedure", "parameters": null}"#, "defs.main.parameters: expected an object"),
        (
            r#"{"type": "procedure", "parameters": {"type": "object"}}"#,
            "defs.main.parameters.type: expected `params`",
        ),
        (
            r#"{"type": "query", "parameters": {"type": "params", "properties": {"a": {"type": "object"}}}}"#,
            "defs.main.parameters: `a` can't be a parameter: expected a string, integer, boolean, unknown or an array of one",
        ),
        (
            r#"{"type": "query", "input": {"encoding": "application/json"}}"#,
            "defs.main.input: a query has none",
        ),
        (r#"{"type": "procedure", "input": {}}"#, "defs.main.input: `encoding` is missing"),
        (
            r#"{"type": "procedure", "output": {"encoding": "application/json", "schema": {"type": "string"}}}"#,
            "defs.main.output.schema: expected an object, a ref or a union",
        ),
        (
            r#"{"type": "query", "errors": [{"name": "Not Found"}]}"#,
            "defs.main.errors[0].name: an error name has no white space and is not empty",
        ),
        (r#"{"type": "query", "errors": [{}]}"#, "defs.main.errors[0]: `name` is missing"),
        (
            r#"{"type": "record", "key": "any", "record": {"properties": {}}}"#,
            "defs.main.record: `type` is missing",
        ),
        (
            r#"{"type": "subscription", "message": {"schema": {"type": "object"}}}"#,
            "defs.main.message.schema: expected a union or a ref",
        ),
        (
            r#"{"type": "permission-set", "permissions": [{"type": "x"}]}"#,
            "defs.main.permissions[0].type: expected `permission`",
        ),
    ] {
        assert_eq!(problem(&with_main(main)), expected, "{main}");
    }
}

#[test]
fn folder_is_read_to_its_depths() {
    let folder = tempfile::tempdir().expect("a folder");
    let put = |path: &str, id: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("in the folder")).expect("a folder");
        fs::write(path, with_main(r#"{"type": "query"}"#).replace("com.example.thing", id)).expect("a file");
    };
    put("a.json", "com.example.a");
    put("deep/er/b.json", "com.example.b");
    put("..data/a.json", "com.example.a");
    put("c.txt", "com.example.c");

    let lexicons = Lexicons::from_dir(folder.path()).expect("well-formed");
    let ids: Vec<_> = lexicons.documents().map(|document| document.id.as_str()).collect();
    assert_eq!(ids, ["com.example.a", "com.example.b"]);
}

#[test]
fn folder_with_faults_tells_them_all() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("1.json"), with_main(r#"{"type": "query"}"#)).expect("a file");
    fs::write(folder.path().join("2.json"), with_main(r#"{"type": "query"}"#)).expect("a file");
    fs::write(folder.path().join("3.json"), with_main(r#"{"type": "quarry"}"#)).expect("a file");
    fs::write(folder.path().join("4.json"), b"\xff").expect("a file");
    let too_long = " ".repeat(usize::try_from(super::MAX_DOCUMENT_BYTES).expect("small") + 1);
    fs::write(folder.path().join("5.json"), too_long).expect("a file");

    let errors = Lexicons::from_dir(folder.path()).expect_err("faults").to_string();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let lines: Vec<_> = errors.lines().collect();
    assert_eq!(
        lines,
        [
            format!("{}: stream did not contain valid UTF-8", at("4.json")),
            format!("{}: longer than 1048576 bytes", at("5.json")),
            format!("{}: id: another document has it too: com.example.thing", at("2.json")),
            format!("{}: defs.main.type: no type of the lexicon language that can stand here", at("3.json")),
        ]
    );
}

#[test]
fn missing_folder() {
    let errors = Lexicons::from_dir(Path::new("/nowhere/at/all")).expect_err("no such folder");
    assert!(errors.to_string().starts_with("/nowhere/at/all: "), "{errors}");
}

#[test]
fn nesting_without_end_is_refused() {
    let main = r#"{"type": "array", "items": "#.repeat(10_000);
    assert!(problem(&with_main(&main)).contains("recursion limit exceeded"));
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in ".*") {
        let _ = parse::document(&text);
    }

    #[test]
    fn any_mutilated_document_is_parsed_or_refused(
        document in prop::sample::select(EMBEDDED.iter().map(|(_, text)| *text).collect::<Vec<_>>()),
        at in any::<prop::sample::Index>(),
        length in 0..20_usize,
        put in "[\\[\\]{}\",:0-9a-z.#]{0,6}",
    ) {
        let characters: Vec<char> = document.chars().collect();
        let start = at.index(characters.len());
        let end = (start + length).min(characters.len());
        let text: String = characters[..start].iter().copied().chain(put.chars()).chain(characters[end..].iter().copied()).collect();
        let _ = parse::document(&text);
    }
}
