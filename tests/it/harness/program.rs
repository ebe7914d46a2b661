//! `athook` as somebody runs it in a terminal: what it prints, and a signal that ends it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::sync::watch;

/// How long a program may take to print something, and to end.
const LIMIT: Duration = Duration::from_secs(60);

/// A program, and all that it has printed to standard output. It is killed when dropped.
pub(crate) struct Program {
    child: Child,
    output: watch::Receiver<String>,
}

/// `athook` in this folder, without this process's environment: a variable could be a setting.
pub(crate) fn athook(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_athook"));
    command.env_clear().env("PATH", "/usr/bin:/bin").current_dir(folder).stdin(Stdio::null());
    command
}

/// `athook dev` on free ports.
pub(crate) async fn dev(folder: &Path) -> Program {
    let listen = ["dev", "--gateway-listen", "127.0.0.1:0", "--core-listen", "127.0.0.1:0"];
    let mut program = Program::start(athook(folder).args(listen));
    program.printed("athook token").await;
    program
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, output) = watch::channel(String::new());
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                sender.send_modify(|output| output.extend([line.as_str(), "\n"]));
            }
        });
        Self { child, output }
    }

    /// Waits until it has printed `text`, and returns all that it has printed.
    pub(crate) async fn printed(&mut self, text: &str) -> String {
        self.printed_times(1, text).await
    }

    /// Waits until it has printed `text` so often.
    pub(crate) async fn printed_times(&mut self, times: usize, text: &str) -> String {
        let seen = self.output.wait_for(|output| output.matches(text).count() >= times);
        let seen = tokio::time::timeout(LIMIT, seen).await;
        let seen = seen.unwrap_or_else(|_| panic!("{text:?} is not printed in time"));
        seen.unwrap_or_else(|_| panic!("it ended before it printed {text:?}")).clone()
    }

    /// The first line that begins with this, after the program's path.
    pub(crate) fn line(&self, command: &str) -> String {
        let begin = format!("{} {command}", env!("CARGO_BIN_EXE_athook"));
        let output = self.output.borrow();
        output.lines().find(|line| line.starts_with(&begin)).expect("such a line").to_owned()
    }

    /// Kills it.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal, by its name, and waits for the end.
    pub(crate) fn end(mut self, signal: &str) -> ExitStatus {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
        self.child.wait().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
