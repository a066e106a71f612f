//! Lists in pages: `?limit=&cursor=` → `{"items": [...], "next_cursor": "..."}`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::extract::Faults;

/// Page size when the client names none.
pub const DEFAULT_LIMIT: u32 = 50;
/// Largest page.
pub const MAX_LIMIT: u32 = 200;

/// One page of a list.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Page<T> {
    /// The entries of this page.
    pub items: Vec<T>,
    /// Opaque; asks for the next page. Absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// Cuts a page out of `limit + 1` fetched rows; `key` gives the cursor of the last entry kept.
    pub fn cut<R, K: Serialize>(
        mut rows: Vec<R>,
        limit: u32,
        key: impl Fn(&R) -> K,
        map: impl Fn(R) -> T,
    ) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows
            .last()
            .filter(|_| more)
            .map(|row| encode_cursor(&key(row)));
        Self {
            items: rows.into_iter().map(map).collect(),
            next_cursor,
        }
    }
}

/// The requested page size, or the default.
#[must_use]
pub fn limit_or_default(limit: Option<u32>) -> u32 {
    limit.unwrap_or(DEFAULT_LIMIT)
}

/// Reports a page size outside 1..=[`MAX_LIMIT`].
pub fn check_limit(limit: Option<u32>, faults: &mut Faults) {
    let holds = limit.is_none_or(|limit| (1..=MAX_LIMIT).contains(&limit));
    faults.require(
        holds,
        "limit",
        "out_of_range",
        &format!("from 1 to {MAX_LIMIT}"),
    );
}

/// Makes the opaque cursor of a keyset position.
pub fn encode_cursor<K: Serialize>(key: &K) -> String {
    let json = serde_json::to_vec(key).expect("a keyset position is plain data");
    URL_SAFE_NO_PAD.encode(json)
}

/// Reads a cursor back.
///
/// # Errors
/// 400 `malformed_cursor` for anything that this list did not hand out.
pub fn decode_cursor<K: DeserializeOwned>(cursor: Option<&str>) -> Result<Option<K>, ApiError> {
    let Some(cursor) = cursor else {
        return Ok(None);
    };
    let json = URL_SAFE_NO_PAD.decode(cursor).ok();
    let key = json.and_then(|json| serde_json::from_slice(&json).ok());
    key.map(Some).ok_or_else(|| {
        ApiError::malformed("malformed_cursor", "The cursor is not one of this list's.")
    })
}
