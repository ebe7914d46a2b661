//! What comes with the program itself: completion for shells, and its version.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::{output, tool};
use crate::harness::program::athook;

#[test]
fn completion_for_every_shell() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, script) = tool(folder.path(), &["completion", shell]);
        assert_eq!(code, 0, "{shell}");
        // Flags of the services' own command lines, and of tools.
        for word in ["gateway-listen", "tls-client-ca", "reseal", "lexicons", "doctor"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(tool(folder.path(), &["completion", "cmd"]).0, 2);
}

#[test]
fn bash_reads_and_completes() {
    let folder = tempfile::tempdir().unwrap();
    let (_, script) = tool(folder.path(), &["completion", "bash"]);
    let bash = |arguments: &[&str], input: &str| {
        let mut bash = Command::new("bash");
        let mut bash = bash
            .args(arguments)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        bash.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = bash.wait_with_output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    };
    assert_eq!(bash(&["-n"], &script), (true, String::new()));
    let asked = "COMP_WORDS=(athook core-service res); COMP_CWORD=2; _athook athook res core-service; \
                 echo \"${COMPREPLY[@]}\"\n";
    assert_eq!(bash(&["--norc"], &format!("{script}\n{asked}")), (true, "reseal\n".to_owned()));
}

#[test]
fn version_of_this_build() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = tool(folder.path(), &["version"]);
    let lines: Vec<_> = text.lines().collect();
    let own = concat!("athook ", env!("CARGO_PKG_VERSION"));
    assert_eq!((code, lines.len(), lines[0]), (0, 4, own));
    // Without git, or in an archive of the sources, nobody knows it.
    let commit = lines[1].strip_prefix("commit ").unwrap();
    let is_hash = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(is_hash || commit == "unknown", "{text}");
    assert!(lines[2].starts_with("rustc 1.") && lines[3].starts_with("target "), "{text}");
    let (_, short) = output(athook(folder.path()).arg("--version"));
    assert_eq!(short.trim_end(), own);
}
