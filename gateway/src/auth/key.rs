//! Signing keys: reading one from a verification method of a DID document, and verifying signatures with it.
//!
//! High-S signatures are accepted on both curves, as the reference implementation does for service auth.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use data_encoding::{BASE32_NOPAD_NOCASE, HEXLOWER_PERMISSIVE};
use p256::elliptic_curve::sec1::ToEncodedPoint;
use ring::digest::{SHA256, digest};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use secp256k1::Message;
use secp256k1::ecdsa::Signature;

use super::refusal::Refusal;

/// The length of a JOSE signature (RFC 7518, 3.4), in bytes.
pub(crate) const SIGNATURE_BYTES: usize = 64;

/// The longest `publicKeyMultibase`, in bytes; an uncompressed key in hex has 131.
const MAX_MULTIBASE_BYTES: usize = 256;

/// Multicodec `secp256k1-pub` (0xe7) as a varint.
const SECP256K1_PUB: &[u8] = &[0xe7, 0x01];

/// Multicodec `p256-pub` (0x1200) as a varint.
const P256_PUB: &[u8] = &[0x80, 0x24];

/// Lengths of encoded points (SEC 1, section 2.3.3), in bytes.
const COMPRESSED_BYTES: usize = 33;
const UNCOMPRESSED_BYTES: usize = 65;

/// The algorithms of atproto's keys (RFC 7518, 3.4 and RFC 8812, 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// ECDSA over P-256.
    Es256,
    /// ECDSA over secp256k1.
    Es256k,
}

/// A public key. The point is on its curve.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum SigningKey {
    /// Verifies ES256K.
    K256(secp256k1::PublicKey),
    /// Verifies ES256. The uncompressed point.
    P256([u8; UNCOMPRESSED_BYTES]),
}

#[derive(Clone, Copy)]
enum Curve {
    K256,
    P256,
}

impl SigningKey {
    /// Reads the key of a verification method with one of atproto's three types. Returns `None` for another
    /// type or an invalid key.
    pub(crate) fn from_method(kind: &str, multibase: &str) -> Option<Self> {
        if multibase.len() > MAX_MULTIBASE_BYTES {
            return None;
        }
        match kind {
            "Multikey" => Self::from_multikey(multibase),
            "EcdsaSecp256k1VerificationKey2019" => Self::from_point(Curve::K256, &from_multibase(multibase)?),
            "EcdsaSecp256r1VerificationKey2019" => Self::from_point(Curve::P256, &from_multibase(multibase)?),
            _ => None,
        }
    }

    /// A Multikey: base58btc of a multicodec prefix and a compressed point.
    fn from_multikey(multibase: &str) -> Option<Self> {
        let bytes = bs58::decode(multibase.strip_prefix('z')?).into_vec().ok()?;
        let (curve, point) = if let Some(point) = bytes.strip_prefix(SECP256K1_PUB) {
            (Curve::K256, point)
        } else {
            (Curve::P256, bytes.strip_prefix(P256_PUB)?)
        };
        if point.len() != COMPRESSED_BYTES {
            return None;
        }
        Self::from_point(curve, point)
    }

    /// A compressed or uncompressed point. libsecp256k1 would also read the hybrid form, which nothing else
    /// accepts.
    fn from_point(curve: Curve, bytes: &[u8]) -> Option<Self> {
        if !matches!(
            (bytes.len(), bytes.first()),
            (COMPRESSED_BYTES, Some(2 | 3)) | (UNCOMPRESSED_BYTES, Some(4))
        ) {
            return None;
        }
        match curve {
            Curve::K256 => secp256k1::PublicKey::from_slice(bytes).ok().map(Self::K256),
            Curve::P256 => {
                let point = p256::PublicKey::from_sec1_bytes(bytes).ok()?.to_encoded_point(false);
                point.as_bytes().try_into().ok().map(Self::P256)
            }
        }
    }

    /// Verifies a JOSE signature over `signed`.
    pub(crate) fn verify(
        &self,
        algorithm: Algorithm,
        signed: &[u8],
        signature: &[u8; SIGNATURE_BYTES],
    ) -> Result<(), Refusal> {
        let verifies = match (self, algorithm) {
            (Self::K256(key), Algorithm::Es256k) => verifies_k256(key, signed, signature),
            (Self::P256(key), Algorithm::Es256) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key).verify(signed, signature).is_ok()
            }
            (Self::K256(_), Algorithm::Es256) | (Self::P256(_), Algorithm::Es256k) => {
                return Err(Refusal::WrongCurve);
            }
        };
        if verifies { Ok(()) } else { Err(Refusal::BadSignature) }
    }
}

fn verifies_k256(key: &secp256k1::PublicKey, signed: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool {
    let Ok(mut signature) = Signature::from_compact(signature) else {
        return false;
    };
    // libsecp256k1 verifies only low-S signatures.
    signature.normalize_s();
    let hash = digest(&SHA256, signed);
    let hash: [u8; 32] = hash.as_ref().try_into().expect("SHA-256 has 32 bytes");
    signature.verify(Message::from_digest(hash), key).is_ok()
}

/// Decodes the bases that the reference implementation accepts in the two 2019 types.
fn from_multibase(text: &str) -> Option<Vec<u8>> {
    let base = text.chars().next()?;
    let encoded = &text[base.len_utf8()..];
    match base {
        'z' => bs58::decode(encoded).into_vec().ok(),
        'f' | 'F' => HEXLOWER_PERMISSIVE.decode(encoded.as_bytes()).ok(),
        'b' | 'B' => BASE32_NOPAD_NOCASE.decode(encoded.as_bytes()).ok(),
        'm' => STANDARD_NO_PAD.decode(encoded).ok(),
        'u' => URL_SAFE_NO_PAD.decode(encoded).ok(),
        'U' => URL_SAFE.decode(encoded).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
