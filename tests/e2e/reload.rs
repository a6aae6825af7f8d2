//! The configuration is read again while people talk: what changes, what waits, and what a mistake does (nothing).

use std::cell::Cell;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use turnbridge::wire::ChannelNumber;

use crate::client::Client;
use crate::home::Home;
use crate::process::Process;
use crate::server::{Credential, Server};
use crate::tools::free_ports;

const SECRET: &str = "north-north-north-north";
const CHANNEL: ChannelNumber = ChannelNumber::FIRST;

/// A server whose configuration file can be changed.
struct Scene {
    home: Home,
    config: PathBuf,
    server: Server,
    reloads: Cell<usize>,
}

impl Scene {
    fn new(name: &str, sections: &str) -> Self {
        Self::with_relay(name, "", sections)
    }

    /// One with more keys in `[relay]`.
    fn with_relay(name: &str, relay: &str, sections: &str) -> Self {
        let home = Home::new(name);
        let config = home.file("turnbridge.toml", &text(relay, sections));
        let mut server =
            Server::start(&home, home.turnbridge(&["serve", "--config", config.to_str().unwrap()]));
        server.hide(SECRET);
        Self { home, config, server, reloads: Cell::new(0) }
    }

    /// Writes other sections and waits for what the server says of them.
    fn reload(&self, sections: &str) -> Vec<Value> {
        self.reload_with_relay("", sections)
    }

    fn reload_with_relay(&self, relay: &str, sections: &str) -> Vec<Value> {
        std::fs::write(&self.config, text(relay, sections)).unwrap();
        let before = self.server.log().len();
        self.server.process.reload();
        let (number, seen) = (self.reloads.get() + 1, Cell::new(0));
        self.server.process.err.wait_for("end of the reload", |line| {
            let ends = ["\"configuration reloaded\"", "\"configuration not reloaded"];
            seen.set(seen.get() + usize::from(ends.iter().any(|end| line.contains(end))));
            (seen.get() == number).then_some(())
        });
        self.reloads.set(number);
        self.server.log().split_off(before)
    }

    fn client(&self, user: &str) -> Client {
        Client::new(self.server.at("127.0.0.1"), Credential::minted(SECRET, user, 3600))
    }
}

fn text(relay: &str, sections: &str) -> String {
    format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[relay]\naddresses = [\"127.0.0.1\"]\n{relay}\n\
         [auth]\nsecrets = [\"{SECRET}\"]\n{sections}"
    )
}

fn changes(log: &[Value]) -> Vec<String> {
    let changed = log.iter().filter(|line| line["event"] == "configuration changed");
    let shown = |line: &Value| {
        format!(
            "{}: {} -> {}",
            line["key"].as_str().unwrap(),
            line["old"].as_str().unwrap_or("-"),
            line["new"].as_str().unwrap_or("-")
        )
    };
    changed.map(shown).collect()
}

#[test]
fn relay_ports_move_for_newcomers_and_stay_for_who_has_one() {
    let (first, first_range) = free_ports(2);
    let (second, second_range) = free_ports(2);
    let scene = Scene::with_relay("reload-ports", &format!("ports = {first:?}"), "");
    let mut early = scene.client("alice");
    let relay = early.allocate(|writer| writer).unwrap();
    assert!(first_range.contains(&relay.port()));
    early.bind(CHANNEL, relay).unwrap();
    scene.reload_with_relay(&format!("ports = {second:?}"), "");
    let late = scene.client("bob").allocate(|writer| writer).unwrap();
    assert!(second_range.contains(&late.port()), "{late}");
    early.send(CHANNEL, b"as before");
    assert_eq!(early.receive(CHANNEL), b"as before");
    early.release();
    let again = early.allocate(|writer| writer).unwrap();
    assert!(second_range.contains(&again.port()), "{again}");
}

/// A client with a channel to a peer on this host, which the rules let through.
fn talking(scene: &Scene, user: &str) -> (Client, UdpSocket) {
    // Not the relay's own address, whose ports are never denied to other clients.
    let peer = UdpSocket::bind("127.0.0.3:0").unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut client = scene.client(user);
    client.allocate(|writer| writer).unwrap();
    client.bind(CHANNEL, peer.local_addr().unwrap()).unwrap();
    client.send(CHANNEL, b"before");
    assert_eq!(hear(&peer), b"before");
    (client, peer)
}

fn hear(peer: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 2048];
    let length = peer.recv(&mut buffer).unwrap();
    buffer[..length].to_vec()
}

