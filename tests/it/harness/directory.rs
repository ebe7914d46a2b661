//! A PLC directory on loopback whose answers tests choose, and which counts the look-ups.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use http::{Response, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;

/// What the directory answers for one DID.
#[derive(Clone)]
pub(crate) enum Reply {
    Document(Value),
    Status(u16),
    RedirectTo(String),
    /// Takes the request and never answers.
    Nothing,
    /// A body without end.
    TooMuch,
}

#[derive(Default)]
struct Entries {
    replies: HashMap<String, Reply>,
    lookups: HashMap<String, usize>,
}

/// The directory. It stops when dropped.
pub(crate) struct Directory {
    url: String,
    entries: Arc<Mutex<Entries>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Directory {
    /// An empty directory: every DID is 404.
    pub(crate) async fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    /// An empty directory on this listener.
    pub(crate) fn on(listener: TcpListener) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let entries = Arc::new(Mutex::new(Entries::default()));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&entries));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, entries, serving }
    }

    /// For `--plc-url`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// From now on the directory answers this for `did`.
    pub(crate) fn set(&self, did: &str, reply: Reply) {
        self.entries.lock().unwrap().replies.insert(did.to_owned(), reply);
    }

    /// How often it was asked for `did`.
    pub(crate) fn lookups(&self, did: &str) -> usize {
        self.entries.lock().unwrap().lookups.get(did).copied().unwrap_or_default()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(State(entries): State<Arc<Mutex<Entries>>>, request: Request) -> Response<Body> {
    let path = request.uri().path().trim_start_matches('/');
    // A did:web host asks for its one document; it is kept under the path.
    let reply = {
        let mut entries = entries.lock().unwrap();
        *entries.lookups.entry(path.to_owned()).or_default() += 1;
        entries.replies.get(path).cloned()
    };
    let response = Response::builder();
    match reply {
        None => {
            response.status(StatusCode::NOT_FOUND).body(Body::from(r#"{"message":"DID not registered"}"#))
        }
        Some(Reply::Status(status)) => response.status(status).body(Body::empty()),
        Some(Reply::RedirectTo(url)) => response.status(302).header("location", url).body(Body::empty()),
        Some(Reply::Document(document)) => {
            response.header("content-type", "application/did+ld+json").body(Body::from(document.to_string()))
        }
        Some(Reply::Nothing) => std::future::pending().await,
        Some(Reply::TooMuch) => {
            let chunks = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 16 * 1024]));
            response.body(Body::from_stream(chunks))
        }
    }
    .unwrap()
}
