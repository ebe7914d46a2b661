//! The gRPC interface between the gateway and the core-service.
//!
//! Owns the `.proto` files, the types generated from them, the descriptors from which the gateway binds its
//! methods, and the error contract ([`error`]). Knows no HTTP, no JSON and no database.
//!
//! `build.rs` generates [`athook`] and [`xrpc`] from the files in `proto/athook` and `proto/xrpc`. Their
//! documentation is the comments in those files.

pub mod error;
pub mod timestamp;

/// Types and services of `package athook.v1`.
pub mod athook {
    #![expect(unused_qualifications, reason = "generated")]
    #![expect(clippy::allow_attributes, clippy::allow_attributes_without_reason, reason = "generated")]
    tonic::include_proto!("athook.v1");
}

/// Types of `package xrpc.v1`: the values of the options.
pub mod xrpc {
    tonic::include_proto!("xrpc.v1");
}

/// The largest message of a response, in bytes. The longest is a page of 100 webhooks, of up to 24 KiB each.
pub const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// The encoded `google.protobuf.FileDescriptorSet` of all files, with imports, options and comments.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
