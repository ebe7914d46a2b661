//! athook's services as processes of their own, which can be killed, stopped and starved.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::sync::watch;

use crate::harness::identity::SERVICE;

/// The seal key of a core-service that is given no other.
pub(crate) const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
/// How long a process may take to start serving, and to end.
const LIMIT: Duration = Duration::from_secs(60);

/// The settings of a process that is not started yet.
pub(crate) struct Setup {
    arguments: Vec<String>,
    listen: String,
    /// The message of the log line that it writes, with its address, once it serves.
    serves: &'static str,
    /// A command in front of it, such as `prlimit`.
    under: Vec<String>,
    leashed: bool,
    folder: tempfile::TempDir,
}

/// A process that does not serve yet. It is killed when dropped.
pub(crate) struct Starting {
    process: Running,
    serves: &'static str,
    folder: tempfile::TempDir,
}

/// A process that serves. It is killed when dropped.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    process: Running,
    _folder: tempfile::TempDir,
}

/// A process, and all that it has logged.
struct Running {
    child: Child,
    leashed: bool,
    log: watch::Receiver<String>,
}

impl Service {
    /// A core-service on the database at `url`. It reaches nothing outside.
    pub(crate) fn core_service(url: &str) -> Setup {
        Self::core_service_with(url, &[KEY])
    }

    /// The same with these seal keys.
    pub(crate) fn core_service_with(url: &str, keys: &[&str]) -> Setup {
        Self::core_service_that_tries(url, keys, "off")
    }

    /// The same, with this `--probe`.
    pub(crate) fn core_service_that_tries(url: &str, keys: &[&str], probe: &str) -> Setup {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        std::fs::write(&file, keys.join("\n")).unwrap();
        let keys = file.display().to_string();
        let arguments = ["core-service", "--database-url", url, "--seal-keys-file", &keys, "--probe", probe];
        Setup::new(&arguments, "core-service serves", folder)
    }

    /// A gateway before the core-service at `core`, which knows the DID documents in `documents`.
    pub(crate) fn gateway(core: SocketAddr, documents: &Path) -> Setup {
        Self::gateway_of(&format!("http://{core}"), "http://127.0.0.1:9")
            .flag("--did-documents", &documents.display().to_string())
    }

    /// A gateway before the core-service at `core_url`, which asks the PLC directory at `plc_url`.
    pub(crate) fn gateway_of(core_url: &str, plc_url: &str) -> Setup {
        let arguments = ["gateway", "--core-url", core_url, "--service-did", SERVICE, "--plc-url", plc_url];
        Setup::new(&arguments, "gateway listens", tempfile::tempdir().unwrap())
    }

    /// Kills the process as `kill -9` does, and returns when it is gone.
    pub(crate) fn kill(mut self) {
        self.process.child.kill().unwrap();
        self.process.child.wait().unwrap();
    }

    /// Sends SIGTERM and waits for the end. Returns how it ended, and its log.
    pub(crate) async fn terminate(mut self) -> (ExitStatus, String) {
        self.signal("TERM");
        self.process.ended().await
    }

    /// Sends a signal, by its name.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.process.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Sends a command word to the script that the process runs under.
    pub(crate) fn say(&mut self, word: &str) {
        writeln!(self.process.child.stdin.as_mut().expect("a script reads"), "{word}").unwrap();
    }

    /// Closes the script's standard input and waits for its end.
    pub(crate) async fn let_go(mut self) {
        drop(self.process.child.stdin.take());
        let (status, log) = self.process.ended().await;
        assert!(status.success(), "{log}");
    }

    /// Waits until it has logged `text`, and returns the lines with it.
    pub(crate) async fn logged(&mut self, text: &str) -> Vec<String> {
        self.logged_times(1, &[text]).await
    }

    /// Waits until it has logged so many lines that have all `texts`, and returns these.
    pub(crate) async fn logged_times(&mut self, times: usize, texts: &[&str]) -> Vec<String> {
        let fits = |line: &&str| texts.iter().all(|text| line.contains(text));
        let seen = self.process.log.wait_for(|log| log.lines().filter(fits).count() >= times);
        let log = tokio::time::timeout(LIMIT, seen).await;
        let log = log.unwrap_or_else(|_| panic!("{texts:?} is not logged in time")).unwrap();
        log.lines().filter(fits).map(str::to_owned).collect()
    }

    /// How many files and sockets it may have open: the soft limit and the hard one.
    pub(crate) fn limit_of_open_files(&self) -> (u64, u64) {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", self.process.child.id())).unwrap();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
        let mut numbers = line.split_whitespace().map(|word| word.parse().unwrap_or(u64::MAX));
        (numbers.next().unwrap(), numbers.next().unwrap())
    }

