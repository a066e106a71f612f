//! Which client addresses a route is for.

use std::net::IpAddr;

use ipnet::IpNet;

/// Networks that are let in or kept out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
}

impl Access {
    pub(crate) fn new(allow: Vec<IpNet>, deny: Vec<IpNet>) -> Self {
        Self { allow, deny }
    }

    /// Whether nobody is kept out.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    /// Whether an address may come in. A denied network inside an allowed one is kept out; with no
    /// allowed networks everybody else is let in.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let within = |networks: &[IpNet]| networks.iter().any(|net| net.contains(&address));
        !within(&self.deny) && (self.allow.is_empty() || within(&self.allow))
    }
}

/// A network in CIDR notation, or one address.
pub(crate) fn network(text: &str) -> Result<IpNet, &'static str> {
    let parsed = text
        .parse::<IpNet>()
        .or_else(|_not_cidr| text.parse::<IpAddr>().map(IpNet::from));
    parsed.map_err(|_malformed| "must be a network such as 10.0.0.0/8, or an address")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denied_networks_are_kept_out_and_others_only_let_in_if_listed() {
        let nets = |texts: &[&str]| texts.iter().map(|text| network(text).unwrap()).collect();
        for (allow, deny, address, expected) in [
            (&[][..], &[][..], "192.0.2.1", true),
            (&["10.0.0.0/8"], &[], "10.1.2.3", true),
            (&["10.0.0.0/8"], &[], "192.0.2.1", false),
            (&["10.0.0.0/8"], &[], "::ffff:10.1.2.3", true),
            (&["10.0.0.0/8"], &["10.1.0.0/16"], "10.1.2.3", false),
            (&[], &["192.0.2.1"], "192.0.2.1", false),
            (&[], &["192.0.2.1"], "192.0.2.2", true),
            (&["2001:db8::/32"], &[], "2001:db8::1", true),
        ] {
            let access = Access::new(nets(allow), nets(deny));
            assert_eq!(
                access.allows(address.parse().unwrap()),
                expected,
                "{address}"
            );
        }
        assert!(network("10.0.0.0/33").is_err());
        assert!(network("somewhere").is_err());
    }
}
