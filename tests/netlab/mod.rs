//! Networks as they are between people who call each other: NATs, firewalls, and hosts of different families. Each test
//! builds its own of network namespaces; real ICE agents have to find each other in them.

mod agents;
mod lab;
mod nat;
mod nat_discovery;
mod site;

use serde_json::{Value, json};

use crate::authority::NAME;
use crate::home::Home;
use crate::interop::python::python;
use crate::server::Credential;
use crate::tools::run;
use agents::{Agents, Turn};
use lab::Has;
use nat::{Firewall, Nat};
use site::{OTHER_V4, Site, V4, V6};

const OVER_UDP: Turn = (NAME, 3478, "udp");
const OVER_TCP: Turn = (NAME, 3478, "tcp");
const OVER_TLS: Turn = (NAME, 443, "tls");

/// Messages go there and back.
const MESSAGES: u64 = 100;

#[test]
fn peers_behind_symmetric_nats_meet_through_the_relay() {
    with_site("symmetric-turn", |site, agents| {
        let [a, b] = site.homes(Nat::Symmetric, Firewall::Open);
        for residence in [&a, &b] {
            let seen = agents.mapping(&residence.peer, &[&format!("{V4}:3478"), &format!("{OTHER_V4}:3478")]);
            assert_eq!(seen[0].ip(), seen[1].ip());
            assert_ne!(seen[0].port(), seen[1].port(), "the NAT is not symmetric");
        }
        let met = agents.meet((&a.peer, Some(OVER_UDP)), (&b.peer, Some(OVER_UDP)));
        for agent in &met {
            assert_eq!(agent["candidates"], json!(["host", "relay", "srflx"]));
            assert_through_the_relay(agent);
        }
        assert!(site.relayed(2) >= 2 * MESSAGES);
    });
}

#[test]
fn peers_behind_symmetric_nats_do_not_meet_without_the_relay() {
    with_site("symmetric-stun", |site, agents| {
        let [a, b] = site.homes(Nat::Symmetric, Firewall::Open);
        for agent in agents.meet((&a.peer, None), (&b.peer, None)) {
            assert_eq!(agent["candidates"], json!(["host", "srflx"]));
            assert!(agent["failed"].is_string(), "{agent}");
        }
    });
}

/// So it is the symmetry that keeps the others apart.
#[test]
fn peers_behind_nats_that_keep_ports_meet_without_the_relay() {
    with_site("keep-ports", |site, agents| {
        let [a, b] = site.homes(Nat::KeepsPorts, Firewall::Open);
        for residence in [&a, &b] {
            let seen = agents.mapping(&residence.peer, &[&format!("{V4}:3478"), &format!("{OTHER_V4}:3478")]);
            assert_eq!(seen[0], seen[1]);
        }
        for agent in agents.meet((&a.peer, None), (&b.peer, None)) {
            assert_eq!(agent["messages"], MESSAGES, "{agent}");
            assert_eq!(agent["candidates"], json!(["host", "srflx"]));
        }
    });
}

#[test]
fn peers_whose_firewalls_block_udp_meet_over_tcp() {
    assert_meet_behind("no-udp", Firewall::NoUdp, OVER_UDP, OVER_TCP);
}

#[test]
fn peers_whose_firewalls_pass_only_port_443_meet_over_tls() {
    assert_meet_behind("only-443", Firewall::OnlyTcp443, OVER_TCP, OVER_TLS);
}

/// Peers behind this firewall get no relay address in the one way, and meet by the relay in the other.
fn assert_meet_behind(name: &'static str, firewall: Firewall, blocked: Turn, passed: Turn) {
    with_site(name, |site, agents| {
        let [a, b] = site.homes(Nat::Symmetric, firewall);
        assert_eq!(agents.candidates(&a.peer, blocked), json!(["host"]));
        let met = agents.meet((&a.peer, Some(passed)), (&b.peer, Some(passed)));
        for (agent, residence) in met.iter().zip([&a, &b]) {
            // What the STUN server was asked was lost.
            assert_eq!(agent["candidates"], json!(["host", "relay"]));
            assert!(residence.nat.blocked() > 0);
            assert_through_the_relay(agent);
        }
        assert!(site.relayed(2) >= 2 * MESSAGES);
    });
}

