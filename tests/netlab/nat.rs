//! The box in front of a home network: a symmetric NAT and a firewall.

use super::lab::Host;

/// What the firewall lets out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Firewall {
    Open,
    NoUdp,
    OnlyTcp443,
}

impl Firewall {
    /// What is passed on first of all.
    fn rules(self) -> &'static str {
        match self {
            Self::Open => "",
            Self::NoUdp => "meta l4proto udp counter name blocked drop",
            Self::OnlyTcp443 => {
                "tcp dport 443 accept
                meta l4proto tcp counter name blocked reject with tcp reset
                counter name blocked drop"
            }
        }
    }
}

/// Under what address a NAT lets its inhabitants be seen. Both kinds let in only answers: address- and port-dependent
/// filtering (RFC 4787 §5).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Nat {
    /// Each connection gets a random port of its own, so that one socket is seen under as many addresses as it has
    /// destinations: address- and port-dependent mapping (RFC 4787 §4.1).
    Symmetric,
    /// A socket keeps its port towards all destinations.
    KeepsPorts,
}

impl Nat {
    fn masquerade(self) -> &'static str {
        match self {
            Self::Symmetric => "masquerade fully-random",
            Self::KeepsPorts => "masquerade",
        }
    }
}

impl Host<'_> {
    /// Makes a NAT with a firewall of it.
    pub(super) fn is_nat(&self, nat: Nat, firewall: Firewall) {
        self.forwards();
        self.filters(&format!(
            "table ip home {{
                counter blocked {{ }}
                chain nat {{
                    type nat hook postrouting priority srcnat;
                    oifname uplink {}
                }}
                chain unasked {{
                    type filter hook input priority filter; policy drop;
                    ct state established,related accept
                }}
                chain firewall {{
                    type filter hook forward priority filter; policy drop;
                    ct state established,related accept
                    {}
                    iifname inside accept
                }}
            }}",
            nat.masquerade(),
            firewall.rules()
        ));
    }

    /// How many packets the firewall has blocked.
    pub(super) fn blocked(&self) -> u64 {
        let said = self.script("nft list counter ip home blocked");
        let packets = said.split_once("packets ").unwrap().1;
        packets.split_whitespace().next().unwrap().parse().unwrap()
    }
}
