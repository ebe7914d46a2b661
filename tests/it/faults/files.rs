//! Few open files: a service takes as many as it may have, and no more connections than there are files for.

use std::path::Path;

use crate::harness::processes::{Service, Setup};

/// What is logged when connections have to be fewer.
const WARNING: &str = "the limit of open files is low";

fn gateway() -> Setup {
    Service::gateway("127.0.0.1:9".parse().unwrap(), Path::new("."))
}

fn core_service(folder: &Path) -> Setup {
    Service::core_service(&format!("sqlite://{}/athook.db?mode=rwc", folder.display()))
}

#[tokio::test]
async fn soft_limit_is_raised() {
    let gateway = gateway().under(&["prlimit", "--nofile=100:"]).start().await;
    let (soft, hard) = gateway.limit_of_open_files();
    assert!(soft > 100 && soft == hard, "{soft} of {hard}");
}

#[tokio::test]
async fn few_files_are_told_with_the_numbers() {
    let folder = tempfile::tempdir().unwrap();
    for (setup, places, wanted) in [(gateway(), 150, 8192), (core_service(folder.path()), 150, 512)] {
        let mut service = setup.under(&["prlimit", "--nofile=300:300"]).start().await;
        let lines = service.logged(WARNING).await;
        assert_eq!(lines.len(), 1, "{lines:?}");
        let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!((&line["level"], &line["limit"]), (&"WARN".into(), &300.into()), "{line}");
        assert_eq!((&line["places"], &line["wanted"]), (&places.into(), &wanted.into()), "{line}");
        let (ended, log) = service.terminate().await;
        assert!(ended.success(), "{log}");
    }
}
