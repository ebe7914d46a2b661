//! What a secret and a webhook are: newtypes and pure rules.
//!
//! A value is checked once, when its newtype is made from text: each newtype has a private field and one
//! constructor, `FromStr` or `parse`. A value that breaks a rule gives a [`rule::Rule`], which names the
//! limit and never the value. No I/O, no gRPC, no database.

pub(crate) mod cursor;
pub(crate) mod did;
pub(crate) mod event_type;
pub(crate) mod mute_word;
pub(crate) mod origin;
pub(crate) mod page;
pub(crate) mod rewrite;
pub(crate) mod rule;
pub(crate) mod secret;
pub(crate) mod text;
pub(crate) mod webhook;
pub(crate) mod webhook_change;
pub(crate) mod webhook_url;
