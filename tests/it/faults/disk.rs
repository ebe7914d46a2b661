//! The disk is full, the database can't be written, or its files are removed or replaced.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use futures_util::future::join_all;
use sea_orm::Database as Connect;
use serde_json::json;

use super::load::{Load, core_service, gateway, unavailable, until_ready, until_unready};
use crate::harness::gateway::Gateway;
use crate::harness::identity::{Identity, Key};
use crate::harness::processes::Service;
use crate::harness::stack::{CREATE_SECRET, LIST_SECRETS};

/// $1: `disk`, where a small one can be mounted, or `limit`, where the size of a process's files is limited
/// in its place. $2: the folder of the database, $3: where to keep a copy of it at the end. Then the command,
/// and a word a line: fill, free.
const SCRIPT: &str = r#"
    how=$1 folder=$2 kept=$3
    shift 3
    case $how in
        disk) mount -t tmpfs -o size=2m tmpfs "$folder" || exit 1 ;;
        limit) trap '' XFSZ ;;
    esac
    "$@" </dev/null &
    served=$!
    fill() {
        case $how in
            disk) dd if=/dev/zero of="$folder/ballast" bs=4096 2>/dev/null ;;
            limit) prlimit --pid "$served" --fsize=65536: ;;
        esac
    }
    free() {
        case $how in
            disk) rm "$folder/ballast" ;;
            limit) prlimit --pid "$served" --fsize=unlimited: ;;
        esac
    }
    while read -r word; do
        case $word in fill) fill ;; free) free ;; esac
    done
    kill -9 "$served"
    wait "$served"
    cp "$folder"/athook.db* "$kept"
"#;

/// The command before a service whose disk can be filled. In a namespace of its own even an ordinary user can
/// mount.
fn disk_of_its_own<'a>(folder: &'a str, kept: &'a str) -> Vec<&'a str> {
    let can_mount = ["-rm", "sh", "-c", "mount -t tmpfs tmpfs /mnt"];
    let can_mount = Command::new("unshare").args(can_mount).output().is_ok_and(|out| out.status.success());
    let mut command = if can_mount { vec!["unshare", "-rm"] } else { Vec::new() };
    command.extend(["sh", "-c", SCRIPT, "sh", if can_mount { "disk" } else { "limit" }, folder, kept]);
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full() {
    let (folder, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (folder, kept) = (folder.path().display().to_string(), kept.path().display().to_string());
    let url = format!("sqlite://{folder}/athook.db?mode=rwc");
    let mut core = core_service(&url).leashed(&disk_of_its_own(&folder, &kept)).start().await;
    let gateway = gateway(core.address).await;
    let mut load = Load::start(&gateway);
    load.acknowledged(20).await;
    core.say("fill");
    load.failed(20).await;
    let done = load.stop().await;
    until_unready(&gateway).await;
    // Reading goes on.
    let alice = alice(&gateway);
    gateway.query(&alice, LIST_SECRETS, "").await.ok();
    core.say("free");
    until_ready(&gateway).await;
    done.failed_left_nothing().await;
    done.all_exist().await;
    // It is noticed too while nobody writes.
    core.say("fill");
    until_unready(&gateway).await;
    core.say("free");
    until_ready(&gateway).await;
    core.let_go().await;
    let copy = Connect::connect(format!("sqlite://{kept}/athook.db")).await.unwrap();
    done.rows_agree(&copy).await;
}

fn alice(gateway: &Gateway) -> Identity {
    let alice = Identity::new("did:plc:alice2222222222222222222", Key::k256());
    gateway.knows(&alice);
    alice
}

/// What happens to the file, and whether another takes its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_are_removed_or_replaced() {
    let names = ["athook.db", "athook.db-wal", "athook.db-shm"];
    let cases = names.into_iter().flat_map(|name| [(name, None), (name, Some("another file"))]);
    join_all(cases.map(async |(name, other)| {
        let folder = tempfile::tempdir().unwrap();
        let (file, away) = (folder.path().join(name), folder.path().join("away"));
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("athook.db").display());
        let mut core = core_service(&url).start().await;
        let gateway = gateway(core.address).await;
        let alice = alice(&gateway);
        let mut load = Load::start(&gateway);
        load.acknowledged(20).await;
        std::fs::rename(&file, &away).unwrap();
        if let Some(other) = other {
            std::fs::write(&file, other).unwrap();
        }
        // A write that was under way may have been acknowledged just before; none that begins now is.
        for number in 0..5 {
            let name = json!({ "name": format!("n{number}") });
            unavailable(&gateway.call(&alice, CREATE_SECRET, &name).await);
        }
        load.failed(20).await;
        let done = load.stop().await;
        until_unready(&gateway).await;
        let lines = core.logged("was removed or replaced").await;
        assert!(lines[0].contains(name), "{lines:?}");
        std::fs::rename(&away, &file).unwrap();
        until_ready(&gateway).await;
        done.all_exist().await;
        let address = core.address;
        core.kill();
        let _core = core_service(&url).at(address).start().await;
        until_ready(&gateway).await;
        done.all_exist().await;
    }))
    .await;
}

/// The command that takes away root's right to write read-only files.
fn as_anybody() -> &'static [&'static str] {
    match Command::new("id").arg("-u").output().unwrap().stdout.as_slice() {
        b"0\n" => &["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"],
        _ => &[],
    }
}

#[tokio::test]
async fn read_only_file_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("athook.db");
    let url = format!("sqlite://{}?mode=rwc", file.display());
    let (ended, log) = Service::core_service(&url).start().await.terminate().await;
    assert!(ended.success(), "{log}");
    let mode = |path: &Path, mode| set_permissions(path, Permissions::from_mode(mode)).unwrap();
    mode(&file, 0o444);
    for folder_mode in [0o755, 0o555] {
        mode(folder.path(), folder_mode);
        let stderr = Service::core_service(&url).under(as_anybody()).fails().await;
        mode(folder.path(), 0o755);
        let stderr = stderr.lines().last().unwrap();
        assert!(stderr.starts_with("error: ") && stderr.contains("athook.db"), "{stderr}");
        assert!(stderr.contains("readonly") || stderr.contains("unable to open"), "{stderr}");
    }
    // SQLite gives the files beside the database the same mode.
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        mode(&entry.unwrap().path(), 0o644);
    }
    Service::core_service(&url).under(as_anybody()).start().await;
}
