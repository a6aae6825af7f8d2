//! The network that all have between them, with the server in it.

use serde_json::Value;

use super::lab::{Has, Host};
use super::nat::{Firewall, Nat};
use crate::authority::{Authority, NAME};
use crate::home::Home;
use crate::server::Server;

/// The server's addresses.
pub(super) const V4: &str = "203.0.113.10";
pub(super) const OTHER_V4: &str = "203.0.113.11";
pub(super) const V6: &str = "2001:db8:3::10";

/// Listeners for each kind of firewall. Peers at the addresses for documentation, which are used here as if they were
/// public, may be relayed to.
const CONFIGURATION: &str = r#"
[[listener]]
address = ":3478"
transport = "udp"
[[listener]]
address = ":3478"
transport = "tcp"
[[listener]]
address = ":443"
transport = "tls"
[[tls.certificate]]
chain = "chain.pem"
key = "key.pem"
[peers]
allow = ["192.0.2.0/24", "198.51.100.0/24", "2001:db8::/32"]
[turn]
channel_numbers = "rfc5766"
"#;

/// A router with the server behind it, to which others can be connected.
pub(super) struct Site<'a> {
    home: &'a Home,
    internet: Host<'a>,
    pub(super) server: Server,
    _machine: Host<'a>,
}

impl<'a> Site<'a> {
    pub(super) fn new(home: &'a Home) -> Self {
        let authority = Authority::new();
        authority.certify(home, &[NAME]);
        authority.trusted(home);
        home.file("hosts", &format!("{V4} {NAME}\n"));
        let (internet, machine) = (Host::new(home, Has::Both), Host::new(home, Has::Both));
        internet.forwards();
        let addresses = [V4, OTHER_V4].map(|address| format!("{address}/24"));
        let [first, second] = &addresses;
        let gateways = ["203.0.113.1/24", "2001:db8:3::1/64"];
        internet.connect("server", &gateways, &machine, &[first, second, &format!("{V6}/64")]);
        let mut command = machine.command(crate::home::TURNBRIDGE);
        command.arg("--config").arg(home.file("turnbridge.toml", CONFIGURATION));
        let server = Server::start(home, command);
        Self { home, internet, server, _machine: machine }
    }

    /// Two homes, each behind a NAT of its own.
    pub(super) fn homes(&self, kind: Nat, firewall: Firewall) -> [Residence<'a>; 2] {
        [("alice", "198.51.100", "192.168.17"), ("bob", "192.0.2", "10.8.0")].map(
            |(port, outside, inside)| {
                let (nat, peer) = (Host::new(self.home, Has::OnlyV4), Host::new(self.home, Has::OnlyV4));
                self.internet.connect(
                    port,
                    &[&format!("{outside}.1/24")],
                    &nat,
                    &[&format!("{outside}.2/24")],
                );
                nat.connect("inside", &[&format!("{inside}.1/24")], &peer, &[&format!("{inside}.7/24")]);
                nat.is_nat(kind, firewall);
                Residence { nat, peer }
            },
        )
    }

    /// A host with an address that everybody can reach.
    pub(super) fn public(&self, has: Has, port: &str, gateway: &str, address: &str) -> Host<'a> {
        let host = Host::new(self.home, has);
        self.internet.connect(port, &[gateway], &host, &[address]);
        host
    }

    /// Waits until its clients have ended this many allocations; how many packets went through them.
    #[track_caller]
    pub(super) fn relayed(&self, allocations: usize) -> u64 {
        let ended = self.server.ended(allocations);
        let count = |line: &Value, field: &str| line[field].as_u64().unwrap();
        ended.iter().map(|line| count(line, "up_packets") + count(line, "down_packets")).sum()
    }
}

/// Who lives behind a NAT of his own.
pub(super) struct Residence<'a> {
    pub(super) nat: Host<'a>,
    pub(super) peer: Host<'a>,
}
