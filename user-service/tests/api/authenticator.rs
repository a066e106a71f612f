//! A device that keeps one passkey in this process, verifies its person always, and never counts, as
//! those that are kept in several places do.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

const ORIGIN: &str = "http://localhost:5000";
const CREDENTIAL_ID: &[u8] = b"sixteen bytes id";
/// Present, verified (WebAuthn Level 3, section 6.1).
const VERIFIED: u8 = 0b101;
/// With the data of a new credential.
const WITH_CREDENTIAL: u8 = 0b100_0000;

pub(crate) struct Authenticator {
    key: EcdsaKeyPair,
    /// Whose passkey it is, as it was told at the registration.
    person: std::cell::OnceCell<Value>,
}

impl Authenticator {
    pub(crate) fn new() -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_ASN1_SIGNING, SystemRandom::new());
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self {
            key: EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).unwrap(),
            person: std::cell::OnceCell::new(),
        }
    }

    /// What `navigator.credentials.create` would give.
    pub(crate) fn register(&self, options: &Value) -> Value {
        let _first = self.person.set(options["user"]["id"].clone());
        let mut data = authenticator_data(options["rp"]["id"].as_str(), VERIFIED | WITH_CREDENTIAL);
        data.extend([0; 16]);
        data.extend([0, 16]);
        data.extend(CREDENTIAL_ID);
        data.extend(self.public_key());
        // CBOR: {"fmt": "none", "attStmt": {}, "authData": data}.
        let mut object = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58".to_vec();
        object.push(u8::try_from(data.len()).unwrap());
        object.extend(data);
        json!({
            "id": encode(CREDENTIAL_ID), "rawId": encode(CREDENTIAL_ID), "type": "public-key",
            "response": {
                "attestationObject": encode(&object),
                "clientDataJSON": encode(&client_data("webauthn.create", options)),
            },
            "clientExtensionResults": {},
        })
    }

    /// What `navigator.credentials.get` would give.
    pub(crate) fn sign_in(&self, options: &Value) -> Value {
        let data = authenticator_data(options["rpId"].as_str(), VERIFIED);
        let client_data = client_data("webauthn.get", options);
        let mut signed = data.clone();
        signed.extend(digest(&SHA256, &client_data).as_ref());
        let signature = self.key.sign(&SystemRandom::new(), &signed).unwrap();
        json!({
            "id": encode(CREDENTIAL_ID), "rawId": encode(CREDENTIAL_ID), "type": "public-key",
            "response": {
                "authenticatorData": encode(&data),
                "clientDataJSON": encode(&client_data),
                "signature": encode(signature.as_ref()),
                "userHandle": self.person.get(),
            },
            "clientExtensionResults": {},
        })
    }

    /// As a COSE key (RFC 9053, section 7.1.1): EC2, ES256, P-256, and the point.
    fn public_key(&self) -> Vec<u8> {
        let point = self.key.public_key().as_ref();
        let (x, y) = (&point[1..33], &point[33..65]);
        let head = b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20".as_slice();
        [head, x, b"\x22\x58\x20", y].concat()
    }
}

fn authenticator_data(rp_id: Option<&str>, flags: u8) -> Vec<u8> {
    let mut data = digest(&SHA256, rp_id.unwrap().as_bytes()).as_ref().to_vec();
    data.push(flags);
    data.extend([0; 4]);
    data
}

fn client_data(kind: &str, options: &Value) -> Vec<u8> {
    let data = json!({"type": kind, "challenge": options["challenge"], "origin": ORIGIN});
    data.to_string().into_bytes()
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
