//! Lexicons and protos for tests, compiled from text.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use prost_reflect::DescriptorPool;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver};

use super::{Method, Methods, bind};
use crate::lexicon::Lexicons;

const FILE: &str = "made_up.proto";

struct MadeUp {
    source: String,
}

impl FileResolver for MadeUp {
    fn resolve_path(&self, _path: &Path) -> Option<String> {
        None
    }

    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == FILE {
            File::from_source(name, &self.source)
        } else {
            Err(protox::Error::file_not_found(name))
        }
    }
}

/// Descriptors of a file of `package made.up` with this `body`, which can use annotations, Timestamp and
/// FieldMask.
pub(crate) fn descriptors(body: &str) -> DescriptorPool {
    let imports = ["google/protobuf/timestamp", "google/protobuf/field_mask", "xrpc/v1/annotations"]
        .map(|file| format!("import \"{file}.proto\";\n"))
        .concat();
    let mut files = ChainFileResolver::new();
    files.add(MadeUp { source: format!("syntax = \"proto3\";\npackage made.up;\n{imports}{body}") });
    files.add(IncludeFileResolver::new(PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../proto"))));
    files.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(files);
    compiler.include_imports(true);
    compiler.open_file(FILE).unwrap_or_else(|error| panic!("{error:?}\n{body}"));
    DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice()).expect("descriptors decode")
}

/// Lexicons from pairs of an NSID and the text of `defs`.
pub(crate) fn lexicons(documents: &[(&str, &str)]) -> Lexicons {
    let texts = documents.iter().map(|(nsid, defs)| {
        ((*nsid).to_owned(), format!(r#"{{"lexicon": 1, "id": "{nsid}", "defs": {defs}}}"#))
    });
    Lexicons::from_texts(texts).expect("well-formed lexicons")
}

/// Binds lexicons to a proto.
pub(crate) fn methods(documents: &[(&str, &str)], proto: &str) -> Methods {
    bind(&lexicons(documents), &descriptors(proto)).unwrap_or_else(|drift| panic!("{drift}"))
}

/// Binds lexicons to a proto and returns the only method.
pub(crate) fn method(documents: &[(&str, &str)], proto: &str) -> Arc<Method> {
    let methods = methods(documents, proto);
    assert_eq!(methods.iter().len(), 1);
    Arc::clone(methods.iter().next().expect("one method"))
}
