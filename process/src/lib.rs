//! What every athook process does alike: allocate, raise its limit of open files, read its settings, tell the
//! time, log, count, stop, exit.
//!
//! Owns no business rule and no protocol. The gateway, the core-service and `athook` are built on it.

mod allocator;
pub mod clock;
pub mod exit;
pub mod files;
pub mod logs;
pub mod metrics;
pub mod settings;
pub mod shutdown;
pub mod telemetry;
pub mod traces;
