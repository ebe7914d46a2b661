//! Processor time and memory of a process, from `/proc`; and how fast the disk and the processor are.

use std::fs::File;
use std::hint::black_box;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use process::exit::Failure;
use secp256k1::{Message, PublicKey, SecretKey};

/// The unit of processor time in `/proc` (`USER_HZ`, 100 per second on all current architectures).
const TICK: Duration = Duration::from_millis(10);
/// The index of `utime` and `stime` in `/proc/PID/stat`, counted from the field after the name.
pub(crate) const USER_TIME: usize = 11;
pub(crate) const SYSTEM_TIME: usize = 12;

/// How long the disk is measured.
const DISK_TRIAL: Duration = Duration::from_secs(1);
/// One write: a page of SQLite.
const PAGE: [u8; 4096] = [0; 4096];

/// How many signatures are verified to measure the processor.
const SIGNATURES: u32 = 2_000;

/// How many pages per second can be appended to a file in `folder` with an fsync after each. Yardstick (a) on
/// SQLite can't be faster. The faster the disk, the smaller the pair's ratio to (a): all that a shared commit
/// saves is the wait for the disk.
pub(crate) fn synced_pages_per_second(folder: &Path) -> Result<f64, Failure> {
    let mut file = File::create(folder.join("disk"))?;
    let started = Instant::now();
    let mut pages = 0_u32;
    while started.elapsed() < DISK_TRIAL {
        file.write_all(&PAGE)?;
        file.sync_data()?;
        pages += 1;
    }
    Ok(f64::from(pages) / started.elapsed().as_secs_f64())
}

/// The time to verify one ES256K signature, in microseconds. A call with a fresh token can't cost the gateway
/// less. The aims for processor time were set on a machine on which it was 34.
pub(crate) fn signature_us() -> Result<f64, Failure> {
    let key = SecretKey::from_secret_bytes([7; 32])?;
    let public = PublicKey::from_secret_key(&key);
    let message = Message::from_digest([9; 32]);
    let signature = key.sign_ecdsa(message);
    let started = Instant::now();
    for _ in 0..SIGNATURES {
        black_box(&signature).verify(message, black_box(&public))?;
    }
    Ok(started.elapsed().as_secs_f64() * 1e6 / f64::from(SIGNATURES))
}

/// The processor time that all threads of a process have used so far.
pub(crate) fn cpu(pid: u32) -> Result<Duration, Failure> {
    cpu_in(&format!("/proc/{pid}/stat"))
}

/// The processor time in a `stat` file of a process or a thread.
pub(crate) fn cpu_in(path: &str) -> Result<Duration, Failure> {
    time_of(&stat(path)?, &[USER_TIME, SYSTEM_TIME])
}

/// The fields of a `stat` file after the name.
pub(crate) fn stat(path: &str) -> Result<Vec<String>, Failure> {
    let text = std::fs::read_to_string(path)?;
    // The name of the program is in parentheses and may contain any character.
    let (_, after_name) = text.rsplit_once(')').ok_or("no name in /proc/…/stat")?;
    Ok(after_name.split_whitespace().map(str::to_owned).collect())
}

/// The sum of these fields, which are times.
pub(crate) fn time_of(fields: &[String], wanted: &[usize]) -> Result<Duration, Failure> {
    let mut ticks = 0;
    for at in wanted {
        ticks += fields.get(*at).ok_or("/proc/…/stat ends early")?.parse::<u32>()?;
    }
    Ok(TICK * ticks)
}

/// The resident memory (RSS) of a process, in MiB.
pub(crate) fn memory_mib(pid: u32) -> Result<f64, Failure> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}
