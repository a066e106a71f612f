//! The audit trail as user-service exports it, and how anyone checks it.
//!
//! The trail is a chain: every entry carries the hash of the one before it, so an entry that is
//! changed, removed, inserted or moved breaks the chain where it happened. An entry's hash is the
//! lower-case hex of SHA-256 over its canonical form: the entry as a JSON object without `hash`, and
//! without members that are null, in the form of RFC 8785 (no spaces, members sorted by UTF-16 code
//! units, strings escaped as little as possible). There are no numbers but whole ones below 2^53, so
//! their form is plain digits. The first entry has number 1 and follows [`GENESIS`].
//!
//! A chain alone does not show that its end was cut off. So user-service signs the newest entry's
//! hash every few minutes with the key that signs tokens; a seal over an entry that is gone shows
//! the cut, and whoever keeps an export can see that the next one goes on from it.
//!
//! An export is one [`AuditLine`] of JSON per line: entries in order, each seal right after its
//! entry, and an end, without which the export is incomplete.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::time::Timestamp;
use ring::digest::{SHA256, digest};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the first entry gives as the hash before it.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// One line of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditLine {
    /// Something that was done.
    Entry(Box<AuditEntry>),
    /// A signature over the trail up to an entry.
    Seal(AuditSeal),
    /// The end of the export.
    End(AuditEnd),
}

/// Something that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditEntry {
    /// Its place in the trail, from 1 without gaps.
    pub seq: i64,
    /// Its id, a UUID.
    pub id: String,
    /// When it was done.
    pub at: Timestamp,
    /// Who did it: `user`, `service`, `system`, or `unknown` for somebody who was not signed in.
    pub actor_kind: String,
    /// The account's id or the service's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_id: Option<String>,
    /// What was done, such as `account.changed`.
    pub action: String,
    /// What it was done to, such as `account`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_kind: Option<String>,
    /// Its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_id: Option<String>,
    /// The store that it concerns, a UUID, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_id: Option<String>,
    /// What was so before, without secrets and names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What is so since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// The client's network address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Finds the request in the logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The hash of the entry before it.
    pub previous_hash: String,
    /// Its own hash.
    pub hash: String,
}

/// A signature over the trail up to an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditSeal {
    /// The entry's place.
    pub seq: i64,
    /// Its hash.
    pub hash: String,
    /// When it was signed.
    pub at: Timestamp,
    /// The id of the key that signed: the thumbprint of the public key (RFC 7638).
    pub kid: String,
    /// The public key, Ed25519, base64url.
    pub public_key: String,
    /// The signature over [`AuditSeal::signed_text`], base64url.
    pub signature: String,
}

/// The end of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEnd {
    /// The last entry's place; 0 for an empty trail.
    pub seq: i64,
    /// Its hash.
    pub hash: String,
}

/// Where a trail is broken, and how.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// An entry is missing, or there is one too many.
    #[error("entry {found} stands where entry {expected} belongs")]
    OutOfOrder {
        /// The place that comes next.
        expected: i64,
        /// The place that the entry says it has.
        found: i64,
    },
    /// The entry does not follow the one before it.
    #[error("entry {seq} ({id}) does not follow the entry before it")]
    Unlinked {
        /// The entry's place.
        seq: i64,
        /// Its id.
        id: String,
    },
    /// The entry's content is not what was hashed.
    #[error("entry {seq} ({id}) was changed: its content does not have its hash")]
    Changed {
        /// The entry's place.
        seq: i64,
        /// Its id.
        id: String,
    },
    /// A seal stands over an entry that is gone or another.
    #[error("a seal stands over entry {sealed}, but the trail ends with entry {last} or differs")]
    CutOff {
        /// The sealed place.
        sealed: i64,
        /// The last place before the seal.
        last: i64,
    },
    /// A seal's signature is not one.
    #[error("the seal over entry {0} has no valid signature")]
    BadSeal(i64),
    /// The end does not name the last entry.
    #[error("the end names entry {named}, but the last one is {last}")]
    WrongEnd {
        /// The place that the end names.
        named: i64,
        /// The last entry's place.
        last: i64,
    },
}

impl AuditEntry {
    /// The hash that the content has.
    #[must_use]
    pub fn computed_hash(&self) -> String {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Value::Object(members) = &mut value {
            members.remove("hash");
        }
        hex(digest(&SHA256, canonical_json(&value).as_bytes()).as_ref())
    }
}

impl AuditSeal {
    /// What is signed. It cannot be mistaken for the input of a token's signature, which holds no
    /// line breaks.
    #[must_use]
    pub fn signed_text(seq: i64, hash: &str, at: Timestamp) -> String {
        format!("maru audit seal 1\n{seq}\n{hash}\n{at}")
    }

