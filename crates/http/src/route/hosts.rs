use std::collections::HashMap;

use doorstep_model::{HostPattern, HostPolicy, Hostname, ip_literal};

/// Which site answers to a name. The cost of a look-up does not grow with the number of sites.
#[derive(Default)]
pub(super) struct Hosts {
    exact: HashMap<Box<str>, Named>,
    /// By what follows `*.`.
    wildcard: HashMap<Box<str>, Named>,
    local: Option<Named>,
    any: Option<Named>,
}

/// A site by its place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub site: usize,
    /// Whether the name only leads on to the site's own.
    pub is_alias: bool,
}

impl Hosts {
    /// Where two sites claim the same, the first has it.
    pub(super) fn add(&mut self, site: usize, policy: &HostPolicy, aliases: &[HostPattern]) {
        let named = Named { site, is_alias: false };
        match policy {
            HostPolicy::Any => {
                self.any.get_or_insert(named);
            }
            HostPolicy::Local { also } => {
                self.local.get_or_insert(named);
                also.iter().for_each(|name| self.add_name(&HostPattern::Exact(name.clone()), named));
            }
            HostPolicy::Names(names) => names.iter().for_each(|name| self.add_name(name, named)),
        }
        aliases.iter().for_each(|name| self.add_name(name, Named { site, is_alias: true }));
    }

    fn add_name(&mut self, pattern: &HostPattern, named: Named) {
        let (names, name) = match pattern {
            HostPattern::Exact(name) => (&mut self.exact, name),
            HostPattern::Wildcard(name) => (&mut self.wildcard, name),
        };
        names.entry(name.as_str().into()).or_insert(named);
    }

    /// Exact before wildcard, of wildcards the longest, then a site for local names, then the default. `host` is lower
    /// case and has no port.
    pub(super) fn find(&self, host: &str) -> Option<Named> {
        self.find_named(host).or_else(|| self.find_unnamed(host))
    }

    /// The site that has this very name, or a wildcard for it.
    pub(super) fn find_named(&self, host: &str) -> Option<Named> {
        let name = host.strip_suffix('.').unwrap_or(host);
        if !self.exact.is_empty()
            && let Some(named) = self.exact.get(name)
        {
            return Some(*named);
        }
        if !self.wildcard.is_empty() {
            let mut rest = name;
            while let Some((label, parent)) = rest.split_once('.') {
                if let Some(named) = self.wildcard.get(parent).filter(|_| !label.is_empty()) {
                    return Some(*named);
                }
                rest = parent;
            }
        }
        None
    }

    /// The site for local names, or the default one.
    pub(super) fn find_unnamed(&self, host: &str) -> Option<Named> {
        self.local.filter(|_| is_local(host)).or(self.any)
    }
}

/// What no web page on the internet can make a browser say. An HTTP/1.0 client without Host is no browser, so no page
/// can have sent it here.
fn is_local(host: &str) -> bool {
    host.is_empty() || ip_literal(host).is_some() || host.parse::<Hostname>().is_ok_and(|name| name.is_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> HostPolicy {
        HostPolicy::Names(names.iter().map(|name| name.parse().unwrap()).collect())
    }

    fn site(hosts: &Hosts, host: &str) -> Option<usize> {
        hosts.find(host).map(|named| named.site)
    }

    #[test]
    fn the_most_specific_name_wins() {
        let mut hosts = Hosts::default();
        hosts.add(0, &names(&["*.example.com"]), &[]);
        hosts.add(1, &names(&["*.dev.example.com", "example.com"]), &["www.example.com".parse().unwrap()]);
        hosts.add(2, &names(&["a.example.com", "example.com"]), &[]);
        for (host, expected) in [
            ("a.example.com", Some(2)),
            ("a.example.com.", Some(2)),
            ("b.example.com", Some(0)),
            ("b.a.example.com", Some(0)),
            ("x.dev.example.com", Some(1)),
            ("dev.example.com", Some(0)),
            ("example.com", Some(1)),
            (".example.com", None),
            ("badexample.com", None),
            ("192.0.2.1", None),
            ("[2001:db8::1]", None),
            ("", None),
            (".", None),
        ] {
            assert_eq!(site(&hosts, host), expected, "{host}");
        }
        assert_eq!(hosts.find("www.example.com"), Some(Named { site: 1, is_alias: true }));
        hosts.add(3, &HostPolicy::Any, &[]);
        assert_eq!(site(&hosts, "192.0.2.1"), Some(3));
    }

    #[test]
    fn only_names_that_no_foreign_page_can_claim() {
        let mut hosts = Hosts::default();
        hosts.add(0, &HostPolicy::Local { also: vec!["blog.example.com".parse().unwrap()] }, &[]);
        for host in
            ["localhost", "127.0.0.1", "[::1]", "192.168.1.23", "nas", "my-laptop.local", "blog.example.com", ""]
        {
            assert_eq!(site(&hosts, host), Some(0), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "example.com", "192.168.1.23.nip.io"] {
            assert_eq!(site(&hosts, host), None, "{host}");
        }
    }
}
