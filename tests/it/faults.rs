//! Faults of processes, databases, disks, networks and clients. No acknowledged write is lost, nothing is
//! half written, clients get clear errors, and the service recovers by itself once the fault is gone.
//!
//! A row that fails inside a batch can't be provoked from outside; the core-service's unit tests of its store
//! cover it.

mod clients;
pub(crate) mod database;
mod deliveries;
mod disk;
mod failover;
mod files;
mod hangs;
mod intake;
mod killed;
pub(crate) mod load;
mod replicas;
pub(crate) mod sessions;
mod waiting;
