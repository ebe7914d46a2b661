//! The site: pages for people about exactly the methods that are bound, and what the pages need.
//!
//! Owns the paths outside `/xrpc/` and `/.well-known/` that `--site on` adds, and what is on the pages. They
//! are made once, at start, from the lexicons; so a foreign service has its pages too. What a page does in a
//! browser is in `gateway/site`, whose files are embedded. No method is known by name here; the console is a
//! file of the site and knows those it needs.
//!
//! Everything that a lexicon says is text: the templates escape it.

mod assets;
mod client;
mod documents;
mod example;
mod facts;
mod handles;
mod headers;
mod openapi;
mod page;
mod pages;
mod stored;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::routing::any;
use egress::client::Egress;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde_json::Value;
use url::Position;

use self::client::Service;
use self::handles::Handles;
use self::page::Frame;
use self::stored::Stored;
use crate::binding::Methods;
use crate::config::Config;
use crate::get_only::{get_only, nothing};
use crate::lexicon::Lexicons;
use crate::telemetry::RequestContext;
use crate::telemetry::route::Route;
use crate::xrpc;

const CONFIG_PATH: &str = "/site/config.json";
const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";

/// What the site serves.
pub(crate) struct Site {
    stored: HashMap<String, Stored>,
    /// `/site/config.json`.
    config: String,
    handles: Handles,
    headers: Arc<HeaderMap>,
    /// `Config::site_routes`.
    further: Option<Router>,
}

impl Site {
    /// Makes all pages. Handles are looked up under the rules of `egress`.
    pub(crate) fn new(config: &Config, lexicons: &Lexicons, methods: &Methods, egress: Egress) -> Self {
        let service = Service::new(config);
        let has_console = assets::methods_of_console().iter().all(|nsid| methods.get(nsid).is_some());
        let described = documents::described(lexicons, methods);
        let frame = Frame {
            host: config.public_url[Position::BeforeHost..Position::AfterPort].to_owned(),
            version: service.version,
            has_console,
        };

        let documents = documents::documents(lexicons, &described);

        let mut stored: HashMap<_, _> = assets::all().collect();
        let html = |page: String| Stored::new(HTML, page);
        stored.insert("/".to_owned(), html(pages::index(&frame, &service, &described, &documents)));
        for method in &described {
            stored.insert(format!("/docs/{}", method.nsid()), html(pages::method(&frame, &service, method)));
        }
        if has_console {
            stored.insert("/console".to_owned(), html(pages::console(&frame)));
        }
        for document in documents {
            let path = format!("/lexicons/{}.json", document.id);
            stored.insert(path, Stored::new(JSON, document.text.clone()));
        }
        let json = |value: &Value| Stored::new(JSON, value.to_string());
        stored.insert("/openapi.json".to_owned(), json(&openapi::document(&service, &described)));
        if let Some(metadata) = service.metadata(&described) {
            stored.insert(client::METADATA_PATH.to_owned(), json(&metadata));
        }

        let development = config.site_routes.is_some();
        Self {
            stored,
            config: service.config(&described, has_console, development).to_string(),
            handles: Handles::new(egress, config.client_addresses.clone(), config.clock.clone()),
            headers: headers::headers(service.is_on_loopback()),
            further: config.site_routes.clone(),
        }
    }

    /// Serves it behind `layers`, with the headers of the site on every answer.
    pub(crate) fn router(self, layers: impl FnOnce(Router) -> Router) -> Router {
        let Self { stored, config, handles, headers, further } = self;
        let pages = Router::new()
            .route("/", any(serve))
            .route("/console", any(serve))
            .route("/openapi.json", any(serve))
            .route(client::METADATA_PATH, any(serve));
        // Paths below these that are nothing belong to the site as well.
        let pages =
            ["/console/", "/docs", "/docs/", "/docs/{*rest}", "/lexicons", "/lexicons/", "/lexicons/{*rest}"]
                .into_iter()
                .chain(["/assets", "/assets/", "/assets/{*rest}", "/site", "/site/", "/site/{*rest}"])
                .fold(pages, |pages, path| pages.route(path, any(serve)))
                .with_state(Arc::new(stored));
        let config = Router::new().route(CONFIG_PATH, any(serve_config)).with_state(Arc::from(config));
        let handles = Router::new().route(handles::PATH, any(handles::serve)).with_state(Arc::new(handles));
        let further = further.map(|further| further.layer(from_fn(in_the_log)));
        let all = pages.merge(config).merge(handles).merge(further.unwrap_or_default());
        layers(all).layer(from_fn_with_state(headers, headers::add))
    }
}

/// What is stored for exactly this path. The raw path is used, as for methods.
async fn serve(State(stored): State<Arc<HashMap<String, Stored>>>, request: Request) -> Response<Body> {
    let Some(stored) = stored.get(request.uri().path()) else {
        return nothing(Route::Site, request, "nothing is here; the pages begin at /").await;
    };
    let response = stored.answer(request.headers());
    get_only(Route::Site, request, async { response }).await
}

/// Names a request to `Config::site_routes` in the log.
async fn in_the_log(request: Request, next: Next) -> Response<Body> {
    if let Some(context) = request.extensions().get::<Arc<RequestContext>>() {
        context.set_route(Route::Site);
    }
    next.run(request).await
}

async fn serve_config(State(config): State<Arc<str>>, request: Request) -> Response<Body> {
    get_only(Route::Site, request, async {
        let mut response = xrpc::json(StatusCode::OK, config.to_string().into());
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    })
    .await
}
