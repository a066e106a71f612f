//! Claims that are wrong, out of their time, or there twice.

use serde_json::{Value, json};

use super::{Row, TestIdentity};

impl TestIdentity {
    pub(super) fn wrong_claims(&self) -> Vec<Row> {
        let with =
            |change: Value| self.signed(&self.header_with(&json!({})), &self.claims_with(&change));
        let none = Value::Null;
        vec![
            (
                "wrong audience",
                "RFC 8725, 3.9; ASVS 9.2.3",
                self.wrong_audience(),
            ),
            (
                "no audience",
                "RFC 8725, 3.9; ASVS 9.2.3",
                with(json!({ "aud": none })),
            ),
            (
                "audience of another program, an ID token's",
                "RFC 8725, 3.11; ASVS 9.2.2",
                with(json!({
                    "aud": "some-application", "typ": none, "nonce": "n",
                })),
            ),
            (
                "ID token for this audience",
                "RFC 8725, 3.11; ASVS 9.2.2",
                with(json!({
                    "typ": none, "nonce": "n", "auth_time": 1,
                })),
            ),
            (
                "audience in other letters",
                "RFC 7519, 4.1.3",
                with(json!({ "aud": "MARU" })),
            ),
            (
                "two audiences",
                "RFC 8725, 3.9",
                with(json!({ "aud": ["maru", "other"] })),
            ),
            (
                "wrong issuer",
                "RFC 8725, 3.8",
                with(json!({ "iss": "evil" })),
            ),
            ("no issuer", "RFC 8725, 3.8", with(json!({ "iss": none }))),
            (
                "issuer with a space",
                "RFC 8725, 3.8",
                with(json!({ "iss": "maru " })),
            ),
            (
                "two issuers",
                "RFC 8725, 3.8",
                with(json!({ "iss": ["maru", "evil"] })),
            ),
        ]
    }

    pub(super) fn malformed_claims(&self) -> Vec<Row> {
        let with =
            |change: Value| self.signed(&self.header_with(&json!({})), &self.claims_with(&change));
        let none = Value::Null;
        vec![
            (
                "refresh token as access token",
                "RFC 8725, 3.11; ASVS 9.2.2",
                with(json!({ "typ": "refresh" })),
            ),
            (
                "token of an unknown kind",
                "RFC 8725, 3.12",
                with(json!({ "typ": "Access" })),
            ),
            ("no subject", "RFC 8725, 3.8", with(json!({ "sub": none }))),
            (
                "subject is a number",
                "RFC 7519, 4.1.2",
                with(json!({ "sub": 1 })),
            ),
            ("no id", "RFC 7519, 4.1.7", with(json!({ "jti": none }))),
            (
                "role that nobody has",
                "RFC 8725, 3.8",
                with(json!({ "roles": ["root"] })),
            ),
            (
                "roles are a text",
                "RFC 8725, 3.8",
                with(json!({ "roles": "owner" })),
            ),
            (
                "stores are a pattern",
                "RFC 8725, 3.8",
                with(json!({ "stores": "**" })),
            ),
            (
                "claims are a list",
                "RFC 7519, 4",
                self.signed(&self.header_with(&json!({})), "[]"),
            ),
            (
                "claims are a text",
                "RFC 7519, 4",
                self.signed(&self.header_with(&json!({})), "\"owner\""),
            ),
            (
                "no claims",
                "RFC 7519, 4",
                self.signed(&self.header_with(&json!({})), ""),
            ),
        ]
    }

    pub(super) fn times(&self) -> Vec<Row> {
        let now = self.clock.now().as_unix_seconds();
        let with =
            |change: Value| self.signed(&self.header_with(&json!({})), &self.claims_with(&change));
        vec![
            ("expired", "RFC 7519, 4.1.4; ASVS 9.2.1", self.expired()),
            (
                "expired a minute ago",
                "RFC 7519, 4.1.4; ASVS 9.2.1",
                with(json!({ "exp": now - 60 })),
            ),
            (
                "no expiry",
                "RFC 7519, 4.1.4; ASVS 9.2.1",
                with(json!({ "exp": null })),
            ),
            (
                "expiry is a text",
                "RFC 7519, 2",
                with(json!({ "exp": "9999999999" })),
            ),
            (
                "expiry is a list",
                "RFC 7519, 2",
                with(json!({ "exp": [now + 600] })),
            ),
            (
                "expiry is negative",
                "RFC 7519, 2",
                with(json!({ "exp": -1 })),
            ),
            (
                "expiry is beyond all numbers",
                "RFC 7519, 2",
                with(json!({ "exp": 1e300 })),
            ),
            (
                "not valid yet",
                "RFC 7519, 4.1.5; ASVS 9.2.1",
                with(json!({ "nbf": now + 600 })),
            ),
            (
                "never valid",
                "RFC 7519, 4.1.5",
                with(json!({ "nbf": i64::MAX })),
            ),
            (
                "no beginning",
                "RFC 7519, 4.1.5",
                with(json!({ "nbf": null })),
            ),
            (
                "beginning is a text",
                "RFC 7519, 2",
                with(json!({ "nbf": "0" })),
            ),
        ]
    }

    /// Which of two equal names counts must not depend on who reads it (RFC 7519, section 4).
    pub(super) fn repeated_claims(&self) -> Vec<Row> {
        let source = "RFC 7519, 4; RFC 8725, 2.4";
        let twice = |member: &str| {
            let claims = self.good_claims();
            let text = format!("{{{member},{}", claims.get(1..).unwrap_or_default());
            self.signed(&self.header_with(&json!({})), &text)
        };
        vec![
            ("subject twice", source, twice(r#""sub":"somebody""#)),
            (
                "subject twice, once in escapes",
                source,
                twice(r#""\u0073ub":"somebody""#),
            ),
            ("expiry twice", source, twice(r#""exp":99999999999"#)),
            ("audience twice", source, twice(r#""aud":"other""#)),
            ("issuer twice", source, twice(r#""iss":"evil""#)),
            ("roles twice", source, twice(r#""roles":["owner"]"#)),
            ("stores twice", source, twice(r#""stores":"*""#)),
            ("kind twice", source, twice(r#""typ":"service""#)),
        ]
    }
}
