//! Log set-up. Logs go to standard error; standard output is for a command's results.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::format::FmtSpan;

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
    /// `--log`: a level, or directives as in `info,gateway=debug`.
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
