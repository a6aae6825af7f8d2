//! NATs of every kind, and other people's clients that have to find out which kind it is from the server's answers
//! (RFC 5780 §4; RFC 3489 §10.1).

use super::lab::{Has, Host, is_possible};
use crate::home::{Home, TURNBRIDGE};
use crate::server::Server;
use crate::tools::{find, run, skip, skip_for_want_of};

/// A NAT, and what clients have to say of it.
struct Nat {
    name: &'static str,
    /// For nftables; `$client` is the client's address, `$second` the server's second one and `$other` the NAT's.
    chains: &'static str,
    /// As RFC 4787 §4.1 and §5 call it.
    mapping: &'static str,
    filtering: &'static str,
    /// As Debian's `stun` calls it.
    classic: &'static str,
}

/// The outside of the NAT keeps the port wherever the client sends to, and passes everything to the client.
const OPEN: Nat = Nat {
    name: "nat-open",
    chains: "chain out { type nat hook postrouting priority srcnat
            oifname uplink masquerade
        }
        chain in { type nat hook prerouting priority dstnat
            iifname uplink udp dport 1024-65535 dnat to $client
        }",
    mapping: "Endpoint Independent Mapping",
    filtering: "Endpoint Independent Filtering",
    classic: "Independent Mapping, Independent Filter",
};

/// Passes what comes from addresses that the client's port has sent to.
const ADDRESS_RESTRICTED: Nat = Nat {
    name: "nat-address",
    chains: "set asked { type ipv4_addr . inet_service
            flags dynamic
            size 1000
        }
        chain note { type filter hook forward priority filter
            iifname inside add @asked { ip daddr . udp sport }
        }
        chain out { type nat hook postrouting priority srcnat
            oifname uplink masquerade
        }
        chain in { type nat hook prerouting priority dstnat
            iifname uplink ip saddr . udp dport @asked dnat to $client
        }",
    mapping: "Endpoint Independent Mapping",
    filtering: "Address Dependent Filtering",
    classic: "Independent Mapping, Address Dependent Filter",
};

/// What Linux does by itself: passes answers alone.
const PORT_RESTRICTED: Nat = Nat {
    name: "nat-port",
    chains: "chain out { type nat hook postrouting priority srcnat
            oifname uplink masquerade
        }",
    mapping: "Endpoint Independent Mapping",
    filtering: "Address and Port Dependent Filtering",
    classic: "Independent Mapping, Port Dependent Filter",
};

/// Shows another of its addresses to the server's second one.
const BY_ADDRESS: Nat = Nat {
    name: "nat-by-address",
    chains: "chain out { type nat hook postrouting priority srcnat
            oifname uplink ip daddr $second snat to $other
            oifname uplink masquerade
        }",
    mapping: "Address Dependent Mapping",
    filtering: "Address and Port Dependent Filtering",
    classic: "Dependent Mapping",
};

/// Takes a random port for each destination.
const SYMMETRIC: Nat = Nat {
    name: "nat-symmetric",
    chains: "chain out { type nat hook postrouting priority srcnat
            oifname uplink masquerade fully-random
        }",
    mapping: "Address and Port Dependent Mapping",
    filtering: "Address and Port Dependent Filtering",
    classic: "Dependent Mapping",
};

/// A client that does exactly what RFC 5780 §4.3 and §4.4 say.
const DISCOVERY: &str = include_str!("discovery.py");

impl Nat {
    /// What stuntman's client and ours have to say.
    fn verdict(&self) -> String {
        format!("Nat behavior: {}\nNat filtering: {}", self.mapping, self.filtering)
    }
}

/// The server's addresses.
const FIRST: &str = "198.51.100.1";
const SECOND: &str = "198.51.100.2";
/// The NAT's, or that of a client without one.
const OUTSIDE: &str = "198.51.100.9";
const OTHER_OUTSIDE: &str = "198.51.100.10";
const INSIDE: &str = "192.168.17.1";
const CLIENT: &str = "192.168.17.7";

/// A server, and a client behind a NAT.
struct Lab<'a> {
    client: Host<'a>,
    nat: Host<'a>,
    machine: Host<'a>,
    _server: Server,
}

impl<'a> Lab<'a> {
    fn new(home: &'a Home, nat: &Nat) -> Self {
        let [machine, router, client] = [0; 3].map(|_| Host::new(home, Has::OnlyV4));
        machine.connect("wan", &[&net(FIRST)], &router, &[&net(OUTSIDE), &net(OTHER_OUTSIDE)]);
        machine.script(&format!("ip address add {} dev wan", net(SECOND)));
        router.connect("inside", &[&net(INSIDE)], &client, &[&net(CLIENT)]);
        router.forwards();
        // What the NAT does not pass on must leave no trace in it either.
        router.filters(&format!(
            "table ip home {{
                {}
                chain own {{ type filter hook input priority filter
                    iifname uplink meta l4proto udp drop
                }}
            }}",
            nat.chains.replace("$client", CLIENT).replace("$second", SECOND).replace("$other", OTHER_OUTSIDE)
        ));
        let server = serve(home, &machine, &[FIRST, SECOND], &[]);
        Self { client, nat: router, machine, _server: server }
    }

    /// Runs a client with these flags against the server's first address; what it says.
    fn ask(&self, program: &str, flags: &[&str]) -> String {
        ask(&self.client, program, flags, FIRST)
    }
}

