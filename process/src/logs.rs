//! Log set-up. Logs go to standard error: standard output is for what a command answers.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::format::FmtSpan;

/// `--log-format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One line of text an event.
    Human,
    /// One JSON object an event, one a line.
    Json,
}

/// What to log, and how.
#[derive(Debug, Clone)]
pub struct Logs {
    /// `--log`: a level, or directives as in `info,gateway=debug`.
    pub filter: String,
    /// `--log-format`.
    pub format: Format,
}

impl Logs {
    /// Human on a terminal and JSON elsewhere, at `info`.
    #[must_use]
    pub fn default_format() -> Format {
        if stderr().is_terminal() { Format::Human } else { Format::Json }
    }

    /// Installs the subscriber for the whole process. A second call changes nothing.
    pub fn install(&self) {
        let filter = EnvFilter::new(&self.filter);
        let builder = fmt().with_env_filter(filter).with_writer(stderr).with_span_events(FmtSpan::NONE);
        let installed = match self.format {
            Format::Human => builder.with_ansi(stderr().is_terminal()).try_init(),
            Format::Json => {
                builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
            }
        };
        if let Err(error) = installed {
            tracing::debug!(%error, "a log subscriber is installed already");
        }
    }
}
