//! What an SPF record says of an address, as far as it says it by itself: RFC 7208.

use std::net::IpAddr;

use ipnet::IpNet;

/// What a record says of an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// It may send.
    Passes,
    /// Nothing in the record lets it.
    Fails,
    /// That stands in other records, which were not asked for.
    Elsewhere,
}

/// Whether a text is an SPF record, RFC 7208, 4.5.
pub(super) fn is_one(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text == "v=spf1" || text.starts_with("v=spf1 ")
}

/// What a record says of an address; `own` are the domain's addresses, `exchangers` those of its
/// exchangers.
pub(super) fn verdict(
    text: &str,
    address: IpAddr,
    own: &[IpAddr],
    exchangers: &[IpAddr],
) -> Verdict {
    let mut elsewhere = false;
    for term in text.split_ascii_whitespace().skip(1) {
        let (qualifier, mechanism) = match term.as_bytes().first() {
            Some(b'+' | b'-' | b'~' | b'?') => term.split_at(1),
            _ => ("+", term),
        };
        let mechanism = mechanism.to_ascii_lowercase();
        let (name, value) = match mechanism.split_once([':', '=']) {
            Some((name, value)) => (name, Some(value)),
            None => (mechanism.as_str(), None),
        };
        let fits = match (name, value) {
            ("all", _) => true,
            ("ip4" | "ip6", Some(value)) => net(value).is_some_and(|net| net.contains(&address)),
            ("a", None) => own.contains(&address),
            ("mx", None) => exchangers.contains(&address),
            ("exp" | "ptr", _) => false,
            _ => {
                elsewhere = true;
                false
            }
        };
        if fits && qualifier == "+" {
            return Verdict::Passes;
        }
        if fits {
            break;
        }
    }
    if elsewhere {
        Verdict::Elsewhere
    } else {
        Verdict::Fails
    }
}

/// The terms of a record that name an address, or this host.
pub(super) fn names<'a>(text: &'a str, address: &[IpAddr], host: &str) -> Vec<&'a str> {
    let terms = text.split_ascii_whitespace().skip(1);
    let named = terms.filter(|term| {
        let term = term.trim_start_matches(['+', '?', '~', '-']);
        let term = term.to_ascii_lowercase();
        match term.split_once(':') {
            Some(("ip4" | "ip6", value)) => net(value).is_some_and(|net| {
                net.prefix_len() == net.max_prefix_len() && address.contains(&net.addr())
            }),
            Some(("a", value)) => !host.is_empty() && value.split('/').next() == Some(host),
            _ => false,
        }
    });
    named.collect()
}

fn net(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| {
        text.parse()
            .ok()
            .map(|address: IpAddr| IpNet::from(address))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_passes_by_its_own_mechanism() {
        let own = [ip("192.0.2.80")];
        let exchangers = [ip("192.0.2.25")];
        let verdict = |text, address| verdict(text, ip(address), &own, &exchangers);
        assert_eq!(
            verdict("v=spf1 ip4:192.0.2.0/24 -all", "192.0.2.7"),
            Verdict::Passes
        );
        assert_eq!(
            verdict("v=spf1 ip4:192.0.2.7 -all", "192.0.2.8"),
            Verdict::Fails
        );
        assert_eq!(verdict("v=spf1 mx ~all", "192.0.2.25"), Verdict::Passes);
        assert_eq!(verdict("v=spf1 a mx ~all", "192.0.2.80"), Verdict::Passes);
        assert_eq!(verdict("v=spf1 mx ~all", "192.0.2.26"), Verdict::Fails);
        assert_eq!(
            verdict("v=spf1 ip6:2001:db8::/32 -all", "2001:db8::1"),
            Verdict::Passes
        );
        assert_eq!(
            verdict("v=spf1 include:_spf.example.net -all", "192.0.2.7"),
            Verdict::Elsewhere
        );
        // What comes before decides, whatever follows.
        assert_eq!(
            verdict("v=spf1 -ip4:192.0.2.7 +all", "192.0.2.7"),
            Verdict::Fails
        );
        assert_eq!(verdict("v=spf1", "192.0.2.7"), Verdict::Fails);
        assert_eq!(
            verdict("v=spf1 redirect=example.net", "192.0.2.7"),
            Verdict::Elsewhere
        );
    }

    #[test]
    fn terms_that_name_a_host_are_found() {
        let text = "v=spf1 ip4:192.0.2.10 ip4:192.0.2.0/24 a:old.example.org mx -all";
        assert_eq!(
            names(text, &[ip("192.0.2.10")], "old.example.org"),
            ["ip4:192.0.2.10", "a:old.example.org"]
        );
    }

    #[test]
    fn other_texts_are_no_record() {
        assert!(is_one("v=spf1 -all"));
        assert!(is_one("V=SPF1"));
        assert!(!is_one("v=spf10 -all"));
        assert!(!is_one("google-site-verification=x"));
    }
}
