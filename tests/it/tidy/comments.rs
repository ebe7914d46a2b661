//! Every declaration in the `.proto` files has a comment.

use prost_reflect::{DescriptorPool, FileDescriptor};

#[test]
fn every_proto_declaration_has_a_comment() {
    let without = without_comment(&DescriptorPool::decode(proto::DESCRIPTORS).unwrap());
    assert!(without.is_empty(), "without a comment: {without:#?}");
}

#[test]
fn declarations_without_a_comment_are_found() {
    let source = r#"
        syntax = "proto3";
        package made.up;
        import "google/protobuf/descriptor.proto";
        extend google.protobuf.FieldOptions { string option = 50001; }
        message Outer { message Inner { int32 field = 1; } oneof choice { bool field = 1; } }
        enum Kind { NONE = 0; }
        // The only declaration with a comment.
        service Service { rpc Call(Outer) returns (Outer); }
    "#;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("made_up.proto"), source).unwrap();
    let mut compiler = protox::Compiler::new([folder.path()]).unwrap();
    compiler.include_imports(true).include_source_info(true).open_file("made_up.proto").unwrap();
    let descriptors = compiler.encode_file_descriptor_set();
    let mut without = without_comment(&DescriptorPool::decode(descriptors.as_slice()).unwrap());
    without.sort_unstable();
    let expected = [
        "Kind",
        "Kind.NONE",
        "Outer",
        "Outer.Inner",
        "Outer.Inner.field",
        "Outer.choice",
        "Outer.field",
        "Service.Call",
        "option",
    ];
    assert_eq!(without, expected.map(|name| format!("made.up.{name}")));
}

/// The names of all messages, fields, oneofs, enums, values, services, rpcs and options without a comment,
/// but for those in Google's files.
fn without_comment(pool: &DescriptorPool) -> Vec<String> {
    let mut declarations = Vec::new();
    for message in pool.all_messages() {
        let file = message.parent_file();
        for field in message.fields() {
            declarations.push((file.clone(), field.path().to_vec(), field.full_name().to_owned()));
        }
        // Each optional field is a oneof, too.
        for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            declarations.push((file.clone(), oneof.path().to_vec(), oneof.full_name().to_owned()));
        }
        declarations.push((file, message.path().to_vec(), message.full_name().to_owned()));
    }
    for kind in pool.all_enums() {
        let file = kind.parent_file();
        for value in kind.values() {
            let name = format!("{}.{}", kind.full_name(), value.name());
            declarations.push((file.clone(), value.path().to_vec(), name));
        }
        declarations.push((file, kind.path().to_vec(), kind.full_name().to_owned()));
    }
    for service in pool.services() {
        let file = service.parent_file();
        for rpc in service.methods() {
            declarations.push((file.clone(), rpc.path().to_vec(), rpc.full_name().to_owned()));
        }
        declarations.push((file, service.path().to_vec(), service.full_name().to_owned()));
    }
    for option in pool.all_extensions() {
        declarations.push((option.parent_file(), option.path().to_vec(), option.full_name().to_owned()));
    }
    let ours = declarations.into_iter().filter(|(file, ..)| !file.name().starts_with("google/"));
    ours.filter(|(file, path, _)| !has_comment(file, path)).map(|(_, _, name)| name).collect()
}

fn has_comment(file: &FileDescriptor, path: &[i32]) -> bool {
    let source = file.file_descriptor_proto().source_code_info.as_ref().expect("descriptors with comments");
    let location = source.location.iter().find(|location| location.path == path);
    location.is_some_and(|location| !location.leading_comments().trim().is_empty())
}
