//! Two peers of werift, WebRTC in TypeScript: data channels and RTP.

use super::relay::Relay;
use crate::home::Home;
use crate::tools::{find, run, skip_for_want_of};

const PEERS: &str = include_str!("werift.mjs");

/// What goes there and comes back.
const BLOB: u64 = 1 << 20;

fn talk(over: &'static str) {
    // Where npm has put it; `tests/run` does that.
    let Ok(modules) = std::env::var("TURNBRIDGE_TESTS_NODE") else { return skip_for_want_of("werift") };
    let Some(node) = find("node") else { return skip_for_want_of("node") };
    let home = Home::new(&format!("werift-{over}"));
    let mut relay = Relay::over(over, &home, "");
    let mut command = relay.client(node.to_str().unwrap());
    command.arg(home.file("peers.mjs", PEERS)).arg(modules).arg(relay.url());
    command.args([&relay.credential.username, &relay.credential.password]);
    let (code, said) = run(command);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("relay/relay: 1000 messages, 1048576 bytes, 50 packets"), "{said}");
    relay.has_carried(2 * BLOB);
}

#[test]
fn two_peers_of_werift_talk_over_udp() {
    talk("udp");
}

#[test]
fn two_peers_of_werift_talk_over_tcp() {
    talk("tcp");
}

#[test]
fn two_peers_of_werift_talk_over_tls() {
    talk("tls");
}