    fn is_authentic(&self) -> bool {
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        let (Some(key), Some(signature)) = (decode(&self.public_key), decode(&self.signature))
        else {
            return false;
        };
        let text = Self::signed_text(self.seq, &self.hash, self.at);
        let members = format!(
            r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#,
            self.public_key
        );
        let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes()));
        let verified = UnparsedPublicKey::new(&ED25519, key).verify(text.as_bytes(), &signature);
        verified.is_ok() && thumbprint == self.kid
    }
}

/// Walks through a trail, line by line, and stops at the first thing that is wrong.
#[derive(Clone, Debug)]
pub struct AuditWalk {
    last_seq: i64,
    last_hash: String,
    /// Seals seen so far.
    pub seals: u64,
    /// Whether the end was seen.
    pub ended: bool,
}

impl Default for AuditWalk {
    fn default() -> Self {
        Self {
            last_seq: 0,
            last_hash: GENESIS.to_owned(),
            seals: 0,
            ended: false,
        }
    }
}

impl AuditWalk {
    /// Takes the next line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn line(&mut self, line: &AuditLine) -> Result<(), Broken> {
        match line {
            AuditLine::Entry(entry) => self.entry(entry),
            AuditLine::Seal(seal) => self.seal(seal),
            AuditLine::End(end) => self.end(end),
        }
    }

    /// How many entries were good.
    #[must_use]
    pub const fn entries(&self) -> i64 {
        self.last_seq
    }

    /// The hash of the last good entry: kept elsewhere, it fixes everything up to here.
    #[must_use]
    pub fn last_hash(&self) -> &str {
        &self.last_hash
    }

    fn entry(&mut self, entry: &AuditEntry) -> Result<(), Broken> {
        let expected = self.last_seq + 1;
        if entry.seq != expected {
            let found = entry.seq;
            return Err(Broken::OutOfOrder { expected, found });
        }
        let (seq, id) = (entry.seq, entry.id.clone());
        if entry.computed_hash() != entry.hash {
            return Err(Broken::Changed { seq, id });
        }
        if entry.previous_hash != self.last_hash {
            return Err(Broken::Unlinked { seq, id });
        }
        self.last_seq = seq;
        self.last_hash.clone_from(&entry.hash);
        Ok(())
    }

    fn seal(&mut self, seal: &AuditSeal) -> Result<(), Broken> {
        if !seal.is_authentic() {
            return Err(Broken::BadSeal(seal.seq));
        }
        if seal.seq != self.last_seq || seal.hash != self.last_hash {
            let (sealed, last) = (seal.seq, self.last_seq);
            return Err(Broken::CutOff { sealed, last });
        }
        self.seals += 1;
        Ok(())
    }

    fn end(&mut self, end: &AuditEnd) -> Result<(), Broken> {
        if end.seq != self.last_seq || end.hash != self.last_hash {
            let (named, last) = (end.seq, self.last_seq);
            return Err(Broken::WrongEnd { named, last });
        }
        self.ended = true;
        Ok(())
    }
}

/// The canonical form of a value without fractional numbers (RFC 8785, section 3.2).
#[must_use]
pub fn canonical_json(value: &Value) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    text
}

fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_canonical(item, text);
            }
            text.push(']');
        }
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by(|(one, _), (other, _)| one.encode_utf16().cmp(other.encode_utf16()));
            text.push('{');
            for (index, (name, member)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                // serde_json escapes just what section 3.2.2.2 asks for, and as it asks.
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                write_canonical(member, text);
            }
            text.push('}');
        }
        plain => text.push_str(&plain.to_string()),
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes every write");
        text
    })
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{Ed25519KeyPair, KeyPair as _};
    use serde_json::json;

    use super::*;

    fn entry(seq: i64, previous_hash: &str) -> AuditEntry {
        let mut entry = AuditEntry {
            seq,
            id: format!("0190b7a0-5a3c-7c1e-9a51-{seq:012}"),
            at: Timestamp::from_unix_seconds(1_800_000_000),
            actor_kind: "user".to_owned(),
            actor_id: Some("0190b7a0-5a3c-7c1e-9a51-2f3a4b5c6d7e".to_owned()),
            action: "account.changed".to_owned(),
            target_kind: Some("account".to_owned()),
            target_id: None,
            store_id: None,
            before: Some(json!({"roles": ["crew"]})),
            after: Some(json!({"roles": ["crew", "kiosk"], "a": 1})),
            address: Some("203.0.113.7".to_owned()),
            request_id: None,
            previous_hash: previous_hash.to_owned(),
            hash: String::new(),
        };
        entry.hash = entry.computed_hash();
        entry
    }

    fn trail(length: i64) -> Vec<AuditEntry> {
        let mut previous = GENESIS.to_owned();
        (1..=length)
            .map(|seq| {
                let entry = entry(seq, &previous);
                previous.clone_from(&entry.hash);
                entry
            })
            .collect()
    }

    fn walk(entries: &[AuditEntry]) -> Result<AuditWalk, Broken> {
        let mut walk = AuditWalk::default();
        for entry in entries {
            walk.line(&AuditLine::Entry(Box::new(entry.clone())))?;
        }
        Ok(walk)
    }

    #[test]
    fn the_canonical_form_is_that_of_rfc_8785() {
        // Section 3.2.3: names sort by UTF-16 code units, where the emoji comes before U+FB33.
        let value = json!({"\u{fb33}": 1, "\u{1f600}": 2, "\u{20ac}": 3, "\r": 4, "1": 5});
        let expected = "{\"\\r\":4,\"1\":5,\"\u{20ac}\":3,\"\u{1f600}\":2,\"\u{fb33}\":1}";
        assert_eq!(canonical_json(&value), expected);
        // Section 3.2.2.2.
        let text = json!("\u{20ac}$\u{f}\nA'B\"\\\\\"/");
        assert_eq!(
            canonical_json(&text),
            "\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\""
        );
        assert_eq!(
            canonical_json(&json!({"b": [null, true, -7], "a": {}})),
            r#"{"a":{},"b":[null,true,-7]}"#
        );
    }

    #[test]
    fn a_hash_never_changes_its_meaning() {
        // Computed with another program: printf '%s' '<canonical form>' | sha256sum
        let canonical = concat!(
            r#"{"action":"account.changed","actor_id":"0190b7a0-5a3c-7c1e-9a51-2f3a4b5c6d7e","#,
            r#""actor_kind":"user","address":"203.0.113.7","after":{"a":1,"roles":["crew","kiosk"]},"#,
            r#""at":"2027-01-15T08:00:00Z","before":{"roles":["crew"]},"#,
            r#""id":"0190b7a0-5a3c-7c1e-9a51-000000000001","previous_hash":""#,
            "0000000000000000000000000000000000000000000000000000000000000000",
            r#"","seq":1,"target_kind":"account"}"#,
        );
        let hash = hex(digest(&SHA256, canonical.as_bytes()).as_ref());
        assert_eq!(entry(1, GENESIS).hash, hash);
    }

    #[test]
    fn a_whole_trail_is_walked_to_its_end() {
        let entries = trail(5);
        let mut walk = walk(&entries).unwrap();
        assert_eq!(walk.entries(), 5);
        let end = AuditEnd {
            seq: 5,
            hash: entries[4].hash.clone(),
        };
        walk.line(&AuditLine::End(end)).unwrap();
        assert!(walk.ended);
    }

    #[test]
    fn every_way_to_change_a_trail_is_found_where_it_happened() {
        type Damage = fn(&mut Vec<AuditEntry>);
        let check = |damage: Damage, expected: fn(&Broken) -> bool| {
            let mut entries = trail(5);
            damage(&mut entries);
            let broken = walk(&entries).unwrap_err();
            assert!(expected(&broken), "{broken}");
        };
        let changed = |broken: &Broken| matches!(broken, Broken::Changed { seq: 3, .. });
        check(|entries| entries[2].action.push('x'), changed);
        check(|entries| entries[2].address = None, changed);
        check(|entries| entries[2].after = None, changed);
        check(|entries| entries[2].hash.push('0'), changed);
        check(
            |entries| _ = entries.remove(2),
            |broken| {
                matches!(
                    broken,
                    Broken::OutOfOrder {
                        expected: 3,
                        found: 4
                    }
                )
            },
        );
        check(
            |entries| entries.swap(2, 3),
            |broken| {
                matches!(
                    broken,
                    Broken::OutOfOrder {
                        expected: 3,
                        found: 4
                    }
                )
            },
        );
        check(
            // Made consistent with itself again, as somebody would who knows the rules.
            |entries| {
                entries[2].action.push('x');
                entries[2].hash = entries[2].computed_hash();
            },
            |broken| matches!(broken, Broken::Unlinked { seq: 4, .. }),
        );
    }

    #[test]
    fn a_seal_shows_that_the_end_was_cut_off() {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
        let entries = trail(5);
        let (hash, at) = (&entries[4].hash, entries[4].at);
        let public_key = URL_SAFE_NO_PAD.encode(pair.public_key());
        let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{public_key}"}}"#);
        let text = AuditSeal::signed_text(5, hash, at);
        let seal = AuditSeal {
            seq: 5,
            hash: hash.clone(),
            at,
            kid: URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes())),
            public_key,
            signature: URL_SAFE_NO_PAD.encode(pair.sign(text.as_bytes())),
        };
        let mut whole = walk(&entries).unwrap();
        whole.line(&AuditLine::Seal(seal.clone())).unwrap();
        assert_eq!(whole.seals, 1);

        let cut = walk(&entries[..3])
            .unwrap()
            .line(&AuditLine::Seal(seal.clone()));
        assert_eq!(cut, Err(Broken::CutOff { sealed: 5, last: 3 }));
        let forged = AuditSeal {
            seq: 3,
            hash: entries[2].hash.clone(),
            ..seal
        };
        let forged = walk(&entries[..3]).unwrap().line(&AuditLine::Seal(forged));
        assert_eq!(forged, Err(Broken::BadSeal(3)));
    }
}
