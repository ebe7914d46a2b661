//! Which settings are accepted, and the messages about those that are not.

use std::path::Path;

use clap::Parser;
use process::settings::RawShared;
use tempfile::TempDir;

use super::*;

const LOOPBACK: &str = "127.0.0.1:0";
const OPEN: &str = "0.0.0.0:0";

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    core: RawCoreArgs,
    #[command(flatten)]
    shared: RawShared,
}

/// Checks flags. The error has every problem.
fn check(listen: &str, flags: &[&str]) -> Result<Config, String> {
    let all = std::iter::once("test").chain(flags.iter().copied());
    let Flags { core, shared } = Flags::try_parse_from(all).map_err(|error| error.to_string())?;
    let mut problems = Problems::new();
    let listen = RawListen { flag: "--listen", text: listen, protection: "--core-token-file" };
    let shared = Shared::check(shared, &mut problems);
    let config = Config::check(core, listen, &shared, &mut problems);
    problems.finish(config).map_err(|wrong| wrong.to_string())
}

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.write("keys", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n");
        files.write("token", "0123456789abcdef\n");
        let key = rcgen::generate_simple_self_signed(vec!["core.example".to_owned()]).unwrap();
        files.write("cert.pem", &key.cert.pem());
        files.write("key.pem", &key.signing_key.serialize_pem());
        files
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn path(&self, name: &str) -> String {
        let path: &Path = self.0.path();
        path.join(name).display().to_string()
    }

    /// The flags, with the one that is required and `@name` replaced by the path of a file.
    fn check(&self, listen: &str, flags: &[&str]) -> Result<Config, String> {
        let keys = ["--seal-keys-file", "@keys"];
        let flags: Vec<String> = keys
            .iter()
            .chain(flags)
            .map(|flag| match flag.strip_prefix('@') {
                Some(name) => self.path(name),
                None => (*flag).to_owned(),
            })
            .collect();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        check(listen, &flags)
    }

    fn refused(&self, listen: &str, flags: &[&str]) -> String {
        match self.check(listen, flags) {
            Ok(_) => panic!("accepted: {flags:?}"),
            Err(message) => message,
        }
    }
}

#[test]
fn defaults() {
    let config = Files::new().check(LOOPBACK, &[]).unwrap();
    assert_eq!(config.database().to_string(), "SQLite file athook.db");
    assert_eq!((config.limits.webhooks, config.limits.secrets), (50, 100));
    assert_eq!((config.probe, config.schemes), (ProbeMode::Connect, Schemes::Https));
    assert_eq!(config.rotation_overlap, Duration::ZERO);
    assert!(config.credentials.tls.is_none() && config.health_listen().is_none());
}

#[test]
fn empty_counts_as_none() {
    let flags = [
        "--database-url",
        "",
        "--database-url-file",
        "",
        "--health-listen",
        "",
        "--tls-cert",
        "",
        "--max-secrets",
        "",
        "--probe",
        "",
        "--allow-http",
        "",
        "--rotation-overlap",
        "",
    ];
    let config = Files::new().check(LOOPBACK, &flags).unwrap();
    assert_eq!(config.database().to_string(), "SQLite file athook.db");
    assert_eq!((config.limits.secrets, config.schemes), (100, Schemes::Https));
    assert_eq!(config.rotation_overlap, Duration::ZERO);
}

#[test]
fn rotation_overlap_has_an_end() {
    let files = Files::new();
    for (text, seconds) in [("0s", 0), ("1h", 3600), ("30days", 2_592_000)] {
        let config = files.check(LOOPBACK, &["--rotation-overlap", text]).unwrap();
        assert_eq!(config.rotation_overlap, Duration::from_secs(seconds), "{text}");
    }
    for text in ["30days 1s", "1year", "60", "-1s", "soon"] {
        let message = files.refused(LOOPBACK, &[&format!("--rotation-overlap={text}")]);
        assert!(message.contains("--rotation-overlap:"), "{text}: {message}");
    }
}

