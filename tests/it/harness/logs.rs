//! The logs of the whole test process at the level `trace`, kept to be searched.

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};

use tracing_subscriber::EnvFilter;

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

static KEPT: OnceLock<Kept> = OnceLock::new();

/// Starts keeping logs. Every stack does.
pub(crate) fn keep() {
    KEPT.get_or_init(|| {
        let kept = Kept::default();
        let writer = kept.clone();
        // Everything of athook's and of the database driver; the HTTP crates only from debug upwards.
        let filter = EnvFilter::new("trace,h2=info,hyper=info,hyper_util=info,tower=info,hickory_proto=info,hickory_net=info,hickory_resolver=info");
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .json()
            .flatten_event(true)
            .with_writer(move || writer.clone())
            .try_init()
            .expect("the first subscriber of the process");
        kept
    });
}

/// All that was logged so far.
pub(crate) fn text() -> String {
    let kept = KEPT.get().expect("a stack was started");
    String::from_utf8_lossy(&kept.0.lock().unwrap()).into_owned()
}

/// The access lines with this request id.
pub(crate) fn access_lines(request_id: &str) -> Vec<serde_json::Value> {
    lines(|line| line.contains("gateway::access") && line.contains(request_id))
}

/// The lines that `wanted` picks.
pub(crate) fn lines(wanted: impl Fn(&str) -> bool) -> Vec<serde_json::Value> {
    text().lines().filter(|line| wanted(line)).map(|line| serde_json::from_str(line).unwrap()).collect()
}
