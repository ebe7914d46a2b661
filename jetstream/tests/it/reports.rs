//! What users of Jetstream have reported, as far as a client can answer it. Each test has the number of its
//! report.

mod connections;
mod content;

const SECOND_US: i64 = 1_000_000;
const HOUR_US: i64 = 3_600 * SECOND_US;
