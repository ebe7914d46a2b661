//! What breaks: processes, databases, disks, networks and clients. Nothing acknowledged is lost, nothing is half-written,
//! the answers stay clear, and all goes on by itself once the fault is gone.
//!
//! A row that fails inside a batch can't be sent from outside: the core-service's own tests of its store have it
//! (`neighbours_of_a_bad_row_succeed`).

mod clients;
mod database;
mod disk;
mod files;
mod hangs;
mod killed;
mod load;
mod replicas;