fn net(address: &str) -> String {
    format!("{address}/24")
}

fn serve(home: &Home, machine: &Host<'_>, addresses: &[&str], settings: &[&str]) -> Server {
    let mut command = machine.command(TURNBRIDGE);
    command.args(["--set", &format!("nat_discovery.addresses={}", addresses.join(","))]);
    command.args(["--set", "nat_discovery.classic=true"]);
    for setting in settings {
        command.args(["--set", setting]);
    }
    Server::start(home, command)
}

fn ask(host: &Host<'_>, program: &str, flags: &[&str], server: &str) -> String {
    let mut command = host.command(program);
    command.args(flags).arg(server);
    let (_, said) = run(command);
    assert!(!said.contains("ALG:") || said.contains("No ALG: Mapped == XOR-Mapped"), "{said}");
    said
}

/// Makes a home for a test, if the network can be made and both clients are here.
fn home(name: &str) -> Option<Home> {
    let home = Home::new(name);
    for tool in ["turnutils_natdiscovery", "stun", "python3"] {
        if find(tool).is_none() {
            skip_for_want_of(tool);
            return None;
        }
    }
    is_possible(&home).then_some(home)
}

/// All clients have to say what the NAT is.
fn every_client_knows(nat: &Nat) {
    let Some(home) = home(nat.name) else { return };
    let lab = Lab::new(&home, nat);
    let script = home.file("discovery.py", DISCOVERY);
    let said = lab.ask("python3", &[script.to_str().unwrap()]);
    assert!(said.contains(&nat.verdict()), "{}: {said}", nat.verdict());
    // Its third test of the mapping is not that of RFC 5780 §4.3: it asks the first address again.
    let mapping = if nat.name == BY_ADDRESS.name { SYMMETRIC.mapping } else { nat.mapping };
    for (flag, verdict) in [("-m", mapping), ("-f", nat.filtering)] {
        let said = lab.ask("turnutils_natdiscovery", &[flag]);
        assert!(said.contains(&format!("NAT with {verdict}!")), "{verdict}: {said}");
    }
    // It waits for no more than a second in all, which a busy machine may not have.
    let said =
        (0..5).map(|_| lab.ask("stun", &[])).find(|said| !said.contains("Blocked")).unwrap_or_default();
    assert!(said.contains(&format!("Primary: {}", nat.classic)), "{}: {said}", nat.classic);
}

#[test]
fn a_nat_that_is_open_to_all_is_known() {
    every_client_knows(&OPEN);
}

#[test]
fn a_nat_that_passes_the_addresses_that_were_asked_is_known() {
    every_client_knows(&ADDRESS_RESTRICTED);
}

#[test]
fn a_nat_that_passes_answers_alone_is_known() {
    every_client_knows(&PORT_RESTRICTED);
}

#[test]
fn a_nat_that_maps_by_destination_address_is_known() {
    every_client_knows(&BY_ADDRESS);
}

#[test]
fn a_symmetric_nat_is_known() {
    every_client_knows(&SYMMETRIC);
}

/// Debian does not have stuntman's client; where it is installed it has to agree.
#[test]
fn stunclient_knows_every_nat() {
    if find("stunclient").is_none() {
        return skip("stunclient (stuntman) is not installed, and Debian does not have it");
    }
    // It asks everything from one port, so that an address is known to the NAT when filtering by address is tested.
    for nat in [OPEN, PORT_RESTRICTED, BY_ADDRESS, SYMMETRIC] {
        let Some(home) = home(&format!("stuntman-{}", nat.name)) else { return };
        let said = Lab::new(&home, &nat).ask("stunclient", &["--mode", "full"]);
        for verdict in nat.verdict().lines() {
            assert!(said.contains(verdict), "{verdict}: {said}");
        }
    }
}

/// RFC 5780 §4.6: the answer to a second port's request goes to the first one's mapping, for as long as there is one.
#[test]
fn response_port_finds_out_how_long_a_mapping_lives() {
    let Some(home) = home("nat-lifetime") else { return };
    let lab = Lab::new(&home, &PORT_RESTRICTED);
    let said = lab.ask("turnutils_natdiscovery", &["-t", "-T", "1"]);
    assert!(said.contains("RFC 5780 response 2") && !said.contains("timeout"), "{said}");
    lab.nat.script(
        "cd /proc/sys/net/netfilter
        for timeout in nf_conntrack_udp_timeout nf_conntrack_udp_timeout_stream; do echo 1 > $timeout; done",
    );
    let said = lab.ask("turnutils_natdiscovery", &["-t", "-T", "3"]);
    assert!(said.contains("RFC 5780 response 1") && said.contains("STUN receive timeout"), "{said}");
}

