//! Which addresses may be reached, and the one guarded HTTP client.
//!
//! Owns the egress rules (`docs/delivery.md`, "Egress rules"), the DNS look-ups that they need, and every
//! connection that athook opens because of what a user wrote: a webhook's URL, a DID. A name is looked up
//! once, every address in the answer is checked, and the connection goes to one of exactly those addresses.
//! There is no second look-up that could answer differently (DNS rebinding), and no other way to connect.
//!
//! Does not own what a URL may look like (scheme, user name, length), rate limits, or the meaning of a
//! response. The connection from the gateway to the core-service is not egress.

pub mod client;
pub mod error;
pub mod handle;
pub mod policy;
pub mod resolver;
