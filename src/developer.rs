//! The development identity of `athook dev`: a key and a DID document in a folder beside the database, with
//! which it signs tokens for a first try.
//!
//! Its tokens are verified like all others; the gateway finds the DID document in the folder before it asks
//! the network.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use core_service::config::RawDatabase;
use data_encoding::HEXLOWER;
use process::clock::Clock;
use process::exit::Failure;
use process::files::ExposedFile;
use process::files::private::file_or_new;
use process::settings::Problems;
use rand::TryRng as _;
use rand::rngs::SysRng;
use secp256k1::{Message, PublicKey, SecretKey};
use serde_json::json;

/// The DID of the development identity. `.invalid` never has hosts (RFC 2606), so nobody can publish another
/// document for it.
pub(crate) const DID: &str = "did:web:developer.athook.invalid";
/// How long a token is valid: the longest that the gateway accepts.
pub(crate) const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);

const KEY_FILE: &str = "signing.key";
/// The multicodec prefix of a compressed secp256k1 public key.
const SECP256K1_PUB: [u8; 2] = [0xe7, 0x01];

/// The folder of a database that is no SQLite file, or the default one.
pub(crate) const FOLDER: &str = "athook.dev";

/// The folder of the development identity: beside an SQLite file, with the extension `.dev`; else [`FOLDER`]
/// in the working directory. `None`: a setting is wrong, and the problem is recorded.
pub(crate) fn folder(database: &RawDatabase, problems: &mut Problems) -> Option<PathBuf> {
    let file = core_service::config::sqlite_file(database.clone(), problems)?;
    Some(file.map_or_else(|| PathBuf::from(FOLDER), |file| file.with_extension("dev")))
}

/// The development identity in one folder.
pub(crate) struct Developer {
    folder: PathBuf,
    key: SecretKey,
    /// Whether this process made it.
    pub(crate) is_new: bool,
}

impl Developer {
    /// Reads the identity from `folder`, or creates both.
    ///
    /// # Errors
    ///
    /// The folder or the key file can't be read or written, or the file holds no valid key. The text names
    /// the file.
    pub(crate) fn open(folder: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let file = folder.join(KEY_FILE);
        let is_new = !file.exists();
        let text = file_or_new(&file, || {
            // Nearly every 32 bytes are a valid key: a number from 1 to the order of the curve.
            let key = SecretKey::from_secret_bytes(random_bytes()?)?;
            Ok(URL_SAFE_NO_PAD.encode(key.to_secret_bytes()))
        })?;
        if let Some(exposed) = ExposedFile::find("the development identity", &file) {
            exposed.warn();
        }
        let bytes = URL_SAFE_NO_PAD.decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok());
        let bytes = bytes.ok_or_else(|| format!("{}: not a key of 32 bytes", file.display()))?;
        let key =
            SecretKey::from_secret_bytes(bytes).map_err(|error| format!("{}: {error}", file.display()))?;
        let developer = Self { folder: folder.to_owned(), key, is_new };
        developer.publish(DID)?;
        Ok(developer)
    }

    /// Writes a DID document for `did` with this identity's key into the folder.
    pub(crate) fn publish(&self, did: &str) -> Result<(), Failure> {
        let key = PublicKey::from_secret_key(&self.key).serialize();
        let multikey = format!("z{}", bs58::encode([&SECP256K1_PUB[..], &key].concat()).into_string());
        let document = json!({
            "@context": ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/multikey/v1"],
            "id": did,
            "verificationMethod": [{
                "id": format!("{did}#atproto"),
                "type": "Multikey",
                "controller": did,
                "publicKeyMultibase": multikey,
            }],
        });
        let file = self.folder.join(format!("{}.json", did.replace([':', '/'], "_")));
        let text = format!("{document:#}\n");
        if fs::read_to_string(&file).is_ok_and(|present| present == text) {
            return Ok(());
        }
        // Written to another file and renamed, so that a gateway never reads half a document.
        let temporary = file.with_extension("new");
        fs::write(&temporary, text)
            .and_then(|()| fs::rename(&temporary, &file))
            .map_err(|error| format!("{}: {error}", file.display()).into())
    }

    /// Signs a service-auth token of `did` for `audience` and the method `nsid` (atproto, "Inter-Service
    /// Authentication").
    pub(crate) fn token(
        &self,
        did: &str,
        audience: &str,
        nsid: &str,
        clock: &Clock,
    ) -> Result<String, Failure> {
        let now = clock.unix_seconds();
        let expires = now.saturating_add_unsigned(TOKEN_LIFETIME.as_secs());
        let header = json!({ "typ": "JWT", "alg": "ES256K" });
        let id = random_id()?;
        let claims =
            json!({ "iat": now, "iss": did, "aud": audience, "exp": expires, "lxm": nsid, "jti": id });
        let signed = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let digest = ring::digest::digest(&ring::digest::SHA256, signed.as_bytes());
        let digest: [u8; 32] = digest.as_ref().try_into()?;
        let signature = self.key.sign_ecdsa(Message::from_digest(digest)).serialize_compact();
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// 128 random bits in hex: an id that nothing else has.
pub(crate) fn random_id() -> Result<String, Failure> {
    Ok(HEXLOWER.encode(&random_bytes::<16>()?))
}

/// Random bytes from the operating system.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_kept_and_private() {
        use std::os::unix::fs::PermissionsExt as _;

        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("athook.dev");
        let first = Developer::open(&folder).unwrap();
        let second = Developer::open(&folder).unwrap();
        assert_eq!(first.key.to_secret_bytes(), second.key.to_secret_bytes());
        let mode = fs::metadata(folder.join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn an_invalid_key_file_is_named_in_the_error() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join(KEY_FILE), "nonsense").unwrap();
        let error = Developer::open(home.path()).err().unwrap().to_string();
        assert!(error.contains("signing.key: not a key"), "{error}");
    }
}
