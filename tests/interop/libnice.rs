//! Two ICE agents of libnice, which GStreamer's WebRTC and Janus use.
//!
//! It has no TLS: what it calls a TURN server over TLS it talks to over plain TCP.

use super::relay::Relay;
use crate::home::Home;
use crate::tools::{run, skip_for_want_of};

const AGENTS: &str = include_str!("libnice.py");

/// What goes each way.
const BLOB: u64 = 1 << 20;

/// Debian has its Python bindings for Debian's own Python only.
const PYTHON: &str = "/usr/bin/python3";

fn talk(over: &'static str) {
    let home = Home::new(&format!("libnice-{over}"));
    let mut probe = home.command(PYTHON);
    probe.args(["-c", "import gi; gi.require_version('Nice', '0.1')"]);
    if !probe.output().is_ok_and(|output| output.status.success()) {
        return skip_for_want_of("libnice");
    }
    let mut relay = Relay::over(over, &home, "");
    let address = relay.address();
    let mut command = relay.client(PYTHON);
    command.arg(home.file("agents.py", AGENTS)).args([address.ip().to_string(), address.port().to_string()]);
    command.args([over, &relay.credential.username, &relay.credential.password]);
    let (code, said) = run(command);
    assert!(code == Some(0) && said.contains("relay/relay: 1048576 bytes each way"), "{said}");
    relay.has_carried(2 * BLOB);
}

#[test]
fn two_agents_of_libnice_talk_over_udp() {
    talk("udp");
}

#[test]
fn two_agents_of_libnice_talk_over_tcp() {
    talk("tcp");
}
