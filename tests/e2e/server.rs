//! The server under test.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, ExitStatus};
use std::thread;

use serde_json::Value;

use crate::home::Home;
use crate::process::Process;

/// A running server. When it goes, all it has printed is searched for secrets.
pub(crate) struct Server {
    pub(crate) process: Process,
    /// What must never be printed.
    hidden: Vec<String>,
}

/// The credential of the first minute, as the server has printed it.
#[derive(Clone)]
pub(crate) struct Credential {
    pub(crate) username: String,
    pub(crate) password: String,
}

impl Server {
    /// Starts a server and waits until it serves.
    #[track_caller]
    pub(crate) fn start(home: &Home, command: Command) -> Self {
        let process = Process::start(command);
        let ended = "server stopped";
        let event = process.err.wait_for("line that it serves", |line| {
            let event = serde_json::from_str::<Value>(line).ok()?["event"].as_str()?.to_owned();
            (event == "serving" || event == ended).then_some(event)
        });
        assert_ne!(event, ended, "{}", process.err.text());
        Self { process, hidden: home.secret().into_iter().collect() }
    }

    /// One that serves, and relays from, both loopback addresses: what any machine has.
    #[track_caller]
    pub(crate) fn on_loopback(home: &Home, environment: &[(&str, &str)]) -> Self {
        let mut command = home.turnbridge(&["--listen", "127.0.0.1:0", "--listen", "[::1]:0"]);
        command.env("TURNBRIDGE_RELAY__ADDRESSES", "127.0.0.1,::1").envs(environment.iter().copied());
        Self::start(home, command)
    }

    /// Something else that must not be printed.
    pub(crate) fn hide(&mut self, secret: &str) {
        self.hidden.push(secret.to_owned());
    }

    /// Waits for a log line with this event that `wanted` makes something of.
    #[track_caller]
    pub(crate) fn wait_for<T>(&self, event: &str, wanted: impl Fn(&Value) -> Option<T>) -> T {
        self.process.err.wait_for(event, |line| {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
            if line["event"] == event { wanted(&line) } else { None }
        })
    }

    /// Waits until so many allocations have ended; what is said of each.
    #[track_caller]
    pub(crate) fn ended(&self, count: usize) -> Vec<Value> {
        let seen = Cell::new(0);
        self.wait_for("allocation ended", |_| {
            seen.set(seen.get() + 1);
            (seen.get() == count).then_some(())
        });
        self.logged("allocation ended")
    }

    /// All log lines with this event.
    pub(crate) fn logged(&self, event: &str) -> Vec<Value> {
        self.log().into_iter().filter(|line| line["event"] == event).collect()
    }

    /// All log lines, each of which must be JSON.
    pub(crate) fn log(&self) -> Vec<Value> {
        let parse = |line: &String| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{line} is not JSON: {error}"))
        };
        self.process.err.lines().iter().map(parse).collect()
    }

    /// Where it really listens for datagrams.
    pub(crate) fn listeners(&self) -> Vec<SocketAddr> {
        self.listeners_over("udp")
    }

    /// Where it really listens over `transport`: "udp", "tcp", "tls" or "auto".
    pub(crate) fn listeners_over(&self, transport: &str) -> Vec<SocketAddr> {
        self.wait_for("serving", |line| {
            let all =
                line["listeners"].as_str()?.split(',').map(|listener| listener.split_once(':').unwrap());
            let these = all.filter(|(over, _)| *over == transport);
            Some(these.map(|(_, address)| address.parse().unwrap()).collect())
        })
    }

    /// Where it listens for datagrams on one of its addresses.
    pub(crate) fn at(&self, ip: &str) -> SocketAddr {
        let ip: IpAddr = ip.parse().unwrap();
        self.listeners().into_iter().find(|listener| listener.ip() == ip).unwrap()
    }

    /// The JSON on its standard output.
    pub(crate) fn ice_servers(&self) -> Value {
        self.process.out.wait_for("iceServers", |line| serde_json::from_str(line).ok())
    }

    /// The printed credential.
    pub(crate) fn credential(&self) -> Credential {
        let printed = self.ice_servers();
        let field = |name: &str| printed["iceServers"][0][name].as_str().unwrap().to_owned();
        Credential { username: field("username"), password: field("credential") }
    }

    /// Asks it to stop and waits for that.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.process.terminate();
        self.process.wait()
    }

    fn check_that_nothing_leaked(&mut self) {
        let (out, err) = (self.process.out.text(), self.process.err.text());
        for secret in &self.hidden {
            assert!(!out.contains(secret.as_str()) && !err.contains(secret.as_str()), "a secret was printed");
        }
        // The one password that is meant to be printed goes to standard output, and nowhere else.
        if !out.is_empty() {
            let password = self.credential().password;
            assert!(!err.contains(&password), "the log has the password");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("the server's log:\n{}", self.process.err.text());
        } else {
            self.process.kill();
            self.check_that_nothing_leaked();
        }
    }
}
