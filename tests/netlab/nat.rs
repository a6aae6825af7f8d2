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

impl Host<'_> {
    /// Makes a NAT of it that gives each connection a random port of its own, so that one socket is seen under as many
    /// addresses as it has destinations, and lets in only answers: address- and port-dependent mapping and filtering
    /// (RFC 4787 §4.1, §5), which is called symmetric.
    pub(super) fn is_symmetric_nat(&self, firewall: Firewall) {
        self.forwards();
        self.filters(&format!(
            "table ip home {{
                counter blocked {{ }}
                chain nat {{
                    type nat hook postrouting priority srcnat;
                    oifname uplink masquerade fully-random
                }}
                chain firewall {{
                    type filter hook forward priority filter; policy drop;
                    ct state established,related accept
                    {}
                    iifname inside accept
                }}
            }}",
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
