//! Other algorithms, other keys, other headers.

use serde_json::{Value, json};

use super::{Row, TestIdentity};

impl TestIdentity {
    pub(super) fn other_algorithms(&self) -> Vec<Row> {
        let labelled = |alg: &str| self.header_with(&json!({"alg": alg}));
        let unsigned = |alg: &str| self.unsigned(&labelled(alg), "");
        let signed = |alg: &str| self.signed(&labelled(alg), &self.good_claims());
        let no_alg = json!({"typ": "JWT", "kid": self.kid}).to_string();
        let jwk = self.jwks().keys.remove(0);
        let jwk = serde_json::to_string(&jwk).expect("a key is plain data");
        vec![
            ("alg none", "RFC 8725, 3.1; ASVS 9.1.2", unsigned("none")),
            ("alg None", "RFC 8725, 3.1", unsigned("None")),
            ("alg nOnE", "RFC 8725, 3.1", unsigned("nOnE")),
            ("alg none with a signature", "RFC 8725, 3.1", signed("none")),
            ("alg is empty", "RFC 7515, 4.1.1", signed("")),
            (
                "no alg",
                "RFC 7515, 4.1.1",
                self.signed(&no_alg, &self.good_claims()),
            ),
            ("alg in lower case", "RFC 7515, 4.1.1", signed("eddsa")),
            ("alg Ed448", "RFC 8725, 3.1", signed("Ed448")),
            (
                "alg ES256 over an Ed25519 signature",
                "RFC 8725, 3.1",
                signed("ES256"),
            ),
            (
                "alg RS256 over an Ed25519 signature",
                "RFC 8725, 3.1",
                signed("RS256"),
            ),
            (
                "HS256 with the public key",
                "RFC 8725, 2.1",
                self.hs256_with_public_key(),
            ),
            (
                "HS256 with the published key text",
                "RFC 8725, 2.1",
                self.hs256(self.key_text().as_bytes()),
            ),
            (
                "HS256 with the published key document",
                "RFC 8725, 2.1",
                self.hs256(jwk.as_bytes()),
            ),
            (
                "HS256 with the public key in PEM",
                "RFC 8725, 2.1",
                self.hs256(self.key_pem().as_bytes()),
            ),
            ("HS256 with an empty key", "RFC 8725, 3.5", self.hs256(b"")),
        ]
    }

    pub(super) fn key_ids(&self) -> Vec<Row> {
        let kid = |kid: Value| {
            self.signed(
                &self.header_with(&json!({ "kid": kid })),
                &self.good_claims(),
            )
        };
        vec![
            ("no key id", "RFC 7515, 4.1.4", kid(Value::Null)),
            ("unknown key id", "RFC 8725, 3.10", self.wrong_kid()),
            ("key id is empty", "RFC 8725, 3.10", kid(json!(""))),
            (
                "key id is a path",
                "RFC 8725, 3.10",
                kid(json!("../../../../dev/null")),
            ),
            (
                "key id is an encoded path",
                "RFC 8725, 3.10",
                kid(json!("..%2f..%2fdev%2fnull")),
            ),
            (
                "key id is SQL",
                "RFC 8725, 3.10",
                kid(json!("x' UNION SELECT 'AAAA' --")),
            ),
            (
                "key id is a condition",
                "RFC 8725, 3.10",
                kid(json!("' OR '1'='1")),
            ),
            (
                "key id is a command",
                "RFC 8725, 3.10",
                kid(json!("|/bin/true")),
            ),
            (
                "key id is an address",
                "RFC 8725, 3.10",
                kid(json!("http://127.0.0.1:9/key")),
            ),
            ("key id is LDAP", "RFC 8725, 3.10", kid(json!("*)(uid=*"))),
            (
                "key id ends early",
                "RFC 8725, 3.10",
                kid(json!(format!("{}\u{0}", self.kid))),
            ),
            (
                "key id has lines",
                "RFC 8725, 3.10",
                kid(json!(format!("{}\r\nx: y", self.kid))),
            ),
            (
                "key id in other letters",
                "RFC 7515, 4.1.4",
                kid(json!(self.kid.to_uppercase())),
            ),
            ("key id is a number", "RFC 7515, 4.1.4", kid(json!(0))),
            (
                "key id is a list",
                "RFC 7515, 4.1.4",
                kid(json!([self.kid])),
            ),
            (
                "key id is long",
                "RFC 8725, 3.10",
                kid(json!("k".repeat(2_000))),
            ),
        ]
    }

