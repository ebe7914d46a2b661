//! The file in which a running `athook dev` says where it listens, for `athook listen` in the same folder.
//!
//! A process that is killed leaves the file behind: whoever reads it asks at the address whether anybody is
//! there.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use process::exit::Failure;
use serde::{Deserialize, Serialize};
use url::Url;

/// Without `.json`, which the DID documents in the same folder have.
const FILE: &str = "running";
/// How long a connection on this machine may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// How a running `athook dev` can be called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Running {
    /// The origin of the gateway, without the final slash.
    pub(crate) xrpc: String,
    /// The audience of tokens.
    pub(crate) service_did: String,
}

/// Removes the file when dropped.
pub(crate) struct Published(PathBuf);

impl Running {
    /// Writes the file into the folder of the development identity.
    pub(crate) fn publish(&self, folder: &Path) -> Result<Published, Failure> {
        let file = folder.join(FILE);
        // Written to another file and renamed, so that nobody reads half of it.
        let temporary = file.with_extension("new");
        fs::write(&temporary, serde_json::to_string(self)?)
            .and_then(|()| fs::rename(&temporary, &file))
            .map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(Published(file))
    }

    /// The same, if anybody listens there.
    pub(crate) fn find_listening(folder: &Path) -> Option<Self> {
        let running = Self::find(folder)?;
        let addresses = running.xrpc.parse::<Url>().ok()?.socket_addrs(|| None).ok()?;
        let listens = |address| TcpStream::connect_timeout(address, CONNECT_LIMIT).is_ok();
        addresses.iter().any(listens).then_some(running)
    }

    /// Reads the file. `None`: there is none that can be read.
    pub(crate) fn find(folder: &Path) -> Option<Self> {
        serde_json::from_str(&fs::read_to_string(folder.join(FILE)).ok()?).ok()
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn found_for_as_long_as_it_runs() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Running::find(folder.path()), None);
        let running = Running {
            xrpc: "http://127.0.0.1:8080".to_owned(),
            service_did: "did:web:localhost%3A8080".to_owned(),
        };
        let published = running.publish(folder.path()).unwrap();
        assert_eq!(Running::find(folder.path()), Some(running));
        drop(published);
        assert_eq!(Running::find(folder.path()), None);
    }
}
