//! Packages of Debian and of other languages, installed in a folder outside of the repository, so that a new
//! checkout need not download them again.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program of a Python with the packages of `requirements`, a file in the repository.
pub(crate) fn python(requirements: &str) -> PathBuf {
    let script = "python3 -m venv --clear \"$0\" &&
        \"$0/bin/pip\" install --quiet --disable-pip-version-check --requirement \"$1\"";
    installed("python", requirements, script).join("bin/python")
}

/// The folder with `node_modules` of a `package-lock.json` in the repository.
pub(crate) fn node(lock: &str) -> PathBuf {
    let script = "rm -rf \"$0\" && mkdir \"$0\" && cp \"$(dirname \"$1\")\"/package*.json \"$0\" &&
        npm --prefix \"$0\" ci --ignore-scripts --no-audit --no-fund";
    installed("node", lock, script)
}

/// The root folder of the Debian packages that `list`, a file in the repository, names, without what they
/// depend on.
pub(crate) fn debian(list: &str) -> PathBuf {
    let script = "rm -rf \"$0\" && mkdir \"$0\" && cd \"$0\" &&
        { apt-get download $(cat \"$1\") || { apt-get update && apt-get download $(cat \"$1\"); } } &&
        for package in *.deb; do dpkg-deb --extract \"$package\" . || exit; done";
    installed("debian", list, script)
}

/// A folder that `script` has filled with what `list` says. It runs once for each content of the list.
#[expect(clippy::disallowed_methods, reason = "asked by whoever runs the tests, not by the product")]
fn installed(language: &str, list: &str, script: &str) -> PathBuf {
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join(list);
    let mut hasher = DefaultHasher::new();
    std::fs::read(&list).unwrap().hash(&mut hasher);
    let home = || PathBuf::from(std::env::var_os("HOME").expect("a home")).join(".cache");
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from).join("athook");
    std::fs::create_dir_all(&cache).unwrap();
    let folder = cache.join(format!("{language}-{:016x}", hasher.finish()));
    // Another checkout may do the same now.
    let once = format!("[ -e \"$0/installed\" ] || {{ {script} && touch \"$0/installed\"; }}");
    let output = Command::new("flock")
        .arg(folder.with_extension("lock"))
        .args(["sh", "-c", &once])
        .args([&folder, &list])
        .output()
        .expect("flock is there (util-linux)");
    assert!(output.status.success(), "packages of {language} can be installed: {output:?}");
    folder
}
