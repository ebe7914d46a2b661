//! Encodings of keys. Signatures are in `auth/tests/keys.rs`.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use data_encoding::{BASE32_NOPAD, HEXLOWER, HEXUPPER};
use proptest::prelude::{Just, any, prop_oneof, proptest};

use super::SigningKey;
use crate::auth::key::Algorithm;
use crate::auth::refusal::Refusal;
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

/// The interop vectors of the network: type, key, the same key as a Multikey, signature over the same
/// message, and whether it verifies. atproto's expected result differs in one case: a high S, which is
/// invalid for records and valid for service auth. The vectors in DER are left out, as their length is
/// refused before.
#[test]
fn known_signatures() {
    let message = STANDARD_NO_PAD.decode("oWVoZWxsb2V3b3JsZA").unwrap();
    let k256 = "z25z9DTpsiYYJKGsWmSPJK2NFN8PcJtZig12K59UgW7q5t";
    let p256 = "zxdM8dSstjrpZaRUwBmDvjGXweKuEMVN95A9oJBFjkWMh";
    let k256 = (K256_2019, k256, "zQ3shqwJEJyMBsBXCWyCBpUBMqxcon9oHB7mCvx4sSpMdLJwc", Algorithm::Es256k);
    let p256 = (P256_2019, p256, "zDnaembgSGUhZULN2Caob4HLJPaxBh92N7rtH21TErzqf8HQo", Algorithm::Es256);
    for ((kind, key, multikey, algorithm), signature) in [
        (p256, "2vZNsG3UKvvO/CDlrdvyZRISOFylinBh0Jupc6KcWoJWExHptCfduPleDbG3rko3YZnn9Lw0IjpixVmexJDegg"),
        (p256, "2vZNsG3UKvvO/CDlrdvyZRISOFylinBh0Jupc6KcWoKp7O4VS9giSAah8k5IUbXIW00SuOrjfEqQ9HEkN9JGzw"),
        (k256, "5WpdIuEUUfVUYaozsi8G0B3cWO09cgZbIIwg1t2YKdUn/FEznOndsz/qgiYb89zwxYCbB71f7yQK5Lr7NasfoA"),
        (k256, "5WpdIuEUUfVUYaozsi8G0B3cWO09cgZbIIwg1t2YKdXYA67MYxYiTMAVfdnkDCMN9S5B3vHosRe07aORmoshoQ"),
    ] {
        let key = SigningKey::from_method(kind, key).unwrap();
        assert_eq!(SigningKey::from_method("Multikey", multikey), Some(key.clone()));
        let mut bytes: [u8; 64] = STANDARD_NO_PAD.decode(signature).unwrap().try_into().unwrap();
        assert_eq!(key.verify(algorithm, &message, &bytes), Ok(()), "{signature}");
        assert_eq!(key.verify(algorithm, b"another", &bytes), Err(Refusal::BadSignature), "{signature}");
        bytes[63] ^= 1;
        assert_eq!(key.verify(algorithm, &message, &bytes), Err(Refusal::BadSignature), "{signature}");
    }
}

proptest! {
    #[test]
    fn any_text_is_a_key_or_none(
        kind in prop_oneof![Just("Multikey"), Just(K256_2019), Just(P256_2019)],
        base in "[zfFbBmuU]",
        encoded in "[0-9A-Za-z+/_=-]{0,140}",
        other in any::<String>(),
    ) {
        let _key = SigningKey::from_method(kind, &format!("{base}{encoded}"));
        assert_eq!(SigningKey::from_method(kind, &other), None);
    }

    #[test]
    fn any_point_is_a_key_or_none(
        first in prop_oneof![Just(2), Just(3), Just(4), any::<u8>()],
        rest in any::<[u8; 32]>(),
    ) {
        let point = [&[first], &rest[..]].concat();
        for kind in [K256_2019, P256_2019] {
            let key = SigningKey::from_method(kind, &base58(&point));
            assert!(key.is_none() || first == 2 || first == 3);
        }
    }

    #[test]
    fn any_signature_is_refused(signature in any::<[u8; 32]>(), more in any::<[u8; 32]>()) {
        let bytes: [u8; 64] = [signature, more].concat().try_into().unwrap();
        for (signer, algorithm) in [(Signer::k256(1), Algorithm::Es256k), (Signer::p256(1), Algorithm::Es256)] {
            let key = SigningKey::from_method("Multikey", &signer.multikey()).unwrap();
            assert_eq!(key.verify(algorithm, b"message", &bytes), Err(Refusal::BadSignature));
        }
    }
}

#[test]
fn unknown_type() {
    assert_eq!(SigningKey::from_method("JsonWebKey2020", &Signer::k256(1).multikey()), None);
}