#[test]
fn booleans() {
    let files = Files::new();
    for (flags, schemes) in [
        (&["--allow-http"][..], Schemes::HttpsAndHttp),
        (&["--allow-http", "true"], Schemes::HttpsAndHttp),
        (&["--allow-http=false"], Schemes::Https),
        (&["--allow-http", "--probe", "off"], Schemes::HttpsAndHttp),
    ] {
        assert_eq!(files.check(LOOPBACK, flags).unwrap().schemes, schemes, "{flags:?}");
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let flags = [
        "--health-listen=here",
        "--database-url=mysql://someone:letmein@host/name",
        "--tls-cert=@cert.pem",
        "--max-webhooks=-1",
        "--max-secrets=1000001",
        "--probe=maybe",
        "--allow-http=perhaps",
        "--rotation-overlap=31days",
    ];
    let message = Files::new().refused("nowhere", &flags);
    for flag in [
        "--listen:",
        "--health-listen:",
        "--database-url:",
        "--tls-cert:",
        "--max-webhooks:",
        "--max-secrets:",
        "--probe:",
        "--allow-http:",
        "--rotation-overlap:",
    ] {
        assert!(message.contains(flag), "{flag} in {message}");
    }
    assert!(!message.contains("letmein"), "{message}");
    let message = check(LOOPBACK, &[]).err().unwrap();
    assert!(message.contains("--seal-keys-file: required"), "{message}");
}

#[test]
fn database_url_from_a_file() {
    let files = Files::new();
    files.write("url", "postgres://someone:letmein@db.example/hooks \nanother line\n");
    let config = files.check(LOOPBACK, &["--database-url-file", "@url"]).unwrap();
    assert_eq!(config.database().to_string(), "Postgres db.example:5432/hooks");
    let both = ["--database-url-file", "@url", "--database-url", "sqlite://a.db"];
    assert!(files.refused(LOOPBACK, &both).contains("not both"));
    files.write("url", "letmein\n");
    let message = files.refused(LOOPBACK, &["--database-url-file", "@url"]);
    assert!(message.contains("--database-url-file: must be") && !message.contains("letmein"), "{message}");
}

#[test]
fn address_that_others_reach_needs_a_guard() {
    let files = Files::new();
    let tls = ["--tls-cert", "@cert.pem", "--tls-key", "@key.pem"];
    for flags in [&[][..], &tls] {
        for listen in [OPEN, "[::]:0", "192.0.2.1:50051", "[::ffff:192.0.2.1]:50051"] {
            let message = files.refused(listen, flags);
            assert!(message.contains("--listen:") && message.contains("set --core-token-file"), "{message}");
        }
    }
    let mutual = [&tls[..], &["--tls-client-ca", "@cert.pem"]].concat();
    for flags in [&["--core-token-file", "@token"][..], &mutual] {
        assert!(files.check(OPEN, flags).is_ok(), "{flags:?}");
    }
    for listen in [LOOPBACK, "[::1]:0", "127.8.8.8:1"] {
        assert!(files.check(listen, &[]).is_ok(), "{listen}");
    }
}

#[test]
fn tls_files_are_parsed() {
    let files = Files::new();
    files.write("garbage", "garbage");
    for flags in [
        ["--tls-cert", "@garbage", "--tls-key", "@key.pem"],
        ["--tls-cert", "@cert.pem", "--tls-key", "@garbage"],
        ["--tls-cert", "@cert.pem", "--tls-key", "@missing"],
    ] {
        assert!(files.refused(LOOPBACK, &flags).contains("--tls-"), "{flags:?}");
    }
}

#[test]
fn seal_keys_are_not_printed() {
    let files = Files::new();
    files.write("keys", "letmein\n");
    let message = files.refused(LOOPBACK, &[]);
    assert!(message.contains("line 1") && !message.contains("letmein"), "{message}");
}
