//! Which addresses may be reached, and the one guarded HTTP client.
//!
//! Owns the egress rules (`DELIVERY.md`, "Egress rules"), the DNS look-ups that they depend on, and
//! every connection that leaves athook on behalf of what somebody else wrote: a webhook's URL, a DID. A
//! name is looked up, every address of the answer is checked, and the connection goes to exactly those
//! addresses: there is no second look-up that could answer differently, and no other way to connect.
//!
//! Does not own what a URL may look like (schemes, user names, lengths), how often somebody may be
//! reached, or what an answer means. The connection from the gateway to the core-service is not egress.

pub mod client;
pub mod error;
pub mod policy;
pub mod resolver;
