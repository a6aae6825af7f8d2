//! Two ICE agents of aioice (the ICE of Python's WebRTC) that know each other only by relay candidates.

use crate::home::Home;
use crate::server::Server;
use crate::tools::{run, skip};

const AGENTS: &str = include_str!("aioice.py");

#[test]
fn two_ice_agents_meet_over_their_relay_candidates() {
    let home = Home::new("aioice");
    // tests/run keeps aioice in a virtual environment of its own, where there is Python and it may be fetched.
    let provided = std::env::var("TURNBRIDGE_TESTS_PYTHON").ok();
    let python = provided.clone().unwrap_or_else(|| "python3".to_owned());
    let script = home.file("agents.py", AGENTS);
    let mut probe = home.command(&python);
    probe.args(["-c", "import aioice"]);
    let is_there = probe.output().is_ok_and(|output| output.status.success());
    if provided.is_none() && !is_there {
        return skip("Python's aioice is not installed");
    }
    let server = Server::on_loopback(&home, &[]);
    let credential = server.credential();
    for ip in ["127.0.0.1", "::1"] {
        let address = server.at(ip);
        let mut command = home.command(&python);
        command.arg(&script).args([ip, &address.port().to_string()]);
        command.args([&credential.username, &credential.password]);
        let (code, said) = run(command);
        assert!(code == Some(0) && said.contains("100 messages each way"), "{said}");
    }
}
