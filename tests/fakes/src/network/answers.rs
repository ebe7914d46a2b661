//! What the host answers.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use futures_util::stream;
use http::header::HOST;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::{Fault, Repo, State as Known};

/// Records of a page, at most, as the lexicon says.
const RECORDS: usize = 100;
/// Repositories of a page, at most, as the lexicon says.
const REPOS: usize = 2_000;

type Parameters = HashMap<String, String>;
type Answer = Result<String, (StatusCode, &'static str)>;

const NOT_FOUND: (StatusCode, &str) = (StatusCode::NOT_FOUND, "NotFound");

pub(super) fn router(state: Arc<Mutex<Known>>) -> Router {
    Router::new().fallback(answer).with_state(state)
}

async fn answer(State(state): State<Arc<Mutex<Known>>>, request: Request) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default();
    let parameters: Parameters = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
    let fault = {
        let mut state = state.lock().unwrap();
        state.requests.push(request.uri().to_string());
        let fits = |(prefix, _): &&(String, Fault)| path.starts_with(prefix.as_str());
        state.faults.iter().rev().find(fits).map(|(_, fault)| fault.clone())
    };
    match &fault {
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Slow(time)) => tokio::time::sleep(*time).await,
        Some(Fault::Status(status)) => {
            return Response::builder().status(*status).body(Body::empty()).unwrap();
        }
        Some(Fault::Body(body)) => return Response::new(Body::from(body.clone())),
        Some(Fault::Huge) => {
            let chunks = stream::repeat_with(|| Ok::<_, io::Error>(vec![b' '; 16 * 1024]));
            return Response::new(Body::from_stream(chunks));
        }
        Some(Fault::EndlessCursor | Fault::SameCursor) | None => {}
    }
    let state = state.lock().unwrap();
    let result = match path.strip_prefix("/xrpc/") {
        Some(nsid) => state.query(nsid, &parameters, fault.as_ref()),
        None => state.page(&path, &host),
    };
    let (status, body) = match result {
        Ok(body) => (StatusCode::OK, body),
        Err((status, error)) => (status, json!({ "error": error, "message": "refused" }).to_string()),
    };
    Response::builder().status(status).header("content-type", "application/json").body(body.into()).unwrap()
}

impl Known {
    fn page(&self, path: &str, host: &str) -> Answer {
        let document = match path {
            "/.well-known/atproto-did" => {
                let name = host.split(':').next().unwrap_or_default();
                return self.handles.get(name).cloned().ok_or(NOT_FOUND);
            }
            "/.well-known/did.json" => self.documents.get(host),
            path => self.documents.get(path.trim_start_matches('/')),
        };
        document.map(Value::to_string).ok_or(NOT_FOUND)
    }

    fn query(&self, nsid: &str, parameters: &Parameters, fault: Option<&Fault>) -> Answer {
        let parameter = |name: &str| parameters.get(name).map(String::as_str).unwrap_or_default();
        match nsid {
            "com.atproto.repo.listRecords" => {
                let (did, repo) = self.repo(parameter("repo"))?;
                Ok(list_records(did, repo, parameters, fault).to_string())
            }
            "com.atproto.repo.getRecord" => {
                let (did, repo) = self.repo(parameter("repo"))?;
                let (collection, rkey) = (parameter("collection"), parameter("rkey"));
                let record = repo.records.get(&(collection.to_owned(), rkey.to_owned()));
                let record = record.ok_or((StatusCode::BAD_REQUEST, "RecordNotFound"))?;
                let uri = format!("at://{did}/{collection}/{rkey}");
                Ok(json!({ "uri": uri, "cid": record.cid, "value": record.value }).to_string())
            }
            "com.atproto.repo.describeRepo" => {
                let (did, _) = self.repo(parameter("repo"))?;
                Ok(json!({ "did": did, "didDoc": self.documents.get(did) }).to_string())
            }
            "com.atproto.sync.getLatestCommit" => {
                let (_, repo) = self.repo(parameter("did"))?;
                Ok(json!({ "cid": super::cid(&repo.rev), "rev": repo.rev }).to_string())
            }
            "com.atproto.sync.getBlob" => Ok("an image".to_owned()),
            "com.atproto.sync.listReposByCollection" => Ok(self.list_repos(parameters, fault).to_string()),
            _ => Err((StatusCode::NOT_IMPLEMENTED, "MethodNotImplemented")),
        }
    }

    fn repo(&self, did: &str) -> Result<(&str, &Repo), (StatusCode, &'static str)> {
        let (did, repo) = self.repos.get_key_value(did).ok_or((StatusCode::BAD_REQUEST, "RepoNotFound"))?;
        repo.refusal.map_or(Ok((did, repo)), |refusal| Err((StatusCode::BAD_REQUEST, refusal)))
    }

    fn list_repos(&self, parameters: &Parameters, fault: Option<&Fault>) -> Value {
        let collection = parameters.get("collection").map(String::as_str).unwrap_or_default();
        let has = |repo: &Repo| repo.records.keys().any(|(name, _)| name == collection);
        let mut dids: Vec<_> = self.repos.iter().filter(|(_, repo)| has(repo)).map(|(did, _)| did).collect();
        dids.sort();
        let (dids, cursor) = page(dids, parameters, fault, REPOS, |did| (*did).clone());
        let repos: Vec<_> = dids.iter().map(|did| json!({ "did": did })).collect();
        with_cursor(json!({ "repos": repos }), cursor)
    }
}

/// The records of a collection, newest first, as a PDS lists them.
fn list_records(did: &str, repo: &Repo, parameters: &Parameters, fault: Option<&Fault>) -> Value {
    let collection = parameters.get("collection").map(String::as_str).unwrap_or_default();
    let records = repo.records.iter().rev().filter(|((name, _), _)| name == collection);
    let records: Vec<_> = records.map(|((_, rkey), record)| (rkey, record)).collect();
    let (records, cursor) = page(records, parameters, fault, RECORDS, |(rkey, _)| (*rkey).clone());
    let records = records.iter().map(|(rkey, record)| {
        let uri = format!("at://{did}/{collection}/{rkey}");
        json!({ "uri": uri, "cid": record.cid, "value": record.value })
    });
    with_cursor(json!({ "records": records.collect::<Vec<_>>() }), cursor)
}

fn with_cursor(mut answer: Value, cursor: Option<String>) -> Value {
    if let Some(cursor) = cursor {
        answer["cursor"] = Value::String(cursor);
    }
    answer
}

/// What follows the cursor, and the next cursor. As at real hosts every page has one that is not empty.
fn page<T: Clone>(
    all: Vec<T>,
    parameters: &Parameters,
    fault: Option<&Fault>,
    most: usize,
    key: impl Fn(&T) -> String,
) -> (Vec<T>, Option<String>) {
    let cursor = parameters.get("cursor");
    match fault {
        Some(Fault::EndlessCursor) => {
            let number: u64 = cursor.and_then(|cursor| cursor.parse().ok()).unwrap_or_default();
            return (all.into_iter().take(1).collect(), Some((number + 1).to_string()));
        }
        Some(Fault::SameCursor) => return (all.into_iter().take(1).collect(), Some("same".to_owned())),
        _ => {}
    }
    let limit = parameters.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(50);
    let from = match cursor {
        None => 0,
        Some(cursor) => all.iter().position(|one| key(one) == *cursor).map_or(all.len(), |at| at + 1),
    };
    let page: Vec<T> = all.into_iter().skip(from).take(most.min(limit)).collect();
    let cursor = page.last().map(key);
    (page, cursor)
}
