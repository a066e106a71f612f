//! Lists in pages: `?limit=&cursor=` → `{"items": [...], "next_cursor": "..."}`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
    let key = key.filter(|key| !holds_control_character(key));
    let key = key.and_then(|key| serde_json::from_value(key).ok());
    key.map(Some).ok_or_else(|| {
        ApiError::malformed("malformed_cursor", "The cursor is not one of this list's.")
    })
}

/// No list is sorted by such texts, and PostgreSQL cannot hold a NUL to compare with.
fn holds_control_character(key: &Value) -> bool {
    match key {
        Value::String(text) => text.chars().any(char::is_control),
        Value::Array(parts) => parts.iter().any(holds_control_character),
        Value::Object(fields) => fields.values().any(holds_control_character),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_went() {
        let key = ("a\\u0000 🧀".to_owned(), 7_i64);
        let decoded = decode_cursor::<(String, i64)>(Some(&encode_cursor(&key)));
        assert_eq!(decoded.unwrap(), Some(key));
        assert_eq!(decode_cursor::<String>(None).unwrap(), None);
    }

    #[test]
    fn a_cursor_with_a_control_character_is_malformed() {
        for text in ["\0", "sku\u{1b}", "a\u{7f}"] {
            let whole = decode_cursor::<String>(Some(&encode_cursor(&text)));
            assert_eq!(whole.unwrap_err().code(), "malformed_cursor", "{text:?}");
            let part = decode_cursor::<(i64, String)>(Some(&encode_cursor(&(1, text))));
            assert_eq!(part.unwrap_err().code(), "malformed_cursor", "{text:?}");
        }
    }
}
