//! What a person recognizes a session by: the browser and the system, from `User-Agent`.

/// Longest label for a program that is none of the known ones, in characters.
const MAX_CHARACTERS: usize = 40;

const BROWSERS: [(&str, &str); 6] = [
    // In this order: most name those after them as well.
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("maru/", "maru"),
];
const SYSTEMS: [(&str, &str); 7] = [
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
];

/// A short label without version numbers; `None` for an empty text.
pub(crate) fn device_label(user_agent: &str) -> Option<String> {
    let find = |known: &[(&str, &'static str)]| {
        let found = known.iter().find(|(mark, _)| user_agent.contains(mark));
        found.map(|(_, name)| *name)
    };
    match (find(&BROWSERS), find(&SYSTEMS)) {
        (Some(browser), Some(system)) => Some(format!("{browser} on {system}")),
        (Some(browser), None) => Some(browser.to_owned()),
        (None, Some(system)) => Some(system.to_owned()),
        (None, None) => product(user_agent),
    }
}

/// The first product of a `User-Agent` (RFC 9110, section 10.1.5).
fn product(user_agent: &str) -> Option<String> {
    let product = user_agent.split(['/', ' ']).next().unwrap_or_default();
    let printable = product.chars().filter(|character| !character.is_control());
    let label: String = printable.take(MAX_CHARACTERS).collect();
    (!label.is_empty()).then_some(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_recognized_by_browser_and_system() {
        let check = |user_agent: &str, expected: Option<&str>| {
            assert_eq!(
                device_label(user_agent).as_deref(),
                expected,
                "{user_agent}"
            );
        };
        check(
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            Some("Firefox on Linux"),
        );
        check(
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
             Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0",
            Some("Edge on Windows"),
        );
        check(
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 \
             (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
            Some("Safari on iPhone"),
        );
        check("curl/8.14.1", Some("curl"));
        check("", None);
        check(&"x".repeat(500), Some(&"x".repeat(40)));
    }
}
