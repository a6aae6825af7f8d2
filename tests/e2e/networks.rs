//! Hosts that have only one version of IP, each in a network namespace of its own, which is gone with its processes.

use std::fs;
use std::process::Command;

use crate::home::{Home, TURNBRIDGE};
use crate::server::Server;
use crate::tools::{find, is_root, run, skip, skip_for_want_of};

/// A host as the test wants it: a shell script that has it, and its address.
struct Host {
    name: &'static str,
    address: &'static str,
    /// What `turnutils_uclient` must be told on such a host.
    flags: &'static [&'static str],
    script: &'static str,
}

const ONLY_V4: Host = Host {
    name: "only-v4",
    address: "198.18.77.1",
    flags: &["-X"],
    script: "for i in all default; do echo 1 > /proc/sys/net/ipv6/conf/$i/disable_ipv6; done
        ip address add 198.18.77.1/24 dev here",
};

const ONLY_V6: Host = Host {
    name: "only-v6",
    address: "fd77::1",
    flags: &["-x"],
    script: "ip address del 127.0.0.1/8 dev lo
        ip address add fd77::1/64 dev here nodad",
};

impl Host {
    /// A command that makes the namespace and then becomes the given one inside it.
    fn command(&self, home: &Home, arguments: &[&str]) -> Command {
        let script = format!(
            "set -e
            ip link set lo up
            ip link add here type veth peer name there
            {}
            ip link set there up
            ip link set here up
            exec \"$@\"",
            self.script
        );
        let mut command = home.command("unshare");
        command.args(["--net", "--", "sh", "-c", &script, "sh"]).args(arguments);
        command
    }

    /// Whether such a host can be made here; if not, that is said.
    fn is_possible(&self, home: &Home) -> bool {
        for tool in ["unshare", "nsenter", "ip", "turnutils_uclient"] {
            if find(tool).is_none() {
                skip_for_want_of(tool);
                return false;
            }
        }
        if !is_root() {
            skip("a network namespace is for root to make");
            return false;
        }
        let (code, said) = run(self.command(home, &["true"]));
        if code != Some(0) {
            skip(&format!("no network namespace can be made here: {}", said.trim()));
        }
        code == Some(0)
    }

    /// Starts the server there, without a word, and lets clients talk to each other through it.
    fn serves(&self) {
        let home = Home::new(self.name);
        if !self.is_possible(&home) {
            return;
        }
        let mut server = Server::start(&home, self.command(&home, &[TURNBRIDGE]));
        let listeners = server.listeners();
        assert!(listeners.iter().all(|listener| listener.port() == 3478), "{listeners:?}");
        assert!(listeners.iter().any(|listener| listener.ip().to_string() == self.address), "{listeners:?}");
        let urls: Vec<String> =
            serde_json::from_value(server.ice_servers()["iceServers"][0]["urls"].clone()).unwrap();
        assert!(!urls.is_empty() && urls.iter().all(|url| url.contains(self.address)), "{urls:?}");

        let inside = |program: &str| {
            let mut command = home.command("nsenter");
            command.args([&format!("--net=/proc/{}/ns/net", server.process.id()), program]);
            command
        };
        let mut stun = inside("turnutils_stunclient");
        let (code, said) = run({
            stun.arg(self.address);
            stun
        });
        assert!(code == Some(0) && said.contains("UDP reflexive addr"), "{said}");

        let credential = server.credential();
        let mut uclient = inside("turnutils_uclient");
        uclient.args(["-y", "-s", "-c", "-m", "10", "-n", "10"]).args(self.flags);
        uclient.args(["-u", &credential.username, "-w", &credential.password, self.address]);
        let (code, said) = run(uclient);
        assert!(code == Some(0) && said.contains("Total lost packets 0 (0.000000%)"), "{said}");

        assert_eq!(server.stop().code(), Some(0));
        let warnings: Vec<_> = server.log().into_iter().filter(|line| line["level"] == "error").collect();
        assert!(warnings.is_empty(), "{warnings:?}");
        let relayed: u64 =
            server.logged("allocation ended").iter().map(|line| line["up_packets"].as_u64().unwrap()).sum();
        assert!(relayed >= 100, "{relayed}");
        assert!(fs::exists(home.secret_file()).unwrap());
    }
}

#[test]
fn a_host_that_has_only_ipv4_is_served_without_a_word_of_configuration() {
    ONLY_V4.serves();
}

#[test]
fn a_host_that_has_only_ipv6_is_served_without_a_word_of_configuration() {
    ONLY_V6.serves();
}
