//! Encodings of keys. Signatures are in `auth/tests/keys.rs`.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use data_encoding::{BASE32_NOPAD, HEXLOWER, HEXUPPER};

use super::SigningKey;
use crate::auth::tests::issuer::Signer;

const K256_2019: &str = "EcdsaSecp256k1VerificationKey2019";
const P256_2019: &str = "EcdsaSecp256r1VerificationKey2019";

fn base58(bytes: &[u8]) -> String {
    format!("z{}", bs58::encode(bytes).into_string())
}

/// did:key vectors of the W3C's did:key document: curve, secret key and Multikey.
#[test]
fn known_multikeys() {
    let secret =
        HEXLOWER.decode(b"9085d2bef69286a6cbb51623c8fa258629945cd55ca705cc4e66700396894e0c").unwrap();
    let secret = secp256k1::SecretKey::from_secret_bytes(secret.try_into().unwrap()).unwrap();
    assert_eq!(
        SigningKey::from_method("Multikey", "zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme"),
        Some(SigningKey::K256(secp256k1::PublicKey::from_secret_key(&secret)))
    );

    let secret = bs58::decode("9p4VRzdmhsnq869vQjVCTrRry7u4TtfRxhvBFJTGU2Cp").into_vec().unwrap();
    let public = p256::SecretKey::from_slice(&secret).unwrap().public_key();
    let point = public.to_sec1_bytes();
    assert_eq!(
        SigningKey::from_method("Multikey", "zDnaeTiq1PdzvZXUaMdezchcMJQpBdH2VN4pgrrEhMCCbmwSb"),
        SigningKey::from_method(P256_2019, &base58(&point))
    );
}

#[test]
fn every_base_of_the_2019_types() {
    for (kind, signer) in [(K256_2019, Signer::k256(1)), (P256_2019, Signer::p256(1))] {
        for compressed in [true, false] {
            let point = signer.point(compressed);
            let base32 = BASE32_NOPAD.encode(&point);
            let expected = SigningKey::from_method("Multikey", &signer.multikey());
            assert!(expected.is_some());
            for text in [
                base58(&point),
                format!("f{}", HEXLOWER.encode(&point)),
                format!("F{}", HEXUPPER.encode(&point)),
                format!("b{}", base32.to_lowercase()),
                format!("B{base32}"),
                format!("m{}", STANDARD_NO_PAD.encode(&point)),
                format!("u{}", URL_SAFE_NO_PAD.encode(&point)),
                format!("U{}", URL_SAFE.encode(&point)),
            ] {
                assert_eq!(SigningKey::from_method(kind, &text), expected, "{text}");
            }
        }
    }
}

#[test]
fn no_keys() {
    let signer = Signer::k256(1);
    let point = signer.point(false);
    let mut hybrid = point.clone();
    hybrid[0] = 6 | (point[64] & 1);
    let mut off_curve = point.clone();
    off_curve[64] ^= 1;
    for bytes in [&[][..], &[4], &point[1..], &point[..64], &hybrid, &off_curve, &[0; 65], &[2; 34]] {
        assert_eq!(SigningKey::from_method(K256_2019, &base58(bytes)), None, "{bytes:?}");
        assert_eq!(SigningKey::from_method(P256_2019, &base58(bytes)), None, "{bytes:?}");
    }
    for text in ["", "z", "é", "z0OIl", "fzz", "x00", "zé"] {
        assert_eq!(SigningKey::from_method(K256_2019, text), None, "{text}");
        assert_eq!(SigningKey::from_method("Multikey", text), None, "{text}");
    }
    assert_eq!(SigningKey::from_method(K256_2019, &format!("z{}", "1".repeat(256))), None);
}

#[test]
fn multikeys_have_a_prefix_and_a_compressed_point() {
    let signer = Signer::k256(1);
    let of =
        |prefix: &[u8], point: &[u8]| SigningKey::from_method("Multikey", &base58(&[prefix, point].concat()));
    assert!(of(&[0xe7, 0x01], &signer.point(true)).is_some());
    assert_eq!(of(&[0xe7, 0x01], &signer.point(false)), None);
    assert_eq!(of(&[], &signer.point(true)), None);
    assert_eq!(of(&[0xed, 0x01], &signer.point(true)), None);
    let hex = HEXLOWER.encode(&[&[0xe7, 0x01], &signer.point(true)[..]].concat());
    assert_eq!(SigningKey::from_method("Multikey", &format!("f{hex}")), None);
}

#[test]
fn unknown_type() {
    assert_eq!(SigningKey::from_method("JsonWebKey2020", &Signer::k256(1).multikey()), None);
}
