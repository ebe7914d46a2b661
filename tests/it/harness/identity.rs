//! Callers: keys of both curves, their DID documents, and the tokens they sign, right and wrong.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
};
use secp256k1::{Message, PublicKey, SecretKey};
use serde_json::{Value, json};

/// The service DID of gateways that run without a stack.
pub(crate) const SERVICE: &str = "did:web:garden.example";

/// A signing key.
pub(crate) enum Key {
    K256(SecretKey),
    P256(Vec<u8>),
}

impl Key {
    pub(crate) fn k256() -> Self {
        let mut bytes = [0_u8; 32];
        ring::rand::SecureRandom::fill(&SystemRandom::new(), &mut bytes).unwrap();
        Self::K256(SecretKey::from_secret_bytes(bytes).unwrap())
    }

    pub(crate) fn p256() -> Self {
        let key =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        Self::P256(key.as_ref().to_vec())
    }

    pub(crate) fn algorithm(&self) -> &'static str {
        match self {
            Self::K256(_) => "ES256K",
            Self::P256(_) => "ES256",
        }
    }

    /// The 64 bytes of a JOSE signature.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::K256(key) => key.sign_ecdsa(digest(message)).serialize_compact().to_vec(),
            Self::P256(pkcs8) => p256_sign(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, message),
        }
    }

    /// The same signature in DER, which no token may carry.
    pub(crate) fn sign_der(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::K256(key) => key.sign_ecdsa(digest(message)).serialize_der().to_vec(),
            Self::P256(pkcs8) => p256_sign(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8, message),
        }
    }

    /// The public key as a Multikey (Controlled Identifiers, section 2.2.2).
    pub(crate) fn multikey(&self) -> String {
        let (prefix, key): ([u8; 2], Vec<u8>) = match self {
            Self::K256(key) => ([0xe7, 0x01], PublicKey::from_secret_key(key).serialize().to_vec()),
            Self::P256(_) => ([0x80, 0x24], compressed(&self.uncompressed())),
        };
        format!("z{}", bs58::encode([&prefix[..], &key].concat()).into_string())
    }

    /// The public key in 65 bytes.
    pub(crate) fn uncompressed(&self) -> Vec<u8> {
        match self {
            Self::K256(key) => PublicKey::from_secret_key(key).serialize_uncompressed().to_vec(),
            Self::P256(pkcs8) => {
                let pair =
                    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &SystemRandom::new())
                        .unwrap();
                pair.public_key().as_ref().to_vec()
            }
        }
    }
}

fn digest(message: &[u8]) -> Message {
    let digest = ring::digest::digest(&ring::digest::SHA256, message);
    Message::from_digest(digest.as_ref().try_into().unwrap())
}

fn p256_sign(how: &'static ring::signature::EcdsaSigningAlgorithm, pkcs8: &[u8], message: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::from_pkcs8(how, pkcs8, &random).unwrap();
    pair.sign(&random, message).unwrap().as_ref().to_vec()
}

fn compressed(point: &[u8]) -> Vec<u8> {
    let parity = 2 + (point[64] & 1);
    [&[parity], &point[1..33]].concat()
}

/// A caller: a DID and its key.
pub(crate) struct Identity {
    pub(crate) did: String,
    pub(crate) key: Key,
}

impl Identity {
    pub(crate) fn new(did: impl Into<String>, key: Key) -> Self {
        Self { did: did.into(), key }
    }

    /// A DID document as the PLC directory serves them.
    pub(crate) fn document(&self) -> Value {
        document(&self.did, &self.key.multikey())
    }

    /// The claims of a good token, as the reference implementation writes them.
    pub(crate) fn claims(&self, audience: &str, nsid: &str) -> Value {
        let now = unix_seconds();
        json!({ "iat": now, "iss": self.did, "aud": audience, "exp": now + 60, "lxm": nsid, "jti": "5f1c" })
    }

    /// A good token.
    pub(crate) fn token(&self, audience: &str, nsid: &str) -> String {
        self.sign(&self.claims(audience, nsid))
    }

    /// A token with a wrong signature, which is not looked at before the key is there. It costs no time.
    pub(crate) fn forged_token(&self, audience: &str, nsid: &str) -> String {
        let header = json!({ "typ": "JWT", "alg": self.key.algorithm() });
        let signed = signing_input(&header, &self.claims(audience, nsid));
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode([1; 64]))
    }

    /// A token with these claims and the header of the reference implementation.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_with(&json!({ "typ": "JWT", "alg": self.key.algorithm() }), claims)
    }

    /// A token with this header and these claims, signed.
    pub(crate) fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let signed = signing_input(header, claims);
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes())))
    }

    /// A token that is good except for its signature, which is in DER.
    pub(crate) fn token_in_der(&self, audience: &str, nsid: &str) -> String {
        let header = json!({ "typ": "JWT", "alg": self.key.algorithm() });
        let signed = signing_input(&header, &self.claims(audience, nsid));
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(self.key.sign_der(signed.as_bytes())))
    }
}

/// A DID document with this Multikey as `#atproto`.
pub(crate) fn document(did: &str, multikey: &str) -> Value {
    json!({
        "@context": [
            "https://www.w3.org/ns/did/v1",
            "https://w3id.org/security/multikey/v1",
            "https://w3id.org/security/suites/secp256k1-2019/v1",
        ],
        "id": did,
        "alsoKnownAs": ["at://someone.example"],
        "verificationMethod": [{
            "id": format!("{did}#atproto"),
            "type": "Multikey",
            "controller": did,
            "publicKeyMultibase": multikey,
        }],
        "service": [{
            "id": "#atproto_pds",
            "type": "AtprotoPersonalDataServer",
            "serviceEndpoint": "https://pds.example",
        }],
    })
}

fn signing_input(header: &Value, claims: &Value) -> String {
    [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".")
}

pub(crate) fn unix_seconds() -> i64 {
    process::clock::Clock::system().unix_seconds()
}
