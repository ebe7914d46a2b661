//! Issuers: a DID with a key, and valid and invalid tokens of it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use secp256k1::Message;
use serde_json::{Value, json};

/// The time at which tests begin, in seconds since 1970.
pub(crate) const NOW_S: i64 = 1_800_000_000;

pub(crate) const SERVICE: &str = "did:web:hooks.example.com";
pub(crate) const NSID: &str = "com.example.hooks.list";

/// The orders of the two curves' groups (SEC 2, 2.4.1 and 2.4.2).
const K256_ORDER: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
const P256_ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

/// A key pair on one of the two curves.
pub(crate) enum Signer {
    K256(secp256k1::SecretKey),
    P256 { pair: Box<EcdsaKeyPair>, public: p256::PublicKey },
}

impl Signer {
    /// A key for each seed; 0 is not allowed.
    pub(crate) fn k256(seed: u8) -> Self {
        Self::K256(secp256k1::SecretKey::from_secret_bytes([seed; 32]).unwrap())
    }

    pub(crate) fn p256(seed: u8) -> Self {
        let public = p256::SecretKey::from_slice(&[seed; 32]).unwrap().public_key();
        let pair = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &[seed; 32],
            public.to_encoded_point(false).as_bytes(),
            &SystemRandom::new(),
        )
        .unwrap();
        Self::P256 { pair: Box::new(pair), public }
    }

    pub(crate) fn algorithm(&self) -> &'static str {
        match self {
            Self::K256(_) => "ES256K",
            Self::P256 { .. } => "ES256",
        }
    }

    /// The public key as an encoded point (SEC 1, section 2.3.3).
    pub(crate) fn point(&self, compressed: bool) -> Vec<u8> {
        match self {
            Self::K256(secret) => {
                let public = secp256k1::PublicKey::from_secret_key(secret);
                if compressed {
                    public.serialize().to_vec()
                } else {
                    public.serialize_uncompressed().to_vec()
                }
            }
            Self::P256 { public, .. } => public.to_encoded_point(compressed).as_bytes().to_vec(),
        }
    }

    pub(crate) fn multikey(&self) -> String {
        let prefix = match self {
            Self::K256(_) => [0xe7, 0x01],
            Self::P256 { .. } => [0x80, 0x24],
        };
        let bytes = [&prefix[..], &self.point(true)].concat();
        format!("z{}", bs58::encode(bytes).into_string())
    }

    /// A JOSE signature with low or high S.
    pub(crate) fn sign(&self, signed: &[u8]) -> [u8; 64] {
        match self {
            Self::K256(secret) => {
                let hash: [u8; 32] = digest(&SHA256, signed).as_ref().try_into().unwrap();
                secp256k1::ecdsa::sign(Message::from_digest(hash), secret).serialize_compact()
            }
            Self::P256 { pair, .. } => {
                let signature = pair.sign(&SystemRandom::new(), signed).unwrap();
                signature.as_ref().try_into().unwrap()
            }
        }
    }

    /// The signature with low or high S.
    pub(crate) fn with_s(&self, signature: [u8; 64], high: bool) -> [u8; 64] {
        let order = match self {
            Self::K256(_) => K256_ORDER,
            Self::P256 { .. } => P256_ORDER,
        };
        let order = data_encoding::HEXLOWER.decode(order.as_bytes()).unwrap();
        let (r, s) = signature.split_at(32);
        let other = difference(&order, s);
        let s = if (s > other.as_slice()) == high { s } else { other.as_slice() };
        [r, s].concat().try_into().unwrap()
    }
}

/// `a - b`, big-endian.
fn difference(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut borrow = false;
    let mut difference = Vec::new();
    for (a, b) in a.iter().zip(b).rev() {
        let (digit, first) = a.overflowing_sub(*b);
        let (digit, second) = digit.overflowing_sub(u8::from(borrow));
        borrow = first || second;
        difference.insert(0, digit);
    }
    difference
}

/// A DID with its key.
pub(crate) struct Issuer {
    did: String,
    pub(crate) signer: Signer,
}

impl Issuer {
    pub(crate) fn new(did: &str, signer: Signer) -> Self {
        Self { did: did.to_owned(), signer }
    }

    /// The did:plc that most tests call as.
    pub(crate) fn plc(signer: Signer) -> Self {
        Self::new("did:plc:7iza6de2dwap2sbkpav7c6c6", signer)
    }

    pub(crate) fn did(&self) -> &str {
        &self.did
    }

    /// The DID document, with a Multikey.
    pub(crate) fn document(&self) -> Value {
        self.document_with("Multikey", &self.signer.multikey())
    }

    pub(crate) fn document_with(&self, kind: &str, multibase: &str) -> Value {
        let did = &self.did;
        json!({
            "@context": ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/multikey/v1"],
            "id": did,
            "alsoKnownAs": ["at://alice.example.com"],
            "verificationMethod": [{
                "id": format!("{did}#atproto"),
                "type": kind,
                "controller": did,
                "publicKeyMultibase": multibase,
            }],
            "service": [],
        })
    }

    /// Claims as a PDS makes them, valid for a minute.
    pub(crate) fn claims(&self) -> Value {
        json!({
            "iat": NOW_S,
            "iss": self.did,
            "aud": SERVICE,
            "exp": NOW_S + 60,
            "lxm": NSID,
            "jti": "0123456789abcdef0123456789abcdef",
        })
    }

    /// Claims with one of them replaced.
    pub(crate) fn claims_with(&self, name: &str, value: Value) -> Value {
        let mut claims = self.claims();
        claims[name] = value;
        claims
    }

    /// Claims with one of them left out.
    pub(crate) fn claims_without(&self, name: &str) -> Value {
        let mut claims = self.claims();
        claims.as_object_mut().unwrap().remove(name).unwrap();
        claims
    }

    /// A good token.
    pub(crate) fn good_token(&self) -> String {
        self.token(&self.claims())
    }

    pub(crate) fn token(&self, claims: &Value) -> String {
        self.token_of(&self.header(), &claims.to_string())
    }

    /// A token with this header, signed with the issuer's key.
    pub(crate) fn token_with_header(&self, header: &Value) -> String {
        self.token_of(&header.to_string(), &self.claims().to_string())
    }

    /// A token with this JSON as header and claims.
    pub(crate) fn token_of(&self, header: &str, claims: &str) -> String {
        let signed = signed(header, claims);
        let signature = self.signer.sign(signed.as_bytes());
        join(&signed, &signature)
    }

    /// A good token whose signature is replaced by what `change` makes of it.
    pub(crate) fn resigned(&self, change: impl FnOnce([u8; 64]) -> Vec<u8>) -> String {
        let signed = signed(&self.header(), &self.claims().to_string());
        let signature = self.signer.sign(signed.as_bytes());
        join(&signed, &change(signature))
    }

    fn header(&self) -> String {
        json!({ "typ": "JWT", "alg": self.signer.algorithm() }).to_string()
    }
}

fn signed(header: &str, claims: &str) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
}

fn join(signed: &str, signature: &[u8]) -> String {
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}
