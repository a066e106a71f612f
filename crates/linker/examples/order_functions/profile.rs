//! What callgrind writes down (the format is described in valgrind's manual, "Callgrind Format
//! Specification").

use std::collections::{HashMap, HashSet};

/// The functions that ran.
pub(super) fn functions(profile: &str) -> HashSet<String> {
    // A name is given once, with a number that stands for it from then on.
    let mut names = HashMap::new();
    let mut ran = HashSet::new();
    for line in profile.lines() {
        let Some((kind @ ("fn" | "cfn"), text)) = line.split_once('=') else {
            continue;
        };
        let (number, name) = text.split_once(' ').unwrap_or((text, ""));
        if !name.is_empty() {
            // The depth of a recursion stands behind an apostrophe.
            let name = name.split('\'').next().unwrap_or_default();
            names.insert(number, name);
        }
        if kind == "fn"
            && let Some(&name) = names.get(number)
        {
            ran.insert(name.to_owned());
        }
    }
    ran
}

#[cfg(test)]
mod tests {
    use super::functions;

    #[test]
    fn what_ran_is_found_by_name_and_by_number() {
        let profile = "fl=(1) a.c\nfn=(1) main\n1 5\ncfn=(2) called\ncalls=1 0\n1 3\n\
                       fn=(2)\n1 3\nfn=(3) deep'2\n1 1\ncfn=(4) elsewhere\ncalls=1 0\n";
        let mut ran: Vec<_> = functions(profile).into_iter().collect();
        ran.sort();
        assert_eq!(ran, ["called", "deep", "main"]);
    }
}
