//! What a secret and a webhook are: newtypes and pure rules.
//!
//! Each newtype has a private field and is made from text in one place, where its rule is. No I/O, no gRPC, no
//! database. A rule that is broken is told as a [`rule::Rule`], which has the limit but never the value.

pub(crate) mod cursor;
pub(crate) mod did;
pub(crate) mod event_type;
pub(crate) mod mute_word;
pub(crate) mod page;
pub(crate) mod rewrite;
pub(crate) mod rule;
pub(crate) mod secret;
pub(crate) mod text;
pub(crate) mod webhook;
pub(crate) mod webhook_change;
pub(crate) mod webhook_url;
