//! Two ICE agents of aioice (the ICE of Python's WebRTC) that know each other only by relay candidates.

use crate::home::Home;
use crate::interop::python::python;
use crate::server::Server;
use crate::tools::run;

const AGENTS: &str = include_str!("aioice.py");

#[test]
fn two_ice_agents_meet_over_their_relay_candidates() {
    let home = Home::new("aioice");
    let Some(python) = python(&home, "aioice") else { return };
    let script = home.file("agents.py", AGENTS);
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
