//! Commands of the core-service that end by themselves.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

use serde_json::Value;

/// A command that has ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// What it wrote to standard output.
    pub(crate) output: String,
    /// What it wrote to standard error.
    pub(crate) log: String,
}

impl Ended {
    /// It succeeded.
    pub(crate) fn ok(self) -> Self {
        assert!(self.status.success(), "{}", self.log);
        self
    }

    /// It failed with this exit code. Its last line, which says why.
    pub(crate) fn failed(&self, code: i32) -> &str {
        assert_eq!(self.status.code(), Some(code), "{}", self.log);
        self.log.lines().last().expect("it says why")
    }

    /// The log lines with this message.
    pub(crate) fn logged(&self, message: &str) -> Vec<Value> {
        let lines = self.log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["message"] == message).collect()
    }
}

/// A command that runs, its log being read.
pub(crate) struct Running {
    child: Child,
    lines: BufReader<ChildStderr>,
    log: String,
}

impl Running {
    /// Starts `athook core-service` with these arguments.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = command(arguments).stdin(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        Self { child, lines, log: String::new() }
    }

    /// Waits until it has logged `text`.
    pub(crate) fn logged(&mut self, text: &str) {
        while !self.log.contains(text) {
            assert!(self.lines.read_line(&mut self.log).unwrap() > 0, "it ended: {}", self.log);
        }
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
    }

    /// Waits for its end.
    pub(crate) fn ended(mut self) -> Ended {
        self.lines.read_to_string(&mut self.log).unwrap();
        Ended { status: self.child.wait().unwrap(), output: String::new(), log: self.log }
    }
}

/// Runs `athook core-service` with these arguments to its end.
pub(crate) async fn run(arguments: &[&str]) -> Ended {
    let child = command(arguments).stdin(Stdio::null()).spawn().unwrap();
    ended(child).await
}

/// Runs two of them to their ends; what the first writes the second reads.
pub(crate) async fn pipe(writer: &[&str], reader: &[&str]) -> [Ended; 2] {
    let mut writer = command(writer).stdin(Stdio::null()).spawn().unwrap();
    let between = writer.stdout.take().unwrap();
    let reader = command(reader).stdin(between).spawn().unwrap();
    let (writer, reader) = tokio::join!(ended(writer), ended(reader));
    [writer, reader]
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_athook"));
    command.arg("core-service").args(arguments).env_clear();
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn ended(child: Child) -> Ended {
    let output = tokio::task::spawn_blocking(|| child.wait_with_output()).await.unwrap().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { status: output.status, output: text(output.stdout), log: text(output.stderr) }
}
