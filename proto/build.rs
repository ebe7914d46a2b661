//! Compiles the `.proto` files with protox, so that no `protoc` is needed. Generated code is not in git.

use std::env;
use std::error::Error;
use std::path::PathBuf;

const FILES: [&str; 8] = [
    "xrpc/v1/annotations.proto",
    "athook/v1/account.proto",
    "athook/v1/delivery.proto",
    "athook/v1/event.proto",
    "athook/v1/operator.proto",
    "athook/v1/record.proto",
    "athook/v1/secret.proto",
    "athook/v1/webhook.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    #[expect(clippy::disallowed_methods, reason = "cargo sets OUT_DIR for build scripts")]
    let out = PathBuf::from(env::var("OUT_DIR")?);

    // Not `protox::compile`, which returns prost-types: they drop extensions, and so the options that the
    // gateway reads.
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true).open_files(FILES)?;
    std::fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;

    tonic_prost_build::configure().build_transport(false).compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
