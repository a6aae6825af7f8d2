//! Strangers misbehave, and nobody else notices: no payload of another client is lost, and memory stays bounded.
//!
//! How long payloads take beside them is measured by `benches/isolation`; here only what must hold on any machine.

use std::fs;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use serde_json::Value;
use turnbridge::net::sys::open_files;

use crate::home::Home;
use crate::process::Process;
use crate::server::Server;
use crate::tools::skip;

/// Connections that say nothing.
const IDLE: u64 = 5_000;
/// Connections that stop amid the TLS handshake.
const HALF_OPEN: u64 = 500;
/// Everybody else: those who flood, those who probe.
const OTHERS: u64 = 8;
/// `limits.send_queue`.
const SEND_QUEUE: u64 = 256 << 10;

/// What the configured limits allow a server's memory to grow by: the connections with what a stranger may keep in one
/// (no more than 4 KiB of a message, or of a ClientHello, and as much again for the books), and the send queues, which
/// grow by doubling, of all that hold an allocation.
const fn most_growth(connections: u64) -> u64 {
    connections * (8 << 10) + OTHERS * 2 * SEND_QUEUE + FIXED
}

/// Buffers that are there once, and what the allocator keeps of what is gone.
const FIXED: u64 = 8 << 20;

struct Scene {
    home: Home,
    server: Server,
    udp: String,
    tcp: String,
    tls: String,
}

impl Scene {
    fn new(name: &str, connections: u64) -> Self {
        let home = Home::new(name);
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["turn.example.org".to_owned()]).unwrap();
        let chain = home.file("chain.pem", &cert.pem());
        let key = home.file("key.pem", &signing_key.serialize_pem());
        let listeners = ["udp", "tcp", "tls"].map(|transport| {
            format!("[[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"{transport}\"\n")
        });
        let text = format!(
            "{}[[tls.certificate]]\nchain = {chain:?}\nkey = {key:?}\n\
             [relay]\naddresses = [\"127.0.0.1\"]\n\
             [peers]\nallow = [\"127.0.0.1/32\"]\n\
             [limits]\nconnections = {connections}\nconnections_per_ip = {connections}\n\
             handshake_timeout = \"5m\"\nfirst_request_timeout = \"5m\"\nsend_queue = \"{} KiB\"\n",
            listeners.concat(),
            SEND_QUEUE >> 10,
        );
        let config = home.file("turnbridge.toml", &text);
        let server = Server::start(&home, home.turnbridge(&["serve", "--config", config.to_str().unwrap()]));
        let [udp, tcp, tls] =
            ["udp", "tcp", "tls"].map(|transport| server.listeners_over(transport)[0].to_string());
        Self { home, server, udp, tcp, tls }
    }

    /// `turnbridge bench` against one of the listeners.
    fn bench(&self, at: &str, arguments: &[&str]) -> Process {
        let mut command = self.home.turnbridge(&["bench", arguments[0], "--json", "--server", at]);
        command.args(["--secret-file", self.home.secret_file().to_str().unwrap()]).args(&arguments[1..]);
        Process::start(command)
    }

    /// One that misbehaves, once it has begun.
    fn stranger(&self, at: &str, arguments: &[&str]) -> Process {
        let process = self.bench(at, &[arguments, &["--seconds", "600"]].concat());
        process.err.wait_for("beginning", |line| matches!(line, "flooding" | "lingering").then_some(()));
        process
    }

    /// Relays payloads of a well-behaved client, over each transport, and demands that all come back.
    fn probe(&self, beside: &str) {
        for (transport, at) in [("udp", &self.udp), ("tcp", &self.tcp), ("tls", &self.tls)] {
            let load = ["latency", "--seconds", "2", "--insecure", "--transport", transport];
            let (report, status) = report(self.bench(at, &load));
            assert!(status.success(), "{transport} beside {beside}: {report}");
            assert_eq!(report["counts"]["lost"], 0, "{transport} beside {beside}: {report}");
            println!("{transport} beside {beside}: {report}");
        }
    }

    fn resident(&self) -> u64 {
        let path = format!("/proc/{}/smaps_rollup", self.server.process.id());
        let rollup = fs::read_to_string(path).unwrap();
        let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    fn files(&self) -> u64 {
        fs::read_dir(format!("/proc/{}/fd", self.server.process.id())).unwrap().count() as u64
    }
}

fn report(mut process: Process) -> (Value, ExitStatus) {
    let status = process.wait();
    let report = serde_json::from_str(&process.out.text());
    (report.unwrap_or_else(|error| panic!("{error}: {}", process.err.text())), status)
}

#[test]
fn strangers_who_misbehave_cost_others_no_payload_and_the_server_no_more_memory_than_configured() {
    // Server and tester need a file for each connection, and inherit the same limit.
    let limit = open_files::raise().unwrap();
    let idle = IDLE.min(limit.saturating_sub(HALF_OPEN + 500));
    if idle < IDLE {
        println!("only {limit} files may be open here: {idle} idle connections instead of {IDLE}");
    }
    if idle < 100 {
        return skip(&format!("only {limit} files may be open here"));
    }
    let scene = Scene::new("isolation", idle + HALF_OPEN + OTHERS);
    scene.probe("nobody");
    let (before, files) = (scene.resident(), scene.files());

    let strangers = [
        scene.stranger(&scene.tcp, &["linger", "--connections", &idle.to_string()]),
        scene.stranger(&scene.tls, &["linger", "--half-hello", "--connections", &HALF_OPEN.to_string()]),
        scene.stranger(&scene.tcp, &["flood", "--transport", "tcp"]),
        scene.stranger(&scene.udp, &["flood"]),
    ];
    let mut most = 0;
    for _ in 0..2 {
        scene.probe("strangers");
        most = most.max(scene.resident());
    }
    assert!(scene.files() >= files + idle + HALF_OPEN, "all of them are still there");
    let bound = before + most_growth(idle + HALF_OPEN + OTHERS);
    println!("resident: {} KiB before, at most {} KiB of {} KiB", before >> 10, most >> 10, bound >> 10);
    assert!(most <= bound, "{most} bytes resident, {bound} allowed");

    for mut stranger in strangers {
        stranger.kill();
    }
    // What strangers held ends with them; the flooded allocation over UDP lives on until it expires.
    let deadline = Instant::now() + Duration::from_secs(60);
    while scene.files() > files + OTHERS {
        assert!(Instant::now() < deadline, "{} files are open, {files} were before", scene.files());
        std::thread::park_timeout(Duration::from_millis(50));
    }
    scene.probe("nobody any more");
}

#[test]
fn a_slow_reader_loses_whole_payloads_and_nothing_else() {
    let scene = Scene::new("slow-reader", 10);
    for (transport, at) in [("tcp", &scene.tcp), ("tls", &scene.tls)] {
        let load = ["flood", "--seconds", "1", "--insecure", "--transport", transport];
        // Fails if anything is damaged, or if the answer to its last request does not come.
        let (report, status) = report(scene.bench(at, &load));
        println!("{transport}: {report}");
        assert!(status.success(), "{report}");
        assert_ne!(report["counts"]["received"], 0, "what was queued arrives");
        assert_ne!(report["counts"]["lost"], 0, "it was flooded");
    }
}
