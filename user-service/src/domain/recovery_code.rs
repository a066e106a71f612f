//! Recovery codes: what signs somebody in who lost their generator.

use data_encoding::BASE32_NOPAD;

/// How many an account gets at once.
pub(crate) const CODES: usize = 10;
/// Random bytes of a code: 80 bits, 16 characters.
pub(crate) const CODE_BYTES: usize = 10;
const GROUP: usize = 4;

/// A code as it is shown: `abcd-efgh-ijkl-mnop`.
pub(crate) fn shown(bytes: &[u8; CODE_BYTES]) -> String {
    let code = BASE32_NOPAD.encode(bytes).to_ascii_lowercase();
    let groups = code.as_bytes().chunks(GROUP);
    let groups: Vec<_> = groups.map(String::from_utf8_lossy).collect();
    groups.join("-")
}

/// The one spelling that is hashed, from whatever a person typed.
pub(crate) fn plain(typed: &str) -> String {
    let kept = typed.chars().filter(char::is_ascii_alphanumeric);
    kept.map(|character| character.to_ascii_lowercase())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_however_it_is_typed() {
        let code = shown(&[0x5a; CODE_BYTES]);
        assert_eq!(code, "ljnf-uws2-ljnf-uws2");
        for typed in [code.as_str(), "LJNF UWS2 LJNF UWS2", " ljnfuws2ljnfuws2\n"] {
            assert_eq!(plain(typed), "ljnfuws2ljnfuws2");
        }
        assert_ne!(plain("ljnf-uws2-ljnf-uws3"), plain(&code));
    }
}