/// THREATS P16: a peer range newly denied stops within a second, and what is allowed
/// goes on; the difference is told.
#[test]
fn p16_a_range_newly_denied_stops_and_the_rest_goes_on() {
    let scene = Scene::new("reload-deny", "[peers]\nallow = [\"127.0.0.0/8\"]");
    let (mut client, peer) = talking(&scene, "alice");
    let (lucky, lucky_peer) = {
        let peer = UdpSocket::bind("127.0.0.2:0").unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut client = scene.client("bob");
        client.allocate(|writer| writer).unwrap();
        client.bind(CHANNEL, peer.local_addr().unwrap()).unwrap();
        (client, peer)
    };
    let log = scene.reload("[peers]\nallow = [\"127.0.0.2/32\"]\n[limits]\nmax_lifetime = \"30m\"");
    assert_eq!(
        changes(&log),
        ["limits.max_lifetime: \"1h\" -> \"30m\"", "peers.allow: [\"127.0.0.0/8\"] -> [\"127.0.0.2/32\"]"]
    );
    // It is in force before it is told, so nothing may come any more.
    client.send(CHANNEL, b"forbidden");
    lucky.send(CHANNEL, b"still allowed");
    assert_eq!(hear(&lucky_peer), b"still allowed");
    // The worker has served the packet before it answers this.
    assert_eq!(client.bind(CHANNEL, peer.local_addr().unwrap()), Err(403));
    peer.set_nonblocking(true).unwrap();
    assert!(peer.recv(&mut [0; 64]).is_err(), "nothing came through");
}

#[test]
fn a_broken_configuration_changes_nothing_and_says_where() {
    let scene = Scene::new("reload-broken", "[peers]\nallow = [\"127.0.0.0/8\"]");
    let (client, peer) = talking(&scene, "alice");
    let file = scene.config.display().to_string();
    for (sections, expected) in [
        ("[peers]\nalow = []", "did you mean `allow`"),
        ("[peers]\nallow = [\"127.0.0.0/33\"]", "peers.allow"),
        ("[peers\nallow = []", "turnbridge.toml:"),
        ("[limits]\nsend_queue = \"1 B\"", "limits.send_queue"),
    ] {
        let log = scene.reload(sections);
        let told = log.iter().find(|line| line["level"] == "error").unwrap();
        assert_eq!(told["event"], "configuration not reloaded; what ran goes on");
        let reason = told["reason"].as_str().unwrap();
        assert!(reason.contains(expected) && reason.contains(&file), "{reason}");
        assert_eq!(changes(&log), [""; 0]);
    }
    std::fs::remove_file(&scene.config).unwrap();
    scene.server.process.reload();
    scene.server.wait_for("configuration not reloaded; what ran goes on", |line| {
        line["reason"].as_str()?.contains("cannot be read").then_some(())
    });
    client.send(CHANNEL, b"as before");
    assert_eq!(hear(&peer), b"as before");
    assert!(scene.client("bob").allocate(|writer| writer).is_ok());
}

#[test]
fn what_is_open_stays_open_until_a_restart_and_all_else_is_taken() {
    let scene = Scene::new("reload-open", "");
    let listener = scene.server.at("127.0.0.1");
    let sections = "[[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\n\
                    [server]\nworkers = 7\nrealm = \"elsewhere\"\n[limits]\nallocations_per_user = 1";
    let log = scene.reload(sections);
    let waiting: Vec<_> = log
        .iter()
        .filter(|line| line["event"] == "this change waits for a restart of the server")
        .map(|line| line["key"].as_str().unwrap())
        .collect();
    assert_eq!(waiting, ["listener[1].address", "listener[1].transport", "server.workers"]);
    let expected = ["limits.allocations_per_user: 8192 -> 1", "server.realm: \"turn\" -> \"elsewhere\""];
    assert_eq!(changes(&log), expected);
    assert_eq!(scene.server.at("127.0.0.1"), listener);
    // It is kept, so that the next one does not have its port.
    let mut first = scene.client("alice");
    assert!(first.allocate(|writer| writer).is_ok(), "by the new realm");
    assert_eq!(scene.client("alice").allocate(|writer| writer).unwrap_err(), 486);
    let again = scene.reload(sections);
    assert_eq!(changes(&again), [""; 0], "nothing new");
}

#[test]
fn a_secret_is_rotated_while_people_talk() {
    let other = "south-south-south-south";
    let home = Home::new("reload-rotate");
    let secret = home.file("shared", SECRET);
    let text = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[relay]\naddresses = [\"127.0.0.1\"]\n\
         [auth]\nsecret_files = [{secret:?}]\n"
    );
    let config = home.file("turnbridge.toml", &text);
    let mut server = Server::start(&home, home.turnbridge(&["serve", "--config", config.to_str().unwrap()]));
    server.hide(SECRET);
    server.hide(other);
    let at = server.at("127.0.0.1");
    let mut early = Client::new(at, Credential::minted(SECRET, "alice", 3600));
    let relay = early.allocate(|writer| writer).unwrap();
    early.bind(CHANNEL, relay).unwrap();
    std::fs::write(&secret, other).unwrap();
    server.process.reload();
    server.wait_for("configuration reloaded", |_| Some(()));
    assert_eq!(server.logged("configuration changed")[0]["key"], "auth.secret_files");
    early.send(CHANNEL, b"to myself");
    assert_eq!(early.receive(CHANNEL), b"to myself");
    early.bind(CHANNEL, relay).expect("it is good until it expires");
    let allocate =
        |secret| Client::new(at, Credential::minted(secret, "bob", 3600)).allocate(|writer| writer).map(drop);
    assert_eq!((allocate(SECRET), allocate(other)), (Err(401), Ok(())));
}

