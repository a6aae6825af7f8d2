//! Two ICE agents (aioice, the ICE of Python's WebRTC) that try to reach each other.

use std::net::SocketAddrV4;
use std::process::Command;

use serde_json::{Value, json};

use super::lab::Host;
use crate::home::Home;
use crate::process::Process;
use crate::server::Credential;
use crate::tools::run;

const AGENT: &str = include_str!("agent.py");
const MAPPING: &str = include_str!("mapping.py");

/// How agents get their candidates.
pub(super) struct Agents<'a> {
    pub(super) home: &'a Home,
    pub(super) python: String,
    pub(super) stun: &'static str,
    pub(super) credential: Credential,
}

/// A TURN server: its host, port and transport, which is "udp", "tcp" or "tls".
pub(super) type Turn = (&'static str, u16, &'static str);

impl Agents<'_> {
    /// What has come of two agents; the first one is in control.
    #[track_caller]
    pub(super) fn meet(
        &self,
        alice: (&Host<'_>, Option<Turn>),
        bob: (&Host<'_>, Option<Turn>),
    ) -> [Value; 2] {
        let mut offers = Process::start(self.agent("offer", alice));
        offers.out.wait_for("waiting agent", |line| line.contains("waiting").then_some(()));
        let mut answers = Process::start(self.agent("answer", bob));
        [&mut offers, &mut answers].map(|process| {
            let status = process.wait();
            assert!(status.success(), "{}", process.err.text());
            serde_json::from_str(process.out.lines().last().unwrap()).unwrap()
        })
    }

    /// The kinds of candidates that an agent finds.
    #[track_caller]
    pub(super) fn candidates(&self, host: &Host<'_>, turn: Turn) -> Value {
        let (code, said) = run(self.agent("gather", (host, Some(turn))));
        assert_eq!(code, Some(0), "{said}");
        let found: Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
        found["candidates"].clone()
    }

    /// As what addresses these STUN servers see one and the same socket.
    #[track_caller]
    pub(super) fn mapping(&self, host: &Host<'_>, servers: &[&str]) -> Vec<SocketAddrV4> {
        let mut command = host.command(&self.python);
        command.arg(self.home.file("mapping.py", MAPPING)).args(servers);
        let (code, said) = run(command);
        assert_eq!(code, Some(0), "{said}");
        serde_json::from_str(said.lines().next().unwrap()).unwrap()
    }

    fn agent(&self, role: &str, (host, turn): (&Host<'_>, Option<Turn>)) -> Command {
        let mut settings = json!({"stun_server": [self.stun, 3478]});
        if let Some((server, port, transport)) = turn {
            settings["turn_server"] = json!([server, port]);
            settings["turn_transport"] = json!(if transport == "udp" { "udp" } else { "tcp" });
            settings["turn_ssl"] = json!(transport == "tls");
            settings["turn_username"] = json!(self.credential.username);
            settings["turn_password"] = json!(self.credential.password);
        }
        // For this process /etc/hosts is the file of the test's home.
        let with_names = "mount --bind hosts /etc/hosts; exec \"$@\"";
        let mut command = host.command("unshare");
        command.args(["--mount", "--", "sh", "-e", "-c", with_names, "sh", &self.python]);
        command.arg(self.home.file("agent.py", AGENT)).args([role, "signalling", &settings.to_string()]);
        command.env("SSL_CERT_FILE", self.home.path().join("authority.pem"));
        command
    }
}
