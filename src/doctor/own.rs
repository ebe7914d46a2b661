//! What is athook's own: its settings, its files, its database, its pages.

use core_service::inspection::{self, DatabaseState};
use gateway::config::Config;
use process::exit::chain;
use process::files::ExposedFile;
use process::settings::WrongSettings;

use super::finding::Finding;
use crate::both::Both;

pub(super) const DATABASE_FLAGS: &str = "--database-url, --seal-keys-file";

/// The texts begin with the flags.
pub(super) fn wrong_settings(error: &WrongSettings) -> Vec<Finding> {
    error.lines().iter().map(|line| Finding::fail("settings", line, "")).collect()
}

pub(super) fn settings(is_development: bool) -> Finding {
    let told = if is_development { "fit; an `athook dev` runs in this folder" } else { "fit" };
    Finding::ok("settings", told, "")
}

/// The seal keys, and all files with secrets that others can read.
pub(super) fn files(both: &Both) -> Vec<Finding> {
    let file = both.keys_file.display();
    let keys = if both.keys_file.exists() {
        Finding::ok("seal keys", format_args!("{file} is there"), "--seal-keys-file")
    } else {
        Finding::ok(
            "seal keys",
            format_args!("{file} is not there: the first start with a new database makes it"),
            "--seal-keys-file",
        )
    };
    let exposed = both.gateway.exposed_files.iter().chain(inspection::exposed_files(&both.core));
    let exposed = exposed.map(ExposedFile::path).map(|path| {
        let told = format!("others can read or write {path}: chmod 600 {path}", path = path.display());
        Finding::warn("files", told, "")
    });
    std::iter::once(keys).chain(exposed).collect()
}

pub(super) async fn database(both: &Both) -> Vec<Finding> {
    const WHAT: &str = "database";
    let database = both.core.database();
    let finding = match inspection::database(&both.core).await {
        Ok(DatabaseState::Missing) => {
            Finding::ok(WHAT, format_args!("{database} is made at the first start"), "--database-url")
        }
        Ok(DatabaseState::Older) => {
            let told = format_args!("{database} answers; the start brings its schema up to date");
            Finding::ok(WHAT, told, "--database-url")
        }
        Ok(DatabaseState::Same) => {
            Finding::ok(WHAT, format_args!("{database} has the schema of this release"), "--database-url")
        }
        Ok(DatabaseState::Newer) => {
            let told = format_args!("{database} has the schema of a later release, and is used as it is");
            Finding::warn(WHAT, told, "--database-url")
        }
        Err(error) => Finding::fail(WHAT, chain(&*error), DATABASE_FLAGS),
    };
    vec![finding]
}

pub(super) fn site(gateway: &Config) -> Finding {
    if gateway.site {
        let origin = gateway.public_url.origin().ascii_serialization();
        Finding::ok("site", format_args!("pages for people at {origin}/"), "--site")
    } else {
        Finding::ok("site", "off: there are no pages for people", "--site")
    }
}
