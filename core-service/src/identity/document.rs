//! DID documents, as far as names and repositories need them: the handle that is claimed, and the PDS.

use egress::policy::Policy;
use serde::Deserialize;
use serde_json::Value;
use shrike::syntax::Handle;

use crate::domain::did::Did;
use crate::xrpc_host::XrpcHost;

/// The longest DID document, in bytes.
pub(crate) const MAX_DOCUMENT_BYTES: usize = 64 * 1024;

const HANDLE_SCHEME: &str = "at://";
const PDS: &str = "#atproto_pds";
const PDS_TYPE: &str = "AtprotoPersonalDataServer";

/// What a document says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Document {
    /// The handle that it claims, which may be somebody else's.
    pub(crate) claimed: Option<Handle>,
    /// `None`: there is none that may be reached.
    pub(crate) pds: Option<XrpcHost>,
}

#[derive(Deserialize)]
struct RawDocument {
    id: String,
    /// Unparsed, so that a strange entry does not make the document invalid.
    #[serde(default, rename = "alsoKnownAs")]
    names: Vec<Value>,
    #[serde(default, rename = "service")]
    services: Vec<Value>,
}

impl Document {
    /// Reads the document of `did`. `None`: it is no document, or another DID's.
    pub(crate) fn parse(json: &[u8], did: &Did, policy: &Policy) -> Option<Self> {
        let raw: RawDocument = serde_json::from_slice(json).ok()?;
        if raw.id != did.as_str() {
            return None;
        }
        let claimed =
            raw.names.iter().filter_map(Value::as_str).find_map(|name| name.strip_prefix(HANDLE_SCHEME));
        let pds = raw.services.iter().find(|service| is_pds(service, did));
        let endpoint = pds.and_then(|service| service.get("serviceEndpoint")).and_then(Value::as_str);
        Some(Self {
            claimed: claimed.and_then(|name| name.parse().ok()),
            pds: endpoint.and_then(|endpoint| XrpcHost::of_document(endpoint, policy)),
        })
    }
}

fn is_pds(service: &Value, did: &Did) -> bool {
    let text = |name| service.get(name).and_then(Value::as_str).unwrap_or_default();
    let id = text("id").strip_suffix(PDS);
    id.is_some_and(|id| id.is_empty() || id == did.as_str()) && text("type") == PDS_TYPE
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, proptest};
    use serde_json::json;

    use super::*;

    const DID: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";

    fn parse(json: &Value) -> Option<Document> {
        let policy = Policy::new(Vec::new());
        Document::parse(json.to_string().as_bytes(), &DID.parse().unwrap(), &policy)
    }

    fn service(id: &str, kind: &str, endpoint: &str) -> Value {
        json!({ "id": id, "type": kind, "serviceEndpoint": endpoint })
    }

    #[test]
    fn handle_and_pds() {
        let document = parse(&json!({
            "id": DID,
            "alsoKnownAs": ["https://a.example", 7, "at://Alice.example", "at://second.example"],
            "service": [
                "#atproto_pds",
                service("#other", PDS_TYPE, "https://other.example"),
                service("did:plc:other#atproto_pds", PDS_TYPE, "https://stranger.example"),
                service("#atproto_pds", "OtherType", "https://type.example"),
                service("#atproto_pds", PDS_TYPE, "https://pds.example"),
                service("#atproto_pds", PDS_TYPE, "https://second.example"),
            ],
        }))
        .unwrap();
        assert_eq!(document.claimed.unwrap().as_str(), "alice.example");
        let pds = document.pds.unwrap().query("a.b.c", &[]);
        assert_eq!(pds.host_str(), Some("pds.example"));
        let absolute = json!([service(&format!("{DID}#atproto_pds"), PDS_TYPE, "https://pds.example")]);
        assert!(parse(&json!({ "id": DID, "service": absolute })).unwrap().pds.is_some());
    }

    #[test]
    fn first_name_alone_counts() {
        for names in [json!(["at://alice", "at://bob.example"]), json!(["at://"]), json!([])] {
            let document = parse(&json!({ "id": DID, "alsoKnownAs": names })).unwrap();
            assert_eq!(document, Document { claimed: None, pds: None }, "{names}");
        }
    }

    #[test]
    fn pds_that_may_not_be_reached() {
        for endpoint in ["http://pds.example", "https://10.0.0.1", "https://localhost", "x"] {
            let services = json!([service("#atproto_pds", PDS_TYPE, endpoint)]);
            assert_eq!(parse(&json!({ "id": DID, "service": services })).unwrap().pds, None, "{endpoint}");
        }
    }

    #[test]
    fn no_document_of_this_did() {
        for json in [json!({}), json!([]), json!({ "id": 7 }), json!({ "id": "did:plc:other" })] {
            assert_eq!(parse(&json), None, "{json}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_no_document(json in prop::collection::vec(any::<u8>(), 0..200)) {
            let policy = Policy::new(Vec::new());
            prop_assert!(Document::parse(&json, &DID.parse().unwrap(), &policy).is_none());
        }
    }
}
