//! DID documents, as far as service auth reads them: the `#atproto` verification method.

use serde::Deserialize;
use serde_json::Value;

use super::key::SigningKey;
use super::refusal::Refusal;

/// The longest DID document, in bytes.
pub(crate) const MAX_DOCUMENT_BYTES: usize = 64 * 1024;

/// A DID document.
#[derive(Debug, Deserialize)]
pub(crate) struct Document {
    /// The DID of the document. The caller compares it with the DID that was looked up.
    pub(crate) id: String,
    /// Unparsed, so that an unknown kind of method does not make the document invalid.
    #[serde(default, rename = "verificationMethod")]
    methods: Vec<Value>,
}

impl Document {
    /// Parses a document. Returns `None` if it is malformed.
    pub(crate) fn parse(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    /// The key of the first valid method whose id is `#atproto` or `<did>#atproto` (atproto's DID
    /// specification, "Public Keys").
    pub(crate) fn signing_key(&self) -> Result<SigningKey, Refusal> {
        let mut methods = self.methods.iter().filter(|method| self.is_signing(method));
        methods.find_map(signing_key).ok_or(Refusal::NoKey)
    }

    /// Whether this is an `#atproto` method whose controller, if it names one, is this DID.
    fn is_signing(&self, method: &Value) -> bool {
        let id = method.get("id").and_then(Value::as_str).unwrap_or_default();
        let controls = method.get("controller").is_none_or(|controller| *controller == *self.id);
        controls && id.strip_suffix("#atproto").is_some_and(|did| did.is_empty() || did == self.id)
    }
}

fn signing_key(method: &Value) -> Option<SigningKey> {
    let text = |name| method.get(name).and_then(Value::as_str);
    SigningKey::from_method(text("type")?, text("publicKeyMultibase")?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_oneof, proptest};
    use serde_json::{Value, json};

    use super::Document;
    use crate::auth::refusal::Refusal;

    const DID: &str = "did:plc:7iza6de2dwap2sbkpav7c6c6";
    const KEY: &str = "zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme";

    fn key(methods: &Value) -> Result<(), Refusal> {
        let document = json!({ "id": DID, "verificationMethod": methods }).to_string();
        let document = Document::parse(document.as_bytes()).unwrap();
        document.signing_key().map(|_| ())
    }

    fn method(id: &str) -> Value {
        json!({ "id": id, "type": "Multikey", "controller": DID, "publicKeyMultibase": KEY })
    }

    #[test]
    fn relative_and_absolute_ids() {
        assert_eq!(key(&json!([method("#atproto")])), Ok(()));
        assert_eq!(key(&json!([method(&format!("{DID}#atproto"))])), Ok(()));
    }

    #[test]
    fn other_methods_do_not_count() {
        let other_did = method("did:plc:other#atproto");
        assert_eq!(key(&json!([other_did])), Err(Refusal::NoKey));
        assert_eq!(key(&json!([method("#atproto_label")])), Err(Refusal::NoKey));
        assert_eq!(key(&json!([])), Err(Refusal::NoKey));
    }

    #[test]
    fn strange_methods_beside_it() {
        let strange = json!(["#atproto", 7, { "id": 7 }, { "type": "JsonWebKey2020" }, method("#atproto")]);
        assert_eq!(key(&strange), Ok(()));
    }

    #[test]
    fn unusable_keys() {
        let mut unknown_type = method("#atproto");
        unknown_type["type"] = json!("Ed25519VerificationKey2020");
        assert_eq!(key(&json!([unknown_type])), Err(Refusal::NoKey));
        let mut no_key = method("#atproto");
        no_key["publicKeyMultibase"] = json!(null);
        assert_eq!(key(&json!([no_key])), Err(Refusal::NoKey));
    }

    #[test]
    fn first_valid_method_counts() {
        let mut unknown_type = method("#atproto");
        unknown_type["type"] = json!("Ed25519VerificationKey2020");
        let mut broken = method("#atproto");
        broken["publicKeyMultibase"] = json!("z");
        let absolute = method(&format!("{DID}#atproto"));
        assert_eq!(key(&json!([unknown_type, broken, absolute])), Ok(()));
        assert_eq!(key(&json!([unknown_type, broken])), Err(Refusal::NoKey));
    }

    #[test]
    fn controller_is_the_did() {
        for other in [json!("did:plc:other"), json!(""), json!(null), json!([DID])] {
            let mut controlled = method("#atproto");
            controlled["controller"] = other.clone();
            assert_eq!(key(&json!([controlled])), Err(Refusal::NoKey), "{other}");
            assert_eq!(key(&json!([controlled, method("#atproto")])), Ok(()), "{other}");
        }
        let mut no_controller = method("#atproto");
        no_controller.as_object_mut().unwrap().remove("controller");
        assert_eq!(key(&json!([no_controller])), Ok(()));
    }

    #[test]
    fn no_document() {
        for json in ["", "[]", "{}", "{\"id\":7}", "<html>"] {
            assert!(Document::parse(json.as_bytes()).is_none(), "{json}");
        }
    }

    /// A member of a verification method: the good value or any other.
    fn member(good: Value) -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(good),
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "z[1-9A-Za-z]{0,60}".prop_map(Value::from),
            prop::collection::vec(any::<String>().prop_map(Value::from), 0..3).prop_map(Value::from),
        ]
    }

    proptest! {
        #[test]
        fn any_bytes_are_no_document(json in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Document::parse(&json).is_none());
        }

        #[test]
        fn any_method_is_read_or_refused(
            id in member(json!("#atproto")),
            kind in member(json!("Multikey")),
            key in member(json!(KEY)),
            methods in member(json!([])),
        ) {
            let method = json!({ "id": id, "type": kind, "publicKeyMultibase": key });
            for methods in [json!([method]), methods] {
                let document = json!({ "id": DID, "verificationMethod": methods }).to_string();
                if let Some(document) = Document::parse(document.as_bytes()) {
                    let found = document.signing_key().is_ok();
                    prop_assert!(!found || (id == "#atproto" && kind == "Multikey"));
                }
            }
        }
    }
}