    /// The most memory that it has had resident so far, in MiB.
    pub(crate) fn peak_memory_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }

    /// The processor time that it has used so far.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.child.id())).unwrap();
        // The name in brackets may have anything in it; the times of user and system are the 12th and 13th
        // field after it, in hundredths of a second.
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap());
        Duration::from_millis(10 * ticks.sum::<u64>())
    }

    /// All that it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.process.log.borrow().clone()
    }

    /// How many files and sockets it has open.
    pub(crate) fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.child.id())).unwrap().count()
    }
}

impl Setup {
    fn new(arguments: &[&str], serves: &'static str, folder: tempfile::TempDir) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Self {
            arguments,
            listen: "127.0.0.1:0".to_owned(),
            serves,
            under: Vec::new(),
            leashed: false,
            folder,
        }
    }

    /// With a flag.
    pub(crate) fn flag(mut self, flag: &str, value: &str) -> Self {
        self.arguments.extend([flag.to_owned(), value.to_owned()]);
        self
    }

    /// At this address, for example that of a process that was killed.
    pub(crate) fn at(mut self, address: SocketAddr) -> Self {
        self.listen = address.to_string();
        self
    }

    /// Run by this command.
    pub(crate) fn under(mut self, command: &[&str]) -> Self {
        self.under = command.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// The command is a script that reads words from its standard input, and kills the service at the end of
    /// it.
    pub(crate) fn leashed(self, command: &[&str]) -> Self {
        Self { leashed: true, ..self.under(command) }
    }

    /// Starts the process and waits until it serves.
    pub(crate) async fn start(self) -> Service {
        self.begin().served().await
    }

    /// Starts the process.
    pub(crate) fn begin(self) -> Starting {
        let (process, serves, folder) = self.spawn();
        Starting { process, serves, folder }
    }

    /// Starts the process, which ends by itself and fails. Returns its log.
    pub(crate) async fn fails(self) -> String {
        let (mut process, _, _folder) = self.spawn();
        let (status, log) = process.ended().await;
        assert!(!status.success(), "{log}");
        log
    }

    fn spawn(self) -> (Running, &'static str, tempfile::TempDir) {
        let Self { arguments, listen, serves, under: mut words, leashed, folder } = self;
        words.push(env!("CARGO_BIN_EXE_athook").to_owned());
        words.extend(arguments);
        words.extend(["--listen".to_owned(), listen]);
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir(folder.path())
            .stdin(if leashed { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, log) = watch::channel(String::new());
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                sender.send_modify(|log| log.extend([line.as_str(), "\n"]));
            }
        });
        (Running { child, leashed, log }, serves, folder)
    }
}

impl Starting {
    /// Waits until it has logged `text`, and returns the line with it.
    pub(crate) async fn logged(&mut self, text: &str) -> String {
        let seen = self.process.log.wait_for(|log| log.contains(text));
        let log = tokio::time::timeout(LIMIT, seen).await.expect("it is logged in time");
        let log = log.unwrap_or_else(|_| panic!("the process ended without {text}")).clone();
        log.lines().find(|line| line.contains(text)).expect("just seen").to_owned()
    }

    /// Sends SIGTERM and waits for the end. Returns how it ended, and its log.
    pub(crate) async fn terminate(mut self) -> (ExitStatus, String) {
        let id = self.process.child.id().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &id]).status().unwrap().success());
        self.process.ended().await
    }

    /// Waits until the process serves.
    pub(crate) async fn served(self) -> Service {
        let Self { mut process, serves, folder } = self;
        let serving = process.log.wait_for(|log| address(log, serves).is_some());
        let serving = tokio::time::timeout(LIMIT, serving).await.expect("the process serves or ends in time");
        let address = serving.map(|log| address(&log, serves).expect("just seen")).ok();
        let address = address.unwrap_or_else(|| panic!("the process ended: {}", *process.log.borrow()));
        Service { address, process, _folder: folder }
    }
}

impl Running {
    /// Waits until the process has ended by itself.
    async fn ended(&mut self) -> (ExitStatus, String) {
        // The log closes when the process ends.
        let closed = async { while self.log.changed().await.is_ok() {} };
        tokio::time::timeout(LIMIT, closed).await.expect("the process ends in time");
        (self.child.wait().unwrap(), self.log.borrow().clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        if !self.leashed {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// The address in the log line whose message is `serves`.
fn address(log: &str, serves: &str) -> Option<SocketAddr> {
    let mut lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let line = lines.find(|line| line["message"] == serves)?;
    line["address"].as_str()?.parse().ok()
}
