//! Log set-up. Logs go to standard error; standard output is for a command's results. A line that can't be
//! written, to a full disk or a pipe that nobody reads, is lost and counted; nothing else happens.
//!
//! A level without a target is that of athook's own code. Libraries log errors only: some of them log what
//! any stranger sends them, a line for each frame.

use std::fmt::Display;
use std::io::{IsTerminal as _, Result, Write, stderr};
use std::sync::LazyLock;

use prometheus_client::metrics::counter::Counter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::format::FmtSpan;

/// The crates whose level is the one without a target.
pub(crate) const OWN_CRATES: [&str; 7] =
    ["athook", "core_service", "egress", "gateway", "migrations", "process", "proto"];

/// Lines that could not be written. One for the whole process, as standard error is.
static LOST: LazyLock<Counter> = LazyLock::new(Counter::default);

/// The counter of lines that could not be written.
#[must_use]
pub fn lost_lines() -> Counter {
    LOST.clone()
}

/// Writes a line to standard error, if it can be written. Unlike `eprintln!` it never panics.
pub fn print(line: impl Display) {
    if writeln!(stderr(), "{line}").is_err() {
        LOST.inc();
    }
}

/// `--log-format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One line of text for each event.
    Human,
    /// One JSON object on a line for each event.
    Json,
}

/// What is logged, and in which format.
#[derive(Debug, Clone)]
pub struct Logs {
    /// `--log`: a level of athook's own code, or directives as in `info,gateway=debug,h2=debug`.
    pub filter: String,
    /// `--log-format`.
    pub format: Format,
}

impl Logs {
    /// [`Format::Human`] on a terminal, [`Format::Json`] elsewhere.
    #[must_use]
    pub fn default_format() -> Format {
        if stderr().is_terminal() { Format::Human } else { Format::Json }
    }

    /// Installs the log subscriber of the whole process. A second call has no effect.
    pub fn install(&self) {
        let filter = EnvFilter::new(for_own_crates(&self.filter));
        // Its report of a failed write would go to standard error as well, and panic.
        let builder = fmt().with_env_filter(filter).with_writer(|| CountingWriter).log_internal_errors(false);
        let builder = builder.with_span_events(FmtSpan::NONE);
        let installed = match self.format {
            // On a terminal the default stands: colours, unless NO_COLOR is set.
            Format::Human if stderr().is_terminal() => builder.try_init(),
            Format::Human => builder.with_ansi(false).try_init(),
            Format::Json => {
                builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
            }
        };
        if let Err(error) = installed {
            tracing::debug!(%error, "a log subscriber is installed already");
        }
    }
}

/// Standard error. Each event is written with one call.
struct CountingWriter;

impl Write for CountingWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        stderr().write(bytes).inspect_err(|_| {
            LOST.inc();
        })
    }

    fn flush(&mut self) -> Result<()> {
        stderr().flush()
    }
}

/// The directives of `filter`, with one for each of the [`OWN_CRATES`] in place of a level without a target.
/// They come first: a later directive for the same target replaces an earlier one.
fn for_own_crates(filter: &str) -> String {
    let (mut levels, mut others) = (Vec::new(), Vec::new());
    for directive in filter.split(',').map(str::trim) {
        let Ok(level) = directive.parse::<LevelFilter>() else {
            others.push(directive.to_owned());
            continue;
        };
        levels.push(level.min(LevelFilter::ERROR).to_string());
        levels.extend(OWN_CRATES.map(|own| format!("{own}={level}")));
    }
    [levels, others].concat().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn level_without_a_target_is_that_of_own_crates() {
        let own = |level: &str| OWN_CRATES.map(|own| format!(",{own}={level}")).concat();
        for (filter, directives) in [
            ("info", format!("error{}", own("info"))),
            ("DEBUG", format!("error{}", own("debug"))),
            ("off", format!("off{}", own("off"))),
            ("error", format!("error{}", own("error"))),
            ("warn, gateway=debug", format!("error{},gateway=debug", own("warn"))),
            ("h2=trace,info", format!("error{},h2=trace", own("info"))),
            ("gateway=debug", "gateway=debug".to_owned()),
            ("gateway", "gateway".to_owned()),
        ] {
            assert_eq!(for_own_crates(filter), directives, "{filter}");
            EnvFilter::try_new(directives).unwrap();
        }
    }

    #[test]
    fn more_specific_directive_wins() {
        let filter = EnvFilter::new(for_own_crates("gateway=debug,h2=warn,info"));
        let text = filter.to_string();
        for directive in ["gateway=debug", "h2=warn", "core_service=info", "error"] {
            assert!(text.split(',').any(|has| has == directive), "{directive} is not in {text}");
        }
    }
}
