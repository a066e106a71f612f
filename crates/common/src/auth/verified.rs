//! Tokens whose signature was verified before, looked up by their whole text.
//!
//! A signature costs some fifty microseconds, and a client sends the same token until it expires.
//! Only what was verified enters, so nobody without an account can fill the memory; what is kept is
//! bounded in bytes, and what is asked for often stays. A hit says only that the signature was right:
//! the time and the key are looked at again for every request.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::DecodingKey;
use moka::sync::Cache;

use super::principal::{Claims, Principal};
use super::verifier::TokenError;
use crate::time::Timestamp;

/// Most memory for kept tokens, in bytes: some four thousand of them.
const MAX_BYTES: u64 = 4 << 20;
/// What an entry takes besides the text of its token, in bytes: the caller and the cache's own notes.
const ENTRY_BYTES: usize = 600;
/// No token lives longer.
const LONGEST_LIFE: Duration = Duration::from_secs(900);
/// Clocks of two machines may differ by this much.
const LEEWAY_SECONDS: i64 = 5;

/// What a signature proves.
pub(super) struct Verified {
    pub(super) principal: Principal,
    /// The key under which it was right, and that key's id.
    pub(super) key: Arc<DecodingKey>,
    pub(super) kid: String,
    expires_at: i64,
    begins_at: i64,
}

impl Verified {
    pub(super) fn new(claims: Claims, kid: String, key: Arc<DecodingKey>) -> Self {
        Self {
            expires_at: claims.exp,
            begins_at: claims.nbf,
            principal: claims.into(),
            key,
            kid,
        }
    }

    /// Refuses a token out of its time (RFC 7519, sections 4.1.4 and 4.1.5).
    pub(super) fn check_time(&self, now: Timestamp) -> Result<(), TokenError> {
        let now = now.as_unix_seconds();
        if self.expires_at.saturating_add(LEEWAY_SECONDS) <= now {
            Err(TokenError::Expired)
        } else if self.begins_at.saturating_sub(LEEWAY_SECONDS) > now {
            Err(TokenError::Invalid("not valid yet"))
        } else {
            Ok(())
        }
    }
}

/// The tokens of the callers of late.
pub(super) struct VerifiedTokens(Cache<Arc<str>, Arc<Verified>>);

impl Default for VerifiedTokens {
    fn default() -> Self {
        let weigh = |token: &Arc<str>, _: &Arc<Verified>| {
            u32::try_from(token.len() + ENTRY_BYTES).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder()
            .weigher(weigh)
            .max_capacity(MAX_BYTES)
            .time_to_live(LONGEST_LIFE);
        Self(cache.build())
    }
}

impl VerifiedTokens {
    pub(super) fn find(&self, token: &str) -> Option<Arc<Verified>> {
        self.0.get(token)
    }

    pub(super) fn insert(&self, token: &str, verified: Arc<Verified>) {
        self.0.insert(token.into(), verified);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Role, StoreClaim, TokenType};

    fn verified() -> Arc<Verified> {
        let claims = Claims {
            iss: String::new(),
            aud: String::new(),
            sub: String::new(),
            sid: None,
            exp: 0,
            nbf: 0,
            iat: 0,
            jti: String::new(),
            typ: TokenType::Access,
            roles: vec![Role::Crew],
            stores: StoreClaim::default(),
            ver: 0,
            azp: None,
            scope: None,
        };
        let key = Arc::new(DecodingKey::from_ed_der(&[]));
        Arc::new(Verified::new(claims, "kid".to_owned(), key))
    }

    #[test]
    fn what_is_kept_is_bounded_however_many_tokens_there_are() {
        let tokens = VerifiedTokens::default();
        let (text, verified) = ("x".repeat(400), verified());
        for number in 0..20_000 {
            tokens.insert(&format!("{number}{text}"), Arc::clone(&verified));
        }
        tokens.0.run_pending_tasks();
        assert!(tokens.0.weighted_size() <= MAX_BYTES);
        assert!(tokens.0.entry_count() > 1_000, "{}", tokens.0.entry_count());
    }
}
