//! A machine of a first-time user: a network namespace with loopback alone, where every port is free.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The machine. What runs on it must be ended before.
pub(crate) struct Machine {
    /// Keeps the namespace.
    holder: Child,
    folder: tempfile::TempDir,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Lines of the documents run as they are: `cargo run` and `athook` are the program that the tests
        // have built.
        let cargo = folder.path().join("cargo");
        let athook = env!("CARGO_BIN_EXE_athook");
        let script = format!(
            "#!/bin/sh\n[ \"$1\" = run ] || exit 1\nshift\n[ \"$1\" = -q ] && shift\n\
             [ \"$1\" = -- ] && shift\nexec {athook} \"$@\"\n"
        );
        std::fs::write(&cargo, script).unwrap();
        assert!(Command::new("chmod").arg("+x").arg(&cargo).status().unwrap().success());
        std::os::unix::fs::symlink(athook, folder.path().join("athook")).unwrap();
        let mut holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--net", "sh", "-c"])
            .arg("ip link set lo up && echo up && exec sleep 600")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare is there (util-linux)");
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "up\n", "ip is there (iproute2), and the kernel lets users create namespaces");
        Self { holder, folder }
    }

    /// A new folder on it.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let folder = self.folder.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        folder
    }

    /// Puts a program into the search path.
    pub(crate) fn install(&self, name: &str, program: &Path) {
        std::os::unix::fs::symlink(program, self.folder.path().join(name)).unwrap();
    }

    /// Lines that are pasted into a shell in this folder. A signal reaches the last of them.
    pub(crate) fn shell(&self, folder: &Path, lines: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--preserve-credentials", "--user", "--net", "--target", &self.holder.id().to_string()])
            .args(["bash", "-c", lines])
            .env_clear()
            .env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.folder.path().display()))
            .current_dir(folder)
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