#[test]
fn reloads_under_load_lose_no_packet() {
    let scene = Scene::new("reload-load", "[peers]\nallow = [\"127.0.0.0/8\"]\n[log]\nlevel = \"debug\"");
    let at = scene.server.at("127.0.0.1").to_string();
    let secret = scene.home.file("load-secret", SECRET);
    let mut command =
        scene.home.turnbridge(&["bench", "latency", "--json", "--server", &at, "--seconds", "4"]);
    command.args(["--secret-file", secret.to_str().unwrap()]);
    let mut load = Process::start(command);
    scene.server.wait_for("allocation created", |_| Some(()));
    for number in 0..20 {
        let level = if number % 2 == 0 { "info" } else { "debug" };
        let sections = format!(
            "[peers]\nallow = [\"127.0.0.0/8\"]\ndeny = [\"192.0.{number}.0/24\"]\n[log]\nlevel = {level:?}\n\
             [limits]\nbandwidth_per_allocation = \"{} Mbit/s\"",
            100 + number
        );
        assert!(changes(&scene.reload(&sections)).len() >= 3);
    }
    let status = load.wait();
    let report: Value = serde_json::from_str(&load.out.text()).unwrap();
    assert!(status.success(), "{report}");
    assert_eq!(report["counts"]["lost"], 0, "{report}");
    assert_ne!(report["counts"]["received"], 0, "{report}");
}

#[test]
fn what_is_in_the_way_of_an_acme_client_is_told_before_anything_has_changed() {
    let home = Home::new("reload-acme");
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["turn.example.org".to_owned()]).unwrap();
    let (chain, key) =
        (home.file("chain.pem", &cert.pem()), home.file("key.pem", &signing_key.serialize_pem()));
    let no_directory = home.file("state", "");
    let text = |more: &str| {
        format!(
            "[server]\nstate_dir = {no_directory:?}\n[auth]\nsecrets = [{SECRET:?}]\n\
             [[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"tls\"\n\
             [[tls.certificate]]\nchain = {chain:?}\nkey = {key:?}\n{more}"
        )
    };
    let config = home.file("turnbridge.toml", &text(""));
    let mut server = Server::start(&home, home.turnbridge(&["serve", "--config", config.to_str().unwrap()]));
    server.hide(SECRET);
    let acme = "[tls.acme]\nnames = [\"turn.example.org\"]\nagree_to_terms = true\n\
                directory = \"https://127.0.0.1:1/dir\"\n[limits]\nmax_lifetime = \"30m\"";
    std::fs::write(&config, text(acme)).unwrap();
    server.process.reload();
    server.wait_for("configuration not reloaded; what ran goes on", |line| {
        line["reason"].as_str()?.contains("no directory can keep acme").then_some(())
    });
    assert_eq!(changes(&server.log()), [""; 0]);
}

#[test]
fn files_that_change_are_taken_in_by_themselves_if_that_is_asked_for() {
    let other = "south-south-south-south";
    let home = Home::new("reload-on-change");
    let secret = home.file("shared", SECRET);
    let text = |more: &str| {
        format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n[relay]\naddresses = [\"127.0.0.1\"]\n\
             [auth]\nsecret_files = [{secret:?}]\n[server]\nreload_on_change = true\n{more}"
        )
    };
    let config = home.file("turnbridge.toml", &text(""));
    let mut server = Server::start(&home, home.turnbridge(&["serve", "--config", config.to_str().unwrap()]));
    server.hide(SECRET);
    server.hide(other);
    let changed_to = |value: &str| {
        server.wait_for("configuration changed", |line| (line["new"] == value).then_some(()));
    };
    std::fs::write(&config, text("[limits]\nmax_lifetime = \"30m\"")).unwrap();
    changed_to("\"30m\"");
    std::fs::write(&config, text("[limits]\nmax_lifetime = 30")).unwrap();
    server.wait_for("configuration not reloaded; what ran goes on", |line| {
        line["reason"].as_str()?.contains("limits.max_lifetime").then_some(())
    });
    std::fs::write(&config, text("[limits]\nmax_lifetime = \"20m\"")).unwrap();
    changed_to("\"20m\"");
    let broken = server.logged("configuration not reloaded; what ran goes on");
    assert_eq!(broken.len(), 1, "{broken:?}");
    std::fs::write(&secret, other).unwrap();
    let seen = Cell::new(0);
    server.wait_for("configuration reloaded", |_| {
        seen.set(seen.get() + 1);
        (seen.get() == 3).then_some(())
    });
    let client = |secret| Client::new(server.at("127.0.0.1"), Credential::minted(secret, "bob", 3600));
    assert_eq!(client(SECRET).allocate(|writer| writer).map(drop), Err(401));
    assert!(client(other).allocate(|writer| writer).is_ok());
}
