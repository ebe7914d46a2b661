//! What operators do with a whole database: export it, import it, and reseal it under another key.
//!
//! Owns the work; the commands that start it are in `cli/`. Export and reseal take a database that exists and
//! has the schema of this release ([`existing`]), and run beside services that use it. An import takes an
//! empty database.

pub(crate) mod existing;
pub(crate) mod reseal;
pub(crate) mod transfer;
