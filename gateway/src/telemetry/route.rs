//! The paths of the gateway that are no methods, and their names in the log, metrics and traces.

/// For clients: whether the core-service and its database answer.
pub(crate) const HEALTH: &str = "/xrpc/_health";
/// For Kubernetes: whether this process answers.
pub(crate) const LIVEZ: &str = "/livez";
/// For Kubernetes: whether this process should get requests.
pub(crate) const READYZ: &str = "/readyz";
/// The DID document of this service.
pub(crate) const DID_DOCUMENT: &str = "/.well-known/did.json";

/// What a request asks for that calls no method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Health,
    Livez,
    Readyz,
    DidDocument,
    /// The pages for people and what belongs to them.
    Site,
    /// Answered by the CORS layer, on any path but those of the site.
    Preflight,
}

impl Route {
    pub(super) const ALL: [Self; 6] =
        [Self::Health, Self::Livez, Self::Readyz, Self::DidDocument, Self::Site, Self::Preflight];

    /// The name in the log, metrics and traces.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Health => "_health",
            Self::Livez => "livez",
            Self::Readyz => "readyz",
            Self::DidDocument => "did.json",
            Self::Site => "site",
            Self::Preflight => "preflight",
        }
    }

    /// Whether load balancers and Kubernetes request it every few seconds.
    pub(super) fn is_probe(self) -> bool {
        matches!(self, Self::Health | Self::Livez | Self::Readyz)
    }
}
