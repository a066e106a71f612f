//! Where browsers may be sent back to: compared as text, never as a pattern (RFC 9700, section
//! 4.1.3).

use url::{Host, Url};

/// Longest address, in bytes.
pub(crate) const MAX_BYTES: usize = 2_000;

/// Why an address cannot be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadRedirectUri {
    #[error("must be an absolute address of at most 2000 bytes, without blanks")]
    Malformed,
    #[error("must not have a fragment")]
    Fragment,
    #[error("must not have a user name or password")]
    UserInfo,
    #[error(
        "must use https, or http on this machine, or an application's own scheme such as com.example.app"
    )]
    Scheme,
}

/// Judges an address that is about to be registered (RFC 6749, section 3.1.2; RFC 8252, section 7).
pub(crate) fn judge(text: &str) -> Result<(), BadRedirectUri> {
    let printable = text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if text.len() > MAX_BYTES || !printable {
        return Err(BadRedirectUri::Malformed);
    }
    let url = Url::parse(text).map_err(|_malformed| BadRedirectUri::Malformed)?;
    if text.contains('#') {
        return Err(BadRedirectUri::Fragment);
    }
    if !url.username().is_empty() || url.password().is_some() || has_user_info(text) {
        return Err(BadRedirectUri::UserInfo);
    }
    match url.scheme() {
        "https" if url.has_host() => Ok(()),
        "http" if is_this_machine(&url) => Ok(()),
        // Private-use schemes are reversed domain names, so that two applications differ.
        scheme if scheme.contains('.') => Ok(()),
        _ => Err(BadRedirectUri::Scheme),
    }
}

/// Whether an address that a request names is a registered one. An application on the person's own
/// machine cannot know its port beforehand (RFC 8252, section 7.3); nothing else may differ.
pub(crate) fn matches(registered: &str, asked: &str) -> bool {
    registered == asked || differs_only_in_loopback_port(registered, asked)
}

fn differs_only_in_loopback_port(registered: &str, asked: &str) -> bool {
    let (Ok(mut url), Ok(asked_url)) = (Url::parse(registered), Url::parse(asked)) else {
        return false;
    };
    let is_address = matches!(url.host(), Some(Host::Ipv4(_) | Host::Ipv6(_)));
    if url.scheme() != "http" || !is_address || !is_this_machine(&url) {
        return false;
    }
    // What was asked for must be, byte for byte, the registered address with that port.
    url.set_port(asked_url.port()).is_ok() && url.as_str() == asked
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Parsers repair `https://@host/`; here it is a trick.
fn has_user_info(text: &str) -> bool {
    let rest = text.split_once("://").map_or("", |(_scheme, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.contains('@')
}

/// The source for `form-action` in a page's content security policy: browsers apply it to the
/// redirects that follow a form, too.
pub(crate) fn form_action_source(text: &str) -> String {
    let Ok(url) = Url::parse(text) else {
        return String::new();
    };
    match url.scheme() {
        "http" | "https" => url.origin().ascii_serialization(),
        scheme => format!("{scheme}:"),
    }
}

/// The registered address with these parameters added to its query.
pub(crate) fn with_query(uri: &str, params: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in params {
        query.append_pair(name, value);
    }
    let separator = if uri.contains('?') { '&' } else { '?' };
    format!("{uri}{separator}{}", query.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_registered() {
        for good in [
            "https://app.example/callback",
            "https://app.example:8443/cb?tenant=1",
            "http://localhost:3000/cb",
            "http://127.0.0.1/cb",
            "http://[::1]/cb",
            "com.example.app:/cb",
        ] {
            assert_eq!(judge(good), Ok(()), "{good}");
        }
        for (bad, fault) in [
            ("", BadRedirectUri::Malformed),
            ("/callback", BadRedirectUri::Malformed),
            ("https://app.example/a b", BadRedirectUri::Malformed),
            (
                "https://app.example\\@evil.example/",
                BadRedirectUri::Malformed,
            ),
            ("https://app.example/#x", BadRedirectUri::Fragment),
            ("https://app.example/#", BadRedirectUri::Fragment),
            ("https://user@app.example/", BadRedirectUri::UserInfo),
            ("https://@app.example/", BadRedirectUri::UserInfo),
            ("http://app.example/", BadRedirectUri::Scheme),
            ("http://localhost.example/", BadRedirectUri::Scheme),
            ("javascript:alert(1)", BadRedirectUri::Scheme),
            ("data:text/html,x", BadRedirectUri::Scheme),
            ("app:/cb", BadRedirectUri::Scheme),
        ] {
            assert_eq!(judge(bad), Err(fault), "{bad}");
        }
        assert!(judge(&format!("https://a.example/{}", "x".repeat(MAX_BYTES))).is_err());
    }

    #[test]
    fn only_the_registered_address_matches_but_for_a_loopback_port() {
        let check = |registered: &str, asked: &str, expected: bool| {
            assert_eq!(matches(registered, asked), expected, "{registered} {asked}");
        };
        let web = "https://app.example/cb";
        check(web, web, true);
        for trick in [
            "https://app.example/cb/",
            "https://app.example/cb?x",
            "https://app.example/cb#x",
            "https://app.example/cb/../evil",
            "https://app.example:443/cb",
            "https://APP.example/cb",
            "http://app.example/cb",
            "https://app.example.evil.example/cb",
            "https://evil.example/https://app.example/cb",
            "https://app.example@evil.example/cb",
            "https://evil@app.example/cb",
            "https://app.example/c%62",
            "https://app.example:8443/cb",
            "",
        ] {
            check(web, trick, false);
        }
        check("http://127.0.0.1/cb", "http://127.0.0.1:51004/cb", true);
        check("http://[::1]:80/cb", "http://[::1]:51004/cb", true);
        check(
            "http://127.0.0.1:3000/cb",
            "http://127.0.0.1:51004/cb",
            true,
        );
        check("http://127.0.0.1/cb", "http://127.0.0.1:51004/cb2", false);
        check("http://127.0.0.1/cb", "http://127.0.0.2:51004/cb", false);
        check("http://127.0.0.1/cb", "http://x@127.0.0.1:51004/cb", false);
        check("http://127.0.0.1/cb", "https://127.0.0.1:51004/cb", false);
        check("http://127.0.0.1/cb", "http://2130706433:51004/cb", false);
        check("http://localhost/cb", "http://localhost:51004/cb", false);
    }

    #[test]
    fn parameters_are_added_to_a_query_that_is_there() {
        let params = [("code", "a b"), ("state", "x&y")];
        assert_eq!(
            with_query("https://a/", &params),
            "https://a/?code=a+b&state=x%26y"
        );
        assert_eq!(
            with_query("https://a/?t=1", &params[..1]),
            "https://a/?t=1&code=a+b"
        );
    }

    #[test]
    fn a_form_may_lead_to_the_application() {
        assert_eq!(
            form_action_source("https://app.example/cb"),
            "https://app.example"
        );
        assert_eq!(
            form_action_source("http://127.0.0.1:3000/cb"),
            "http://127.0.0.1:3000"
        );
        assert_eq!(
            form_action_source("com.example.app:/cb"),
            "com.example.app:"
        );
    }
}
