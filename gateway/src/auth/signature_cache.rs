//! Cache of good signatures, so that a token that is sent many times is verified once for each key. Claims
//! are not cached: they are checked on every call.

use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

use super::key::SigningKey;
use super::metrics::{AuthMetrics, Signatures};
use super::refusal::Refusal;
use super::token::{LEEWAY_S, Token};

/// How long an entry is valid at most.
const MAX_AGE: Duration = Duration::from_secs(5 * 60);

/// The most entries.
const MAX_ENTRIES: usize = 20_000;

/// Good signatures, by the token's SHA-256 and the key, so that a rotated key has no entries.
pub(crate) struct SignatureCache {
    cache: Cache<(TokenHash, SigningKey), Validity>,
    metrics: Arc<AuthMetrics>,
}

type TokenHash = [u8; SHA256_OUTPUT_LEN];

/// When an entry is valid, in seconds since 1970.
#[derive(Debug, Clone, Copy)]
struct Validity {
    from: i64,
    until: i64,
}

impl SignatureCache {
    /// An empty cache.
    pub(crate) fn new(metrics: Arc<AuthMetrics>) -> Self {
        Self { cache: Cache::new(MAX_ENTRIES), metrics }
    }

    /// Verifies the signature of `token` with `key`, unless it is cached; `now` is in seconds since 1970.
    pub(crate) fn verify(&self, token: &Token<'_>, key: &SigningKey, now: i64) -> Result<(), Refusal> {
        let Self { cache, metrics } = self;
        let Signatures { remembered, verified, bad } = &metrics.signatures;
        let hash = digest(&SHA256, token.text.as_bytes());
        let hash: TokenHash = hash.as_ref().try_into().expect("SHA-256 has 32 bytes");
        let id = (hash, key.clone());
        if let Some(Validity { from, until }) = cache.get(&id)
            && (from..=until).contains(&now)
        {
            remembered.inc();
            return Ok(());
        }
        let result = key.verify(token.algorithm, token.signed.as_bytes(), &token.signature);
        if result.is_ok() { verified } else { bad }.inc();
        result?;
        let max_age = i64::try_from(MAX_AGE.as_secs()).expect("five minutes");
        let until = now.saturating_add(max_age).min(token.expires.saturating_add(LEEWAY_S));
        cache.insert(id, Validity { from: now, until });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use std::sync::Arc;

    use super::SignatureCache;
    use crate::auth::key::SigningKey;
    use crate::auth::refusal::Refusal;
    use crate::auth::tests::issuer::{Issuer, NOW_S, Signer};
    use crate::auth::tests::metrics;
    use crate::auth::token::Token;

    /// How many seconds after [`NOW_S`] a good signature stays cached, if its token expires `expires` seconds
    /// after it.
    fn remembered_for(expires: i64) -> i64 {
        let issuer = Issuer::plc(Signer::k256(1));
        let key = SigningKey::from_method("Multikey", &issuer.signer.multikey()).unwrap();
        let text = issuer.token(&issuer.claims_with("exp", json!(NOW_S + expires)));
        let mut token = Token::parse(&text).unwrap();
        let cache = SignatureCache::new(Arc::new(metrics()));
        assert_eq!(cache.verify(&token, &key, NOW_S), Ok(()));

        // From here on only the cache makes it good.
        token.signature = [1; 64];
        let mut after = 0;
        while cache.verify(&token, &key, NOW_S + after).is_ok() {
            after += 1;
        }
        assert_eq!(cache.verify(&token, &key, NOW_S - 1), Err(Refusal::BadSignature));
        after - 1
    }

    #[test]
    fn remembered_for_five_minutes() {
        assert_eq!(remembered_for(3_600), 300);
    }

    #[test]
    fn remembered_until_it_expires() {
        assert_eq!(remembered_for(60), 90);
    }

    #[test]
    fn not_with_another_key() {
        let issuer = Issuer::plc(Signer::k256(1));
        let text = issuer.good_token();
        let token = Token::parse(&text).unwrap();
        let cache = SignatureCache::new(Arc::new(metrics()));
        for (seed, expected) in [(1, Ok(())), (2, Err(Refusal::BadSignature)), (1, Ok(()))] {
            let key = SigningKey::from_method("Multikey", &Signer::k256(seed).multikey()).unwrap();
            assert_eq!(cache.verify(&token, &key, NOW_S), expected);
        }
    }

    #[test]
    fn bad_signatures_are_not_remembered_as_good() {
        let issuer = Issuer::plc(Signer::k256(1));
        let key = SigningKey::from_method("Multikey", &issuer.signer.multikey()).unwrap();
        let text = Issuer::plc(Signer::k256(2)).good_token();
        let token = Token::parse(&text).unwrap();
        let cache = SignatureCache::new(Arc::new(metrics()));
        assert_eq!(cache.verify(&token, &key, NOW_S), Err(Refusal::BadSignature));
        assert_eq!(cache.verify(&token, &key, NOW_S), Err(Refusal::BadSignature));
    }
}
