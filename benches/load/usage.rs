//! What a process costs: processor time and memory, as Linux tells them in `/proc`; and how fast the machine is.

use std::fs::File;
use std::hint::black_box;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use process::exit::Failure;
use secp256k1::{Message, PublicKey, SecretKey};

/// The unit of processor time in `/proc` (`USER_HZ`, 100 a second on every architecture of today).
const TICK: Duration = Duration::from_millis(10);
/// Where `utime` and `stime` are in `/proc/PID/stat`, counted from the state that follows the name.
const USER_TIME: usize = 11;
const SYSTEM_TIME: usize = 12;

/// How long the disk is tried.
const DISK_TRIAL: Duration = Duration::from_secs(1);
/// What is written each time: a page of SQLite.
const PAGE: [u8; 4096] = [0; 4096];

/// How many signatures are verified to tell how fast the processor is.
const SIGNATURES: u32 = 2_000;

/// How many pages in a second can be appended in `folder` and known to be on disk, one by one. Yardstick (a) on SQLite
/// can't be faster, and the pair's share of it falls the faster the disk is: a shared commit saves waiting alone.
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

/// How long the library takes to verify one ES256K signature, in microseconds. A call with a fresh token can't cost the
/// gateway less, and the aims for processor time were set on a machine on which it was 34.
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

/// The processor time of all threads of a process so far.
pub(crate) fn cpu(pid: u32) -> Result<Duration, Failure> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name of the program is in parentheses and may hold anything.
    let (_, after_name) = text.rsplit_once(')').ok_or("no name in /proc/PID/stat")?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let mut ticks = 0;
    for at in [USER_TIME, SYSTEM_TIME] {
        ticks += fields.get(at).ok_or("/proc/PID/stat ends early")?.parse::<u32>()?;
    }
    Ok(TICK * ticks)
}

/// The memory of a process that is in use now (RSS), in MiB.
pub(crate) fn memory_mib(pid: u32) -> Result<f64, Failure> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}