    /// Keys that the token brings along must never be used (RFC 8725, section 3.10).
    pub(super) fn keys_of_the_attacker(&self) -> Vec<Row> {
        let attacker = Self::new();
        let mut own = attacker.jwks().keys.remove(0);
        own.kid.clone_from(&self.kid);
        let offer = |change: Value| {
            let header = self.header_with(&change);
            attacker.signed(&header, &self.good_claims())
        };
        let address = "http://127.0.0.1:9/keys.json";
        vec![
            (
                "unknown key under a known id",
                "RFC 8725, 3.10; ASVS 9.1.3",
                self.forged(),
            ),
            (
                "own key in jwk",
                "RFC 8725, 3.10; ASVS 9.1.3",
                offer(json!({ "jwk": own })),
            ),
            (
                "own key in jwk without an id",
                "RFC 8725, 3.10",
                offer(json!({ "jwk": own, "kid": null })),
            ),
            (
                "own keys behind jku",
                "RFC 8725, 3.10; ASVS 9.1.3",
                offer(json!({ "jku": address })),
            ),
            (
                "own keys behind x5u",
                "RFC 8725, 3.10; ASVS 9.1.3",
                offer(json!({ "x5u": address })),
            ),
            (
                "own certificate in x5c",
                "RFC 8725, 3.10",
                offer(json!({ "x5c": ["MIIB"] })),
            ),
            (
                "thumbprint in x5t",
                "RFC 8725, 3.10",
                offer(json!({ "x5t": "AAAA" })),
            ),
            ("a right signature beside jku", "RFC 8725, 3.10", {
                self.signed(
                    &self.header_with(&json!({ "jku": address })),
                    &self.good_claims(),
                )
            }),
            ("a right signature beside jwk", "RFC 8725, 3.10", {
                self.signed(
                    &self.header_with(&json!({ "jwk": own })),
                    &self.good_claims(),
                )
            }),
        ]
    }

    pub(super) fn header_parameters(&self) -> Vec<Row> {
        let with = |change: Value| self.signed(&self.header_with(&change), &self.good_claims());
        vec![
            (
                "critical extension",
                "RFC 7515, 4.1.11",
                with(json!({"crit": ["x"], "x": 1})),
            ),
            (
                "critical list that is empty",
                "RFC 7515, 4.1.11",
                with(json!({"crit": []})),
            ),
            (
                "payload that is not encoded",
                "RFC 7797, 6",
                with(json!({"b64": false, "crit": ["b64"]})),
            ),
            ("compressed", "RFC 8725, 3.6", with(json!({"zip": "DEF"}))),
            (
                "encrypted",
                "RFC 7516, 4.1.2",
                with(json!({"enc": "A256GCM"})),
            ),
            (
                "token in a token",
                "RFC 7519, 5.2",
                with(json!({"cty": "JWT"})),
            ),
            (
                "type of a logout token",
                "RFC 8725, 3.11",
                with(json!({"typ": "logout+jwt"})),
            ),
            (
                "type of a proof of possession",
                "RFC 8725, 3.11",
                with(json!({"typ": "dpop+jwt"})),
            ),
            (
                "type is missing",
                "RFC 8725, 3.11",
                with(json!({"typ": null})),
            ),
        ]
    }

    pub(super) fn repeated_header_parameters(&self) -> Vec<Row> {
        let text = |text: String| self.signed(&text, &self.good_claims());
        let kid = &self.kid;
        vec![
            (
                "alg twice",
                "RFC 7515, 4",
                text(format!(
                    r#"{{"alg":"none","alg":"EdDSA","typ":"JWT","kid":"{kid}"}}"#
                )),
            ),
            (
                "alg twice, the wrong one last",
                "RFC 7515, 4",
                text(format!(
                    r#"{{"alg":"EdDSA","typ":"JWT","kid":"{kid}","alg":"none"}}"#
                )),
            ),
            (
                "key id twice",
                "RFC 7515, 4",
                text(format!(
                    r#"{{"alg":"EdDSA","typ":"JWT","kid":"x","kid":"{kid}"}}"#
                )),
            ),
            (
                "alg twice, once in escapes",
                "RFC 7515, 4",
                text(format!(
                    r#"{{"\u0061lg":"none","alg":"EdDSA","typ":"JWT","kid":"{kid}"}}"#
                )),
            ),
            (
                "header is a list",
                "RFC 7515, 4",
                text(format!(r#"["EdDSA","JWT","{kid}"]"#)),
            ),
            ("header is null", "RFC 7515, 4", text("null".to_owned())),
            (
                "header goes on",
                "RFC 7515, 4",
                text(format!("{}{{}}", self.header_with(&json!({})))),
            ),
        ]
    }
}
