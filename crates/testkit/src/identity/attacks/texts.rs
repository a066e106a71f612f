//! Signatures and encodings that are not quite right.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::{Row, TestIdentity};

/// Order of the group in which Ed25519 computes, little-endian (RFC 8032, section 5.1).
const GROUP_ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

impl TestIdentity {
    pub(super) fn signatures(&self) -> Vec<Row> {
        let owner = self.owner();
        let (input, signature) = owner.rsplit_once('.').unwrap_or_default();
        let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
        let with = |bytes: &[u8]| format!("{input}.{}", URL_SAFE_NO_PAD.encode(bytes));
        let (nonce, scalar) = bytes.split_at(32);
        let mut flipped = bytes.clone();
        if let Some(byte) = flipped.get_mut(40) {
            *byte ^= 1;
        }
        let half = bytes.get(..63).unwrap_or_default();
        // The neutral element of the curve as nonce, and the scalar zero.
        let neutral = [&[1][..], &[0; 63]].concat();
        vec![
            ("signature cut off", "RFC 7515, 5.2", format!("{input}.")),
            ("no signature part", "RFC 7515, 5.2", input.to_owned()),
            (
                "signature of other claims",
                "RFC 7515, 5.2",
                self.tampered(),
            ),
            (
                "signature with a bit changed",
                "RFC 7515, 5.2",
                with(&flipped),
            ),
            ("signature a byte short", "RFC 8032, 5.1.7", with(half)),
            (
                "signature a byte long",
                "RFC 8032, 5.1.7",
                with(&[&bytes[..], &[0]].concat()),
            ),
            (
                "signature twice",
                "RFC 8032, 5.1.7",
                with(&[&bytes[..], &bytes].concat()),
            ),
            (
                "signature plus the group's order",
                "RFC 8032, 8.4",
                with(&[nonce, &plus_order(scalar)].concat()),
            ),
            ("signature of zeros", "RFC 8032, 5.1.7", with(&[0; 64])),
            (
                "signature of the neutral element",
                "RFC 8032, 5.1.7",
                with(&neutral),
            ),
        ]
    }

    pub(super) fn encodings(&self) -> Vec<Row> {
        let owner = self.owner();
        let parts: Vec<&str> = owner.split('.').collect();
        let [header, claims, signature] = parts.as_slice() else {
            unreachable!("a token has three parts");
        };
        // 64 bytes leave four bits of the last character unused; they must be zero.
        let last = signature.chars().last().unwrap_or('A');
        let stem = signature.strip_suffix(last).unwrap_or_default();
        let next = char::from(u8::try_from(last).unwrap_or(b'A') + 1);
        let padded = format!("{header}.{claims}.{signature}==");
        vec![
            ("base64 with padding", "RFC 7515, 2", padded),
            ("base64 of the other alphabet", "RFC 7515, 2", {
                self.signed_as(|text| text.replace('-', "+").replace('_', "/"))
            }),
            (
                "base64 with other unused bits",
                "RFC 4648, 3.5",
                format!("{header}.{claims}.{stem}{next}"),
            ),
            (
                "a line break within",
                "RFC 4648, 3.3",
                format!("{header}.{claims}.{stem}\t{last}"),
            ),
            ("a fourth part", "RFC 7515, 7.1", format!("{owner}.x")),
            ("an empty fourth part", "RFC 7515, 7.1", format!("{owner}.")),
            (
                "five parts, as an encrypted token",
                "RFC 7516, 7.1",
                format!("{header}..{claims}.{signature}."),
            ),
            ("a leading dot", "RFC 7515, 7.1", format!(".{owner}")),
            (
                "rubbish at the end",
                "RFC 7515, 7.1",
                format!("{owner}AAAA"),
            ),
            (
                "another token at the end",
                "RFC 7515, 7.1",
                format!("{owner},{owner}"),
            ),
            ("words at the end", "RFC 6750, 2.1", format!("{owner} x")),
            ("JSON form", "RFC 7515, 7.2", {
                let form = json!({"payload": claims, "protected": header, "signature": signature});
                form.to_string()
            }),
            (
                "letters of another script",
                "RFC 6750, 2.1",
                owner.replacen('e', "\u{435}", 1),
            ),
            (
                "byte order mark",
                "RFC 6750, 2.1",
                format!("\u{feff}{owner}"),
            ),
            (
                "full-width dots",
                "RFC 6750, 2.1",
                owner.replace('.', "\u{ff0e}"),
            ),
            (
                "bytes that are no text",
                "RFC 6750, 2.1",
                "\u{80}\u{ff}".repeat(20),
            ),
            ("three dots", "RFC 7515, 7.1", "...".to_owned()),
            ("garbage", "RFC 7515, 7.1", "a.b.c".to_owned()),
            ("an empty token", "RFC 6750, 2.1", String::new()),
        ]
    }

    pub(super) fn sizes(&self) -> Vec<Row> {
        let padded = |bytes: usize| {
            let claims = self.claims_with(&json!({ "note": "n".repeat(bytes) }));
            self.signed(&self.header_with(&json!({})), &claims)
        };
        let deep = format!("{}{}", "[".repeat(1_500), "]".repeat(1_500));
        let mut claims = self.good_claims();
        claims.insert_str(1, &format!("\"note\":{deep},"));
        vec![
            ("oversized", "RFC 8725, 3.6; ASVS 4.2.5", padded(5_000)),
            (
                "grossly oversized",
                "RFC 8725, 3.6; ASVS 4.2.5",
                padded(20_000),
            ),
            (
                "deeply nested",
                "RFC 8725, 3.6",
                self.signed(&self.header_with(&json!({})), &claims),
            ),
        ]
    }

    /// A good token whose text an encoding changed; tried until it is another text.
    fn signed_as(&self, encoding: impl Fn(&str) -> String) -> String {
        loop {
            let good = self.owner();
            let changed = encoding(&good);
            if changed != good {
                return changed;
            }
        }
    }
}

/// The same scalar, by another number.
fn plus_order(scalar: &[u8]) -> Vec<u8> {
    let mut carry = 0_u16;
    let digits = scalar.iter().zip(GROUP_ORDER);
    digits
        .map(|(digit, order)| {
            let sum = u16::from(*digit) + u16::from(order) + carry;
            carry = sum >> 8;
            sum.to_le_bytes()[0]
        })
        .collect()
}
