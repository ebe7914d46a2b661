//! Secrets as they are stored, with their tokens decrypted by a second, independent implementation of the
//! envelope.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sea_orm::{ConnectionTrait as _, Statement};

use crate::harness::database::Database;

/// The key of the stacks' key file.
const KEY: &[u8; 32] = b"0123456789abcdef0123456789abcdef";
/// Version and key id.
const BEFORE_NONCE: usize = 1 + 8;
const NONCE: usize = 12;

/// A row of the table of secrets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StoredSecret {
    pub(crate) token: String,
    pub(crate) last_rotated_at_ms: Option<i64>,
    pub(crate) previous_token: Option<String>,
    pub(crate) previous_until_ms: Option<i64>,
}

/// The secret `name` of `owner`, if it exists.
pub(crate) async fn secret(database: &Database, owner: &str, name: &str) -> Option<StoredSecret> {
    let connection = database.connect().await;
    let sql = format!("SELECT * FROM secret WHERE owner_did = '{owner}' AND name = '{name}'");
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let row = connection.query_one_raw(statement).await.unwrap()?;
    let token: Vec<u8> = row.try_get("", "sealed_token").unwrap();
    let previous: Option<Vec<u8>> = row.try_get("", "previous_sealed_token").unwrap();
    Some(StoredSecret {
        token: open(owner, name, &token),
        last_rotated_at_ms: row.try_get("", "last_rotated_at_ms").unwrap(),
        previous_token: previous.map(|envelope| open(owner, name, &envelope)),
        previous_until_ms: row.try_get("", "previous_until_ms").unwrap(),
    })
}

fn open(owner: &str, name: &str, envelope: &[u8]) -> String {
    let mut purpose = Vec::new();
    for part in ["token", owner, name] {
        purpose.extend_from_slice(&u64::try_from(part.len()).unwrap().to_be_bytes());
        purpose.extend_from_slice(part.as_bytes());
    }
    let (head, ciphertext) = envelope.split_at(BEFORE_NONCE + NONCE);
    let nonce = Nonce::try_assume_unique_for_key(&head[BEFORE_NONCE..]).unwrap();
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, KEY).unwrap());
    let mut text = ciphertext.to_vec();
    let opened = key.open_in_place(nonce, Aad::from(purpose), &mut text).expect("sealed for this secret");
    String::from_utf8(opened.to_vec()).unwrap()
}
