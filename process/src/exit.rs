//! From `main` to an exit code: one place that runs a command's future and tells what went wrong.

use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::process::ExitCode;

use tokio::net::TcpListener;

use crate::files;
use crate::settings::WrongSettings;

/// Whatever ends a command.
pub type Failure = Box<dyn Error + Send + Sync>;

/// How many connections that have something to read are served before what that gave rise to: the calls to the
/// core-service, say, of those requests. With all of them at once, the processes that work on the same requests would wait
/// for each other by turns.
const IO_EVENTS: usize = 16;

/// The exit code for settings that do not fit, as clap's own for wrong usage.
const WRONG_SETTINGS: u8 = 2;

/// Tells the settings that do not fit on standard error; exit code 2.
#[must_use]
pub fn settings(error: &WrongSettings) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(WRONG_SETTINGS)
}

/// Runs `command` to its end, on one thread: processes are scaled by their number, and what they do between two waits is
/// short; and with as many open files as the operating system lets it have. A failure is told on standard error with its
/// whole chain; exit code 1.
pub fn run(command: impl Future<Output = Result<(), Failure>>) -> ExitCode {
    files::raise_limit();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_io_events_per_tick(IO_EVENTS).build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(command),
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Listens on `address`.
///
/// # Errors
///
/// The address can't be had; the text names the setting and the address.
pub async fn listen(flag: &str, address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| format!("{flag} {address}: {error}").into())
}

/// An error and its sources on one line, outermost first, each told once: some libraries put the text of the source
/// into their own.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let told = error.to_string();
        if !text.ends_with(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_tells_each_cause_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] Middle);
        #[derive(Debug, thiserror::Error)]
        #[error("middle: inner")]
        struct Middle(#[source] std::fmt::Error);
        let inner = std::fmt::Error;
        assert_eq!(chain(&Outer(Middle(inner))), format!("outer: middle: inner: {inner}"));
    }
}
