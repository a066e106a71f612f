//! Secrets that a test plants, and the search for them in everything that a service leaves behind:
//! its log and spans, its metrics, the bodies of its errors, and every table and file of its
//! database, outbox and audit trail among them.
//!
//! ```no_run
//! # async fn test(client: testkit::ApiClient, database: testkit::TestDatabase) {
//! testkit::logs::capture();
//! let mut secrets = testkit::secrets::Secrets::new();
//! let password = secrets.plant("password", 24);
//! let body = serde_json::json!({"email": "a@b.example", "password": password});
//! let reply = secrets.watch(client.post("/api/auth/login", &body).await);
//! secrets.assert_unseen(&client, &database).await;
//! # }
//! ```

use std::collections::BTreeMap;

use serde_json::Value;

use crate::client::{ApiClient, Reply};
use crate::database::TestDatabase;
use crate::logs;

/// Members of an answer that hold a secret.
const SECRET_MEMBERS: [&str; 10] = [
    "access_token",
    "refresh_token",
    "id_token",
    "token",
    "secret",
    "key",
    "password",
    "client_secret",
    "codes",
    "recovery_codes",
];
/// A shorter text may stand in a log by chance.
const SHORTEST: usize = 12;

/// What must be seen nowhere.
#[derive(Default)]
pub struct Secrets {
    /// What each one is, by its text.
    planted: BTreeMap<String, String>,
    /// What clients were shown where nothing secret may stand.
    shown: String,
}

impl Secrets {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A text that stands nowhere else, of this many characters, as a password or a client's secret.
    ///
    /// # Panics
    /// When it would be so short that it could stand somewhere by chance.
    pub fn plant(&mut self, what: &str, characters: usize) -> String {
        assert!(
            characters >= SHORTEST,
            "{characters} characters are too few"
        );
        let mut text = String::with_capacity(characters + 32);
        while text.len() < characters {
            text.push_str(&uuid::Uuid::new_v4().simple().to_string());
        }
        text.truncate(characters);
        self.add(what, &text);
        text
    }

    /// A secret that exists already. Of a signed token its signature is what counts.
    ///
    /// # Panics
    /// When it is so short that it could stand somewhere by chance.
    pub fn add(&mut self, what: &str, secret: &str) {
        let parts: Vec<&str> = secret.split('.').collect();
        let telling = match parts.as_slice() {
            [_header, _claims, signature] => signature,
            _ => secret,
        };
        assert!(
            telling.len() >= SHORTEST,
            "the {what} is too short to search for"
        );
        self.planted.insert(telling.to_owned(), what.to_owned());
    }

    /// Adds the tokens and keys in a good answer, and remembers the text of a refusal.
    #[must_use]
    pub fn watch(&mut self, reply: Reply) -> Reply {
        if reply.status >= 400 {
            self.shown.push_str(&reply.text);
        } else if let Ok(answer) = serde_json::from_str::<Value>(&reply.text) {
            self.add_members(&answer);
        }
        reply
    }

    fn add_members(&mut self, answer: &Value) {
        match answer {
            Value::Object(members) => {
                for (name, member) in members {
                    if SECRET_MEMBERS.contains(&name.as_str()) {
                        self.add_texts(name, member);
                    } else {
                        self.add_members(member);
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.add_members(item)),
            _ => {}
        }
    }

    fn add_texts(&mut self, what: &str, member: &Value) {
        match member {
            Value::String(text) if text.len() >= SHORTEST => self.add(what, text),
            Value::Array(items) => items.iter().for_each(|item| self.add_texts(what, item)),
            _ => {}
        }
    }

    /// Searches everything.
    ///
    /// # Panics
    /// When something secret was found, with what and where, or when nothing was searched.
    pub async fn assert_unseen(&self, client: &ApiClient, database: &TestDatabase) {
        let (log, stored) = (logs::so_far(), database.dump().await);
        assert!(!log.is_empty(), "logs::capture was not called");
        assert!(!stored.is_empty(), "the database is empty");
        let metrics = client.without_token().get("/metrics").await.text;
        let places = [
            ("the log", &log),
            ("the database", &stored),
            ("the metrics", &metrics),
            ("the body of an error", &self.shown),
        ];
        let found = self.found_in(&places);
        assert!(found.is_empty(), "{}", found.join("\n"));
        eprintln!(
            "{} secrets searched for in {} bytes of log, {} of database, {} of metrics, {} of errors",
            self.planted.len(),
            log.len(),
            stored.len(),
            metrics.len(),
            self.shown.len()
        );
    }

    fn found_in(&self, places: &[(&str, &String)]) -> Vec<String> {
        let mut found = Vec::new();
        for (secret, what) in &self.planted {
            // What is encoded already is shown as it is, or as the bytes that nobody keeps.
            let in_hex = (secret.len() <= 64).then(|| (" in hexadecimal", hex(secret)));
            let forms: Vec<(&str, String)> =
                [("", secret.clone())].into_iter().chain(in_hex).collect();
            for (place, text) in places {
                for (form, secret) in &forms {
                    if let Some(position) = text.find(secret.as_str()) {
                        let before = text.get(position.saturating_sub(120)..position);
                        let before = before.unwrap_or_default();
                        found.push(format!(
                            "a {what} stands in {place}{form}, after {before:?}"
                        ));
                    }
                }
            }
        }
        found
    }
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_wherever_it_stands_and_in_hexadecimal() {
        let mut secrets = Secrets::new();
        let password = secrets.plant("password", 20);
        secrets.add("token", "aGVhZGVy.Y2xhaW1z.c2lnbmF0dXJlc2lnbmF0dXJl");
        let clean = "nothing of the kind aGVhZGVy.Y2xhaW1z".to_owned();
        assert_eq!(secrets.found_in(&[("the log", &clean)]), [""; 0]);
        for leak in [
            format!("login with {password} failed"),
            format!("bytes {}", hex(&password)),
            "signed c2lnbmF0dXJlc2lnbmF0dXJl".to_owned(),
        ] {
            let found = secrets.found_in(&[("the metrics", &clean), ("the log", &leak)]);
            assert_eq!(found.len(), 1, "{leak}");
            assert!(found[0].contains("stands in the log"), "{found:?}");
        }
    }

    #[test]
    fn the_secrets_of_an_answer_are_known_however_deep_they_stand() {
        let mut secrets = Secrets::new();
        secrets.add_members(&serde_json::json!({
            "access_token": "a.b.cccccccccccccccc",
            "device": {"mqtt": {"password": "pppppppppppppppp", "username": "somebody-known"}},
            "recovery_codes": ["rrrrrrrrrrrrr-1", "rrrrrrrrrrrrr-2"],
            "key": "short",
        }));
        let known: Vec<&str> = secrets.planted.keys().map(String::as_str).collect();
        assert_eq!(
            known,
            [
                "cccccccccccccccc",
                "pppppppppppppppp",
                "rrrrrrrrrrrrr-1",
                "rrrrrrrrrrrrr-2"
            ]
        );
    }
}
