//! Runs a command's future on the runtime, and turns its result into an exit code and an error message.

use std::error::Error;
use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::process::ExitCode;

use tokio::net::{TcpListener, TcpSocket};

use crate::files;
use crate::logs::print;
use crate::settings::WrongSettings;

/// Any error that ends a command.
pub type Failure = Box<dyn Error + Send + Sync>;

/// Ready sockets Tokio polls per tick before it runs the tasks they woke. With all ready sockets in one tick,
/// the gateway would read every request before it sends the first call, and gateway and core-service would
/// take turns to idle.
const IO_EVENTS: usize = 16;

/// Connections that the operating system keeps until they are accepted, if it allows so many
/// (`net.core.somaxconn`, 4,096 by default). What comes above it is dropped, and its client tries again after
/// one second, three, seven and fifteen.
const ACCEPT_QUEUE: u32 = 4096;

/// The exit code for invalid settings; clap uses the same for invalid arguments.
const WRONG_SETTINGS: u8 = 2;

/// Prints the invalid settings on standard error. Exit code 2.
#[must_use]
pub fn settings(error: &WrongSettings) -> ExitCode {
    print(format_args!("error: {error}"));
    ExitCode::from(WRONG_SETTINGS)
}

/// Runs `command` to its end and raises the limit of open files first. The runtime has one thread: athook
/// scales by the number of processes. A failure is printed on standard error with all its sources. Exit code
/// 1.
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
            print(format_args!("error: {}", chain(&*error)));
            ExitCode::FAILURE
        }
    }
}

/// Listens on `address`.
///
/// # Errors
///
/// The address can't be bound; the text names the setting and the address.
pub fn listen(flag: &str, address: SocketAddr) -> Result<TcpListener, Failure> {
    bind(address).map_err(|error| {
        let advice = match error.kind() {
            ErrorKind::AddrInUse => "; another program listens there, perhaps another athook",
            ErrorKind::AddrNotAvailable => "; this machine has no such address",
            ErrorKind::PermissionDenied => "; ports below 1024 need a privilege (CAP_NET_BIND_SERVICE)",
            _ => "",
        };
        format!("{flag} {address}: {error}{advice}").into()
    })
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Connections of a process that has ended keep nobody from its address.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(ACCEPT_QUEUE)
}

/// An error and its sources on one line, outermost first. A source whose text already ends the line is left
/// out, since some libraries put the text of the source into their own.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use tokio::net::TcpStream;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn connections_wait_to_be_accepted() {
        files::raise_limit();
        let listener = listen("--listen", (Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        for number in 0..2_000 {
            let connecting = timeout(Duration::from_secs(20), TcpStream::connect(address));
            let connected = connecting.await.unwrap_or_else(|_| panic!("number {number} is dropped"));
            waiting.push(connected.unwrap());
        }
    }

    #[test]
    fn chain_has_each_cause_once() {
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
