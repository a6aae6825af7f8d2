//! Sets of address ranges: sorted, merged, searched in logarithmic time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Ranges of both families, which never overlap.
#[derive(Clone, Debug, Default)]
pub(in crate::turn) struct Ranges {
    v4: Vec<(Ipv4Addr, Ipv4Addr)>,
    v6: Vec<(Ipv6Addr, Ipv6Addr)>,
}

impl Ranges {
    pub(in crate::turn) fn new(nets: &[IpNet]) -> Self {
        let mut ranges = Self::default();
        for net in nets {
            match net {
                IpNet::V4(net) => ranges.v4.push((net.network(), net.broadcast())),
                IpNet::V6(net) => ranges.v6.push((net.network(), net.broadcast())),
            }
        }
        merge(&mut ranges.v4);
        merge(&mut ranges.v6);
        ranges
    }

    pub(in crate::turn) fn contains(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => find(&self.v4, ip),
            IpAddr::V6(ip) => find(&self.v6, ip),
        }
    }
}

/// Networks either nest or are apart, so a range that begins inside its predecessor also ends inside it.
fn merge<T: Ord + Copy>(ranges: &mut Vec<(T, T)>) {
    ranges.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
    ranges.dedup_by(|next, previous| next.0 <= previous.1);
}

fn find<T: Ord + Copy>(ranges: &[(T, T)], ip: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= ip);
    after.checked_sub(1).is_some_and(|place| ip <= ranges[place].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_and_repeated_networks_are_one() {
        let nets = ["10.0.0.0/8", "10.1.0.0/16", "10.0.0.0/8", "10.255.0.0/16", "11.0.0.0/32"];
        let ranges = Ranges::new(&nets.map(|net| net.parse().unwrap()));
        assert_eq!(ranges.v4.len(), 2);
        for (ip, inside) in [
            ("9.255.255.255", false),
            ("10.0.0.0", true),
            ("10.200.0.0", true),
            ("10.255.255.255", true),
            ("11.0.0.0", true),
            ("11.0.0.1", false),
            ("::a00:1", false),
        ] {
            assert_eq!(ranges.contains(ip.parse().unwrap()), inside, "{ip}");
        }
    }
}
