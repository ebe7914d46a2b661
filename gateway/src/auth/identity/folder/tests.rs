//! Real folders of DID documents, read at given times.

use std::fs;
use std::path::Path;

use futures_util::future::join_all;
use serde_json::Value;
use tempfile::TempDir;

use super::Folders;
use crate::auth::key::SigningKey;
use crate::auth::refusal::Refusal;
use crate::auth::tests::issuer::{Issuer, Signer};

fn issuer(seed: u8) -> Issuer {
    Issuer::plc(Signer::k256(seed))
}

fn write(folder: &Path, name: &str, document: &Value) {
    fs::write(folder.join(name), document.to_string()).unwrap();
}

fn open(folders: &[&TempDir]) -> Folders {
    Folders::open(folders.iter().map(|folder| folder.path().to_owned()).collect(), 0)
}

async fn key(folders: &Folders, now_ms: i64) -> Option<Result<SigningKey, Refusal>> {
    folders.key(&issuer(1).did().parse().unwrap(), now_ms).await
}

fn found(seed: u8) -> Option<Result<SigningKey, Refusal>> {
    Some(Ok(SigningKey::from_method("Multikey", &issuer(seed).signer.multikey()).unwrap()))
}

#[tokio::test]
async fn indexed_by_id() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "whatever.json", &issuer(1).document());
    assert_eq!(key(&open(&[&folder]), 0).await, found(1));
}

#[tokio::test]
async fn added_changed_and_removed_within_a_second() {
    let folder = TempDir::new().unwrap();
    let folders = open(&[&folder]);
    assert_eq!(key(&folders, 0).await, None);

    write(folder.path(), "a.json", &issuer(1).document());
    assert_eq!(key(&folders, 1_000).await, found(1));

    // Another length, so that the change is seen even if the file system's times are coarse.
    let mut changed = issuer(2).document();
    changed["padding"] = "changed".into();
    write(folder.path(), "a.json", &changed);
    assert_eq!(key(&folders, 1_999).await, found(1));
    assert_eq!(key(&folders, 2_000).await, found(2));

    fs::remove_file(folder.path().join("a.json")).unwrap();
    assert_eq!(key(&folders, 3_000).await, None);
}

#[tokio::test]
async fn clock_that_was_set_back() {
    let folder = TempDir::new().unwrap();
    let folders = open(&[&folder]);
    write(folder.path(), "a.json", &issuer(1).document());
    assert_eq!(key(&folders, -86_400_000).await, found(1));
}

#[tokio::test]
async fn earlier_folder_wins() {
    let (first, second) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    write(first.path(), "z.json", &issuer(1).document());
    write(second.path(), "a.json", &issuer(2).document());
    assert_eq!(key(&open(&[&first, &second]), 0).await, found(1));
    assert_eq!(key(&open(&[&second, &first]), 0).await, found(2));
}

#[tokio::test]
async fn useless_files_are_left_out() {
    let folder = TempDir::new().unwrap();
    let oversized = format!("{}{}", issuer(2).document(), " ".repeat(64 * 1024));
    fs::write(folder.path().join("a.json"), oversized).unwrap();
    fs::write(folder.path().join("b.json"), "{").unwrap();
    fs::create_dir(folder.path().join("c.json")).unwrap();
    write(folder.path(), "d.txt", &issuer(3).document());
    assert_eq!(key(&open(&[&folder]), 0).await, None);
    write(folder.path(), "e.json", &issuer(1).document());
    assert_eq!(key(&open(&[&folder]), 0).await, found(1));
}

#[tokio::test]
async fn document_without_a_key() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "a.json", &issuer(1).document_with("JsonWebKey2020", "z"));
    assert_eq!(key(&open(&[&folder]), 0).await, Some(Err(Refusal::NoKey)));
}

#[tokio::test]
async fn folder_that_comes_later() {
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("dids");
    let folders = Folders::open(vec![folder.clone()], 0);
    assert_eq!(key(&folders, 0).await, None);
    fs::create_dir(&folder).unwrap();
    write(&folder, "a.json", &issuer(1).document());
    assert_eq!(key(&folders, 1_000).await, found(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn added_document_is_seen_by_all_who_ask_at_once() {
    let folder = TempDir::new().unwrap();
    let mut other = issuer(2).document();
    other["id"] = "did:plc:other".into();
    for number in 2..256 {
        write(folder.path(), &format!("{number}.json"), &other);
    }
    let folders = open(&[&folder]);
    write(folder.path(), "1.json", &issuer(1).document());
    // The first call reads the folder, which takes a while. Calls meanwhile must not use the old index.
    let asking = (0..64).map(|_| async {
        tokio::task::yield_now().await;
        key(&folders, 0).await
    });
    assert_eq!(join_all(asking).await, vec![found(1); 64]);
}
