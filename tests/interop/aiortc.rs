//! Two peers of aiortc, Python's WebRTC: data channels, sound and pictures.

use super::python::python;
use super::relay::Relay;
use crate::home::Home;
use crate::tools::run;

const PEERS: &str = include_str!("aiortc.py");

/// What goes there and comes back.
const BLOB: u64 = 1 << 20;

fn talk(over: &'static str) {
    let home = Home::new(&format!("aiortc-{over}"));
    let Some(python) = python(&home, "aiortc") else { return };
    let mut relay = Relay::over(over, &home, "");
    let mut command = relay.client(&python);
    command.arg(home.file("peers.py", PEERS)).arg(relay.url());
    command.args([&relay.credential.username, &relay.credential.password]);
    let (code, said) = run(command);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("relay/relay: 1000 messages, 1048576 bytes, 5 frames"), "{said}");
    relay.has_carried(2 * BLOB);
}

#[test]
fn two_peers_of_aiortc_talk_over_udp() {
    talk("udp");
}

#[test]
fn two_peers_of_aiortc_talk_over_tcp() {
    talk("tcp");
}

#[test]
fn two_peers_of_aiortc_talk_over_tls() {
    talk("tls");
}
