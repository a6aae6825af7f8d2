//! Hosts and the cables between them: network namespaces that live as long as the test.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::home::Home;
use crate::process::Process;
use crate::tools::{find, is_root, run, skip, skip_for_want_of};

/// A host with a network of its own. Its namespace is gone with its process, and that with the test, however it ends:
/// the process reads from a pipe whose other end the test holds.
pub(super) struct Host<'a> {
    home: &'a Home,
    process: Process,
}

/// Which versions of IP a host has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Has {
    Both,
    OnlyV4,
    OnlyV6,
}

impl<'a> Host<'a> {
    pub(super) fn new(home: &'a Home, has: Has) -> Self {
        let without = match has {
            Has::Both => "",
            Has::OnlyV4 => {
                "for i in all default lo; do echo 1 > /proc/sys/net/ipv6/conf/$i/disable_ipv6; done"
            }
            Has::OnlyV6 => "ip address del 127.0.0.1/8 dev lo",
        };
        let mut command = home.command("unshare");
        let script = format!("ip link set lo up\n{without}\necho made\nexec cat");
        command.args(["--net", "--", "sh", "-e", "-c", &script]);
        let process = Process::start_with_input(command);
        process.out.wait_for("namespace", |line| (line == "made").then_some(()));
        Self { home, process }
    }

    /// A command that runs on this host.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = self.home.command("nsenter");
        command.args([&format!("--net=/proc/{}/ns/net", self.process.id()), "--", program]);
        command
    }

    /// Runs a shell script on this host, which must succeed; what it prints.
    #[track_caller]
    pub(super) fn script(&self, script: &str) -> String {
        let mut command = self.command("sh");
        command.args(["-e", "-c", script]);
        let (code, said) = run(command);
        assert_eq!(code, Some(0), "{script}\n{said}");
        said
    }

    /// Passes on packets between its cables.
    pub(super) fn forwards(&self) {
        self.script(
            "echo 1 > /proc/sys/net/ipv4/ip_forward
            echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
        );
    }

    /// Lays a cable called `port` to a host behind this one, which calls it `uplink`. Both get their addresses, and
    /// what the host does not know goes here.
    pub(super) fn connect(&self, port: &str, gateways: &[&str], host: &Self, addresses: &[&str]) {
        let (ours, theirs) = (self.process.id(), host.process.id());
        let cable = format!("ip link add {port} netns {ours} type veth peer name uplink netns {theirs}");
        self.script(&cable);
        self.plug_in(port, gateways);
        host.plug_in("uplink", addresses);
        for gateway in gateways {
            let (gateway, _) = gateway.split_once('/').unwrap();
            host.script(&format!("ip route add default via {gateway}"));
        }
    }

    fn plug_in(&self, port: &str, addresses: &[&str]) {
        self.script(&format!("ip link set {port} up"));
        for address in addresses {
            // Nobody else has the address, so it need not be asked for.
            let nodad = if address.contains(':') { "nodad" } else { "" };
            self.script(&format!("ip address add {address} dev {port} {nodad}"));
        }
    }

    /// A `turnutils_peer` that already answers, on port 3480 of this address.
    #[track_caller]
    pub(super) fn echoes(&self, address: &str) -> Echo {
        let mut command = self.command("turnutils_peer");
        command.args(["-v", "-L", address]);
        let echo = Echo(Process::start(command));
        let begun = Instant::now();
        while !self.script("ss -Hlun").contains(":3480 ") {
            assert!(begun.elapsed() < Duration::from_secs(20), "{}", echo.0.err.text());
        }
        echo
    }

    /// Loads rules for nftables.
    pub(super) fn filters(&self, rules: &str) {
        let file = self.home.file(&format!("rules-{}", self.process.id()), rules);
        self.script(&format!("nft -f {}", file.display()));
    }
}

/// Ends with its owner.
pub(super) struct Echo(Process);

impl Drop for Echo {
    fn drop(&mut self) {
        self.0.kill();
    }
}

/// Whether a lab can be made here; if not, that is said.
pub(super) fn is_possible(home: &Home) -> bool {
    for tool in ["unshare", "nsenter", "ip", "nft", "turnutils_uclient", "turnutils_peer"] {
        if find(tool).is_none() {
            skip_for_want_of(tool);
            return false;
        }
    }
    if !is_root() {
        skip("a network namespace is for root to make");
        return false;
    }
    let mut command = home.command("unshare");
    command.args(["--net", "--mount", "--", "nft", "add table inet probe"]);
    let (code, said) = run(command);
    if code != Some(0) {
        skip(&format!("no network namespace with a firewall can be made here: {}", said.trim()));
    }
    code == Some(0)
}
