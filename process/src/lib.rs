//! What every athook process needs: settings, clock, logs, metrics, traces, shutdown, exit codes, the memory
//! allocator, the limit of open files, and what clients may hold.
//!
//! Owns no business rule and no protocol. The gateway, the core-service and `athook` use it.

#![warn(clippy::print_stdout, clippy::print_stderr, reason = "they panic: see process::output")]

mod allocator;
pub mod certificates;
pub mod clock;
pub mod exit;
pub mod files;
pub mod held;
pub mod logs;
pub mod metrics;
pub mod output;
pub mod reload;
pub mod settings;
pub mod shutdown;
pub mod telemetry;
pub mod throttle;
pub mod traces;
