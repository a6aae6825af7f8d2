//! Ranges of addresses as coturn writes them, "first-last", as the networks they consist of.

use ipnet::{IpNet, IpSubnets, Ipv4Subnets, Ipv6Subnets};
use std::net::IpAddr;

/// The fewest networks that hold exactly the addresses of `text`: one address, or the first and the last of many.
pub(super) fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    let expected = || format!("{text:?} is not a range: expected an IP address, or two as \"first-last\"");
    let read = |part: &str| part.trim().parse::<IpAddr>().map_err(|_| expected());
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (read(first)?, read(last)?),
        None if text.contains('/') => {
            return Err(format!("{text:?}: coturn does not know this way to write a range, and ignores it"));
        }
        None => (read(text)?, read(text)?),
    };
    let subnets = match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => {
            IpSubnets::V4(Ipv4Subnets::new(first, last, 0))
        }
        (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => {
            IpSubnets::V6(Ipv6Subnets::new(first, last, 0))
        }
        (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
            return Err(format!("{text:?} ends before it begins"));
        }
        _ => return Err(format!("{text:?} joins an IPv4 and an IPv6 address")),
    };
    Ok(subnets.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<String, String> {
        networks(text).map(|nets| nets.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn ranges_become_exactly_their_networks() {
        let cases = [
            ("10.0.0.0-10.255.255.255", "10.0.0.0/8"),
            ("83.166.64.0-83.166.95.255", "83.166.64.0/19"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("192.0.2.1-192.0.2.6", "192.0.2.1/32 192.0.2.2/31 192.0.2.4/31 192.0.2.6/32"),
            ("0.0.0.0-255.255.255.255", "0.0.0.0/0"),
            (" 192.0.2.0 - 192.0.2.1 ", "192.0.2.0/31"),
            ("::1", "::1/128"),
            ("fc00::-fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fc00::/7"),
            ("2001:db8::-2001:db8::2", "2001:db8::/127 2001:db8::2/128"),
            ("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::/0"),
        ];
        for (text, expected) in cases {
            assert_eq!(shown(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn the_networks_of_a_range_hold_its_ends_and_not_their_neighbours() {
        for (first, last) in [(1, 2), (0, 0), (7, 4_000_000_000), (3_232_235_521, u32::MAX)] {
            let nets = networks(&format!(
                "{}-{}",
                IpAddr::from(u32::to_be_bytes(first)),
                IpAddr::from(u32::to_be_bytes(last))
            ))
            .unwrap();
            let holds =
                |ip: u32| nets.iter().filter(|net| net.contains(&IpAddr::from(ip.to_be_bytes()))).count();
            assert_eq!((holds(first), holds(last), holds(first / 2 + last / 2)), (1, 1, 1));
            assert_eq!(first.checked_sub(1).map_or(0, holds) + last.checked_add(1).map_or(0, holds), 0);
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        let cases = [
            ("", "is not a range"),
            ("10.0.0.1-", "is not a range"),
            ("example.org", "is not a range"),
            ("10.0.0.2-10.0.0.1", "ends before it begins"),
            ("10.0.0.1-::1", "joins an IPv4 and an IPv6"),
            ("10.0.0.0/8", "coturn does not know"),
        ];
        for (text, expected) in cases {
            assert!(shown(text).unwrap_err().contains(expected), "{text}");
        }
    }
}
