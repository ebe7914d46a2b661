//! The wrapper of the compiler by which release builds get their profile.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The command line that the wrapper makes of one of cargo's for the package `a` 1.2.3.
fn wrapped(arguments: &[&str], counts: Option<&str>) -> Vec<String> {
    let mut command = Command::new(folder().join("rustc"));
    command
        .args(["printf", "%s\\n"])
        .args(arguments)
        .env("CARGO_PKG_NAME", "a")
        .env("CARGO_PKG_VERSION", "1.2.3")
        .env("PROFILE_GENERATE", counts.unwrap_or_default());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/profile")
}

#[test]
fn cargo_calls_it() {
    let config = include_str!("../../.cargo/config.toml");
    assert!(config.contains("rustc-wrapper = \"deploy/profile/rustc\""), "{config}");
}

#[test]
fn unoptimised_code_is_compiled_as_asked() {
    let asked = ["--crate-name", "a b", "-C", "opt-level=0", "-C", "metadata=77"];
    assert_eq!(wrapped(&asked, None), asked);
    assert_eq!(wrapped(&asked, Some("/counts")), asked);
    assert_eq!(wrapped(&["-vV"], None), ["-vV"]);
}

#[test]
fn optimised_code_is_compiled_by_the_profile() {
    let asked = ["--crate-name", "a b", "-C", "opt-level=3", "-C", "metadata=77", "--emit=metadata,link"];
    let compiled = wrapped(&asked, None);
    let kept = ["--crate-name", "a b", "-C", "opt-level=3", "-C", "metadata=a-1.2.3", "--emit=metadata,link"];
    assert_eq!(compiled[..7], kept);
    let profile = compiled.iter().find_map(|argument| argument.strip_prefix("profile-use=")).unwrap();
    assert!(Path::new(profile).is_absolute(), "crates are compiled in folders of their own: {profile}");
    assert!(std::fs::metadata(profile).unwrap().len() > 100_000, "{profile}");
}

/// A library's own tests may depend on a crate that depends on the library.
#[test]
fn a_crate_and_its_tests_are_told_apart() {
    let asked = ["--test", "-C", "opt-level=3", "-C", "metadata=77"];
    assert_eq!(wrapped(&asked, None)[4], "metadata=a-1.2.3-test");
}

#[test]
fn a_build_can_count_for_the_next_profile() {
    let compiled = wrapped(&["-C", "opt-level=3", "-C", "metadata=77"], Some("/counts"));
    assert_eq!(compiled, ["-C", "opt-level=3", "-C", "metadata=a-1.2.3", "-C", "profile-generate=/counts"]);
}
