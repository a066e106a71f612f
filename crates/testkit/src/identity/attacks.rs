//! Every way that is known to get in with a token that should not let anybody in: one row for each,
//! with where it is described. All of them must be answered 401, by every service.
//!
//! Tokens that an attacker could only make with the signing key are among them on purpose (a wrong
//! `aud`, a missing `exp`, `crit`): the key signs other things than access tokens.

mod claims;
mod keys;
mod texts;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::auth::{Role, StoreClaim};
use common::error::PROBLEM_JSON;
use serde_json::{Value, json};

use super::TestIdentity;
use crate::client::Reply;

/// One way to get in without a right to it.
#[derive(Clone, Debug)]
pub struct Attack {
    /// What it does.
    pub name: &'static str,
    /// Where it, or what it breaks, is described.
    pub source: &'static str,
    /// The values of `Authorization`; mostly one.
    pub authorization: Vec<String>,
    /// Other places where a token is put: a header, or `?` for the query.
    pub elsewhere: Option<(&'static str, String)>,
}

/// Name, source, and token.
type Row = (&'static str, &'static str, String);

impl Attack {
    /// Adds it to a request that carries no token.
    pub fn apply(&self, mut request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        for value in &self.authorization {
            // As bytes: some of them are no ASCII.
            request = request.header("authorization", value.as_bytes());
        }
        match &self.elsewhere {
            Some(("?", token)) => request.query(&[("access_token", token)]),
            Some((name, value)) => request.header(*name, value),
            None => request,
        }
    }
}

impl Attack {
    /// What is wrong with the answer to it, if anything.
    #[must_use]
    pub fn fault(&self, reply: &Reply) -> Option<String> {
        let challenge = reply.header("www-authenticate").unwrap_or_default();
        let media_type = reply.header("content-type").unwrap_or_default();
        let is_refused = reply.status == 401
            && media_type == PROBLEM_JSON
            && challenge.starts_with("Bearer")
            && !self.is_repeated_in(reply);
        let fault = format!("{} ({}): {reply}", self.name, self.source);
        (!is_refused).then_some(fault)
    }

    fn is_repeated_in(&self, reply: &Reply) -> bool {
        let values = self.authorization.iter().map(String::as_str);
        let mut signatures = values.filter_map(|value| value.rsplit('.').next());
        signatures.any(|text| text.len() > 20 && reply.text.contains(text))
    }
}

impl TestIdentity {
    /// Every attack; all of them must be answered 401.
    #[must_use]
    pub fn attacks(&self) -> Vec<Attack> {
        let groups = [
            self.other_algorithms(),
            self.key_ids(),
            self.keys_of_the_attacker(),
            self.header_parameters(),
            self.repeated_header_parameters(),
            self.wrong_claims(),
            self.malformed_claims(),
            self.times(),
            self.repeated_claims(),
            self.signatures(),
            self.encodings(),
            self.sizes(),
        ];
        let tokens = groups.into_iter().flatten();
        let mut attacks: Vec<Attack> = tokens
            .map(|(name, source, token)| Attack {
                name,
                source,
                authorization: vec![format!("Bearer {token}")],
                elsewhere: None,
            })
            .collect();
        attacks.extend(self.authorization_headers());
        attacks.extend(self.other_places());
        attacks
    }

    fn authorization_headers(&self) -> Vec<Attack> {
        let owner = self.owner();
        let forged = self.forged();
        let source = "RFC 6750, 2.1; RFC 9110, 11.6.2";
        let rows: [(&'static str, Vec<String>); 13] = [
            ("no token", vec![]),
            ("an empty header", vec![String::new()]),
            ("a scheme alone", vec!["Bearer".to_owned()]),
            ("other scheme", vec![format!("Basic {owner}")]),
            ("scheme of another proof", vec![format!("DPoP {owner}")]),
            (
                "scheme in another script",
                vec![format!("\u{412}earer {owner}")],
            ),
            ("scheme twice", vec![format!("Bearer Bearer {owner}")]),
            ("token without a scheme", vec![owner.clone()]),
            (
                "token as a parameter",
                vec![format!("Bearer token=\"{owner}\"")],
            ),
            (
                "forged token in lower-case scheme",
                vec![format!("bearer {forged}")],
            ),
            (
                "two headers, the right one last",
                vec![format!("Bearer {forged}"), format!("Bearer {owner}")],
            ),
            (
                "two headers, the right one first",
                vec![format!("Bearer {owner}"), format!("Bearer {forged}")],
            ),
            (
                "the right header twice",
                vec![format!("Bearer {owner}"), format!("Bearer {owner}")],
            ),
        ];
        let attack = |(name, authorization)| Attack {
            name,
            source,
            authorization,
            elsewhere: None,
        };
        rows.into_iter().map(attack).collect()
    }

    /// A token anywhere else is none: addresses are logged, cookies are sent by other sites.
    fn other_places(&self) -> Vec<Attack> {
        let owner = self.owner();
        let rows = [
            (
                "token in the query",
                "RFC 9700, 4.3.2; ASVS 14.2.1",
                "?",
                owner.clone(),
            ),
            (
                "token in a cookie",
                "RFC 6750, 5.3",
                "cookie",
                format!("access_token={owner}"),
            ),
            (
                "token in Proxy-Authorization",
                "RFC 9110, 11.7.2",
                "proxy-authorization",
                format!("Bearer {owner}"),
            ),
            (
                "token in a header of its own",
                "RFC 6750, 2",
                "x-access-token",
                owner.clone(),
            ),
            (
                "token in a forwarded header",
                "RFC 6750, 2",
                "x-forwarded-authorization",
                format!("Bearer {owner}"),
            ),
        ];
        let attack = |(name, source, place, value)| Attack {
            name,
            source,
            authorization: Vec::new(),
            elsewhere: Some((place, value)),
        };
        rows.into_iter().map(attack).collect()
    }

    /// The usual header with other members; `null` removes one.
    fn header_with(&self, change: &Value) -> String {
        merged(
            json!({"alg": "EdDSA", "typ": "JWT", "kid": self.kid}),
            change,
        )
    }

    fn good_claims(&self) -> String {
        self.claims_with(&json!({}))
    }

    /// An owner's claims with other members; `null` removes one.
    fn claims_with(&self, change: &Value) -> String {
        let claims = serde_json::to_value(self.owner_claims()).expect("claims are plain data");
        merged(claims, change)
    }

    fn unsigned(&self, header: &str, signature: &str) -> String {
        format!("{}.{signature}", encoded(header, &self.good_claims()))
    }

    /// Signs these texts, whatever they are.
    fn signed(&self, header: &str, claims: &str) -> String {
        let input = encoded(header, claims);
        let signature = self.pair().sign(input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The signature of a crew member's claims under an owner's.
    fn tampered(&self) -> String {
        let honest = self.user(&[Role::Crew], StoreClaim::default());
        let signature = honest.rsplit('.').next().unwrap_or_default();
        self.unsigned(&self.header_with(&json!({})), signature)
    }
}

fn encoded(header: &str, claims: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(header);
    format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims))
}

fn merged(mut value: Value, change: &Value) -> String {
    if let (Some(object), Some(change)) = (value.as_object_mut(), change.as_object()) {
        for (name, member) in change {
            match member {
                Value::Null => object.remove(name),
                _ => object.insert(name.clone(), member.clone()),
            };
        }
    }
    value.to_string()
}