/// One is behind a firewall that passes only port 443, the other behind none.
#[test]
fn a_peer_behind_a_firewall_meets_one_in_the_open() {
    with_site("one-walled", |site, agents| {
        let [a, _] = site.homes(Nat::Symmetric, Firewall::OnlyTcp443);
        let open = site.public(Has::OnlyV4, "open", "198.51.100.129/25", "198.51.100.130/25");
        let [walled, open] = agents.meet((&a.peer, Some(OVER_TLS)), (&open, None));
        assert_eq!(walled["pair"][0], "relay", "{walled}");
        assert_eq!(open["pair"][0], "host", "{open}");
        assert!(site.relayed(1) >= 2 * MESSAGES);
    });
}

/// The relay address of a client that does not ask for a family is an IPv4 address (RFC 8656 §7.2).
#[test]
fn a_peer_with_only_ipv6_meets_one_with_only_ipv4() {
    with_site("ice-6-to-4", |site, agents| {
        let six = site.public(Has::OnlyV6, "six", "2001:db8:6::1/64", "2001:db8:6::7/64");
        let four = site.public(Has::OnlyV4, "four", "192.0.2.1/24", "192.0.2.7/24");
        let [at_six, at_four] = agents.meet((&six, Some((V6, 3478, "udp"))), (&four, None));
        assert_eq!((&at_six["pair"], &at_four["pair"][0]), (&json!(["relay", "host"]), &json!("host")));
        assert!(site.relayed(1) >= 2 * MESSAGES);
    });
}

#[test]
fn a_client_reaches_a_peer_of_the_other_family_by_asking_for_such_an_address() {
    with_site("families", |site, agents| {
        let six = site.public(Has::OnlyV6, "six", "2001:db8:6::1/64", "2001:db8:6::7/64");
        let four = site.public(Has::OnlyV4, "four", "192.0.2.1/24", "192.0.2.7/24");
        let cases = [(&six, V6, "-X", &four, "192.0.2.7"), (&four, V4, "-x", &six, "2001:db8:6::7")];
        for (client, server, family, peer, address) in cases {
            let _echo = peer.echoes(address);
            for transport in [&[][..], &["-t"]] {
                let mut command = client.command("turnutils_uclient");
                let credential = &agents.credential;
                command.args([
                    "-u",
                    &credential.username,
                    "-w",
                    &credential.password,
                    "-c",
                    "-m",
                    "4",
                    "-n",
                    "10",
                ]);
                command.args([family, "-e", address, "-r", "3480"]).args(transport).arg(server);
                let (code, said) = run(command);
                assert!(code == Some(0) && said.contains("Total lost packets 0 (0.000000%)"), "{said}");
                assert!(said.contains("tot_recv_msgs=40"), "{said}");
            }
        }
        // Each client has its echo: every message went there and came back.
        assert!(site.relayed(16) >= 4 * 2 * 40);
    });
}

#[track_caller]
fn assert_through_the_relay(agent: &Value) {
    assert_eq!(agent["messages"], MESSAGES, "{agent}");
    assert!(agent["pair"].as_array().unwrap().contains(&json!("relay")), "{agent}");
}

/// Runs a test with a server that has a name and addresses of both families, if that can be made here.
fn with_site(name: &'static str, test: impl FnOnce(&Site<'_>, &Agents<'_>)) {
    let home = Home::new(name);
    if !lab::is_possible(&home) {
        return;
    }
    let Some(python) = python(&home, "aioice") else { return };
    let site = Site::new(&home);
    let credential = Credential::minted(&home.secret().unwrap(), "anybody", 3600);
    test(&site, &Agents { home: &home, python, stun: V4, credential });
}
