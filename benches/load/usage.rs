//! What a process costs: processor time and memory, as Linux tells them in `/proc`.

use std::time::Duration;

use process::exit::Failure;

/// The unit of processor time in `/proc` (`USER_HZ`, 100 a second on every architecture of today).
const TICK: Duration = Duration::from_millis(10);
/// Where `utime` and `stime` are in `/proc/PID/stat`, counted from the state that follows the name.
const USER_TIME: usize = 11;
const SYSTEM_TIME: usize = 12;

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
