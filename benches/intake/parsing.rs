//! The yardstick: a frame's envelope read from JSON, its record left as it is, in this thread.

use std::hint::black_box;
use std::time::Instant;

use fakes::jetstream::{Item, Wire};
use process::exit::Failure;
use serde::Deserialize;
use serde_json::value::RawValue;

/// How often the frames are parsed; the fastest counts.
const TRIES: usize = 3;
/// Any number of an event.
const NUMBER: i64 = 1_790_000_000_000_000;

#[derive(Deserialize)]
#[expect(dead_code, reason = "it is read, and that is all")]
struct V1<'a> {
    did: &'a str,
    time_us: i64,
    #[serde(borrow)]
    commit: Commit<'a>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "it is read, and that is all")]
struct Commit<'a> {
    rev: &'a str,
    operation: &'a str,
    collection: &'a str,
    rkey: &'a str,
    #[serde(borrow)]
    record: Option<&'a RawValue>,
    cid: Option<&'a str>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "it is read, and that is all")]
struct V2<'a> {
    #[serde(borrow)]
    payload: Payload<'a>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "it is read, and that is all")]
struct Payload<'a> {
    #[serde(rename = "$type")]
    kind: &'a str,
    seq: i64,
    did: &'a str,
    time: &'a str,
    rev: &'a str,
    operation: &'a str,
    collection: &'a str,
    rkey: &'a str,
    #[serde(borrow)]
    record: Option<&'a RawValue>,
    cid: Option<&'a str>,
}

/// What parsing costs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parsing {
    /// For each event.
    pub(crate) us: f64,
    /// How long a frame is, on average.
    pub(crate) bytes: f64,
}

/// Parses the frames of `items`.
pub(crate) fn parse(items: &[Item], wire: Wire) -> Result<Parsing, Failure> {
    let frames = items.iter().filter_map(|item| item.frame(wire, NUMBER, NUMBER));
    let frames: Vec<String> = frames.collect();
    let count = f64::from(u32::try_from(frames.len())?);
    let bytes = f64::from(u32::try_from(frames.iter().map(String::len).sum::<usize>())?) / count;
    let mut us = f64::INFINITY;
    for _ in 0..TRIES {
        let started = Instant::now();
        for frame in &frames {
            match wire {
                Wire::V1 => drop(black_box(serde_json::from_str::<V1<'_>>(frame)?)),
                Wire::V2 => drop(black_box(serde_json::from_str::<V2<'_>>(frame)?)),
            }
        }
        us = us.min(started.elapsed().as_secs_f64() * 1e6 / count);
    }
    Ok(Parsing { us, bytes })
}