/// RFC 5780 §3.5: with padding both the requests and the answers are fragmented, and the verdicts are the same.
#[test]
fn padded_answers_are_fragmented_and_arrive() {
    let Some(home) = home("nat-padding") else { return };
    let lab = Lab::new(&home, &OPEN);
    let fragmented = || -> u64 {
        let said = lab.machine.script("cat /proc/net/snmp");
        let rows: Vec<Vec<&str>> = said
            .lines()
            .filter_map(|line| line.strip_prefix("Ip: "))
            .map(|line| line.split_whitespace().collect())
            .collect();
        let column = rows[0].iter().position(|name| *name == "FragOKs").unwrap();
        rows[1][column].parse().unwrap()
    };
    for (flag, verdict, answers) in [("-m", OPEN.mapping, 2), ("-f", OPEN.filtering, 2)] {
        let before = fragmented();
        let said = lab.ask("turnutils_natdiscovery", &[flag, "-P"]);
        assert!(said.contains(&format!("NAT with {verdict}!")), "{said}");
        assert!(fragmented() >= before + answers, "{said}");
    }
}

/// In the open, over both families.
#[test]
fn a_client_in_the_open_finds_no_nat() {
    let Some(home) = home("nat-none") else { return };
    let [machine, client] = [0; 2].map(|_| Host::new(&home, Has::Both));
    machine.connect("wan", &[&net(FIRST), "2001:db8::1/64"], &client, &[&net(OUTSIDE), "2001:db8::9/64"]);
    machine.script(&format!(
        "ip address add {} dev wan; ip address add 2001:db8::2/64 dev wan nodad",
        net(SECOND)
    ));
    let addresses = [FIRST, SECOND, "2001:db8::1", "2001:db8::2"];
    let _server = serve(&home, &machine, &addresses, &[]);
    for (server, own) in [(FIRST, OUTSIDE), ("2001:db8::1", "2001:db8::9")] {
        for flag in ["-m", "-f"] {
            let said = ask(&client, "turnutils_natdiscovery", &[flag, "-L", own], server);
            assert!(said.contains("No NAT! (Endpoint Independent Mapping)"), "{said}");
            assert!(!said.contains("timeout"), "{said}");
        }
    }
    let said = (0..5).map(|_| ask(&client, "stun", &[], FIRST)).find(|said| !said.contains("Blocked"));
    assert!(said.as_ref().is_some_and(|said| said.contains("Primary: Open")), "{said:?}");
}

/// A server that has a 1:1 NAT in front of each of its addresses, like in a cloud, tells their public names.
#[test]
fn a_server_behind_a_one_to_one_nat_tells_its_public_addresses() {
    let Some(home) = home("nat-cloud") else { return };
    let [machine, cloud, client] = [0; 3].map(|_| Host::new(&home, Has::OnlyV4));
    cloud.connect("inside", &[&net("10.0.0.1")], &machine, &[&net("10.0.0.5"), &net("10.0.0.6")]);
    cloud.connect("outside", &[&net(FIRST)], &client, &[&net(OUTSIDE)]);
    cloud.script(&format!("ip address add {} dev outside", net(SECOND)));
    cloud.forwards();
    let rules: String = [(FIRST, "10.0.0.5"), (SECOND, "10.0.0.6")]
        .iter()
        .map(|(public, private)| {
            format!(
                "add rule ip cloud in ip daddr {public} dnat to {private}
                add rule ip cloud out ip saddr {private} snat to {public}\n"
            )
        })
        .collect();
    cloud.filters(&format!(
        "add table ip cloud
        add chain ip cloud in {{ type nat hook prerouting priority dstnat; }}
        add chain ip cloud out {{ type nat hook postrouting priority srcnat; }}
        {rules}"
    ));
    let external = format!("relay.external={FIRST}/10.0.0.5,{SECOND}/10.0.0.6");
    let _server = serve(&home, &machine, &["10.0.0.5", "10.0.0.6"], &[&external]);
    for flag in ["-m", "-f"] {
        let said = ask(&client, "turnutils_natdiscovery", &[flag, "-L", OUTSIDE], FIRST);
        assert!(said.contains("No NAT! (Endpoint Independent Mapping)"), "{said}");
        assert!(
            said.contains(&format!("Other addr: : {SECOND}:3479")) && !said.contains("timeout"),
            "{said}"
        );
    }
}
