//! What a process costs: processor time and memory, as Linux tells them in `/proc`; and how fast the disk is.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use process::exit::Failure;

/// The unit of processor time in `/proc` (`USER_HZ`, 100 a second on every architecture of today).
const TICK: Duration = Duration::from_millis(10);
/// Where `utime` and `stime` are in `/proc/PID/stat`, counted from the state that follows the name.
const USER_TIME: usize = 11;
const SYSTEM_TIME: usize = 12;

/// How long the disk is tried.
const DISK_TRIAL: Duration = Duration::from_secs(1);
/// What is written each time: a page of SQLite.
const PAGE: [u8; 4096] = [0; 4096];

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
