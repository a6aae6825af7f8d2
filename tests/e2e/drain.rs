//! The server takes its leave: no new allocations, the old ones to their end or to the deadline.

use std::time::Instant;

use serde_json::Value;
use turnbridge::wire::{AttributeType, ChannelNumber, Message, decode_address};

use crate::client::Client;
use crate::home::Home;
use crate::process::Process;
use crate::server::Server;

const CHANNEL: ChannelNumber = ChannelNumber::FIRST;

/// A server with a client that talks to itself.
struct Scene {
    /// Where the server keeps its secret.
    _home: Home,
    server: Server,
    client: Client,
}

impl Scene {
    fn new(name: &str, environment: &[(&str, &str)]) -> Self {
        let home = Home::new(name);
        let server = Server::on_loopback(&home, environment);
        let mut client = Client::new(server.at("127.0.0.1"), server.credential());
        let relay = client.allocate(|writer| writer).unwrap();
        client.bind(CHANNEL, relay).unwrap();
        Self { _home: home, server, client }
    }

    fn newcomer(&self) -> Client {
        Client::new(self.server.at("127.0.0.1"), self.server.credential())
    }

    /// Sends a signal and waits until the server says that it drains.
    fn drain(&self, signal: &str) -> Value {
        self.server.process.signal(signal);
        self.server.wait_for("draining: no new allocations are taken", |line| Some(line.clone()))
    }

    fn talk(&self, text: &[u8]) {
        self.client.send(CHANNEL, text);
        assert_eq!(self.client.receive(CHANNEL), text);
    }
}

#[test]
fn sigterm_lets_calls_end_refuses_new_ones_and_then_stops() {
    let mut scene = Scene::new("drain-term", &[("TURNBRIDGE_DRAIN__TIMEOUT", "10m")]);
    let line = scene.drain("TERM");
    assert_eq!(
        (&line["allocations"], &line["timeout_s"], &line["reason"]),
        (&1.into(), &600.into(), &"SIGTERM".into())
    );
    assert_eq!(scene.newcomer().allocate(|writer| writer).unwrap_err(), 508);
    scene.newcomer().binding();
    scene.talk(b"still here");
    scene.client.release();
    assert!(scene.server.process.wait().success());
    assert_eq!(scene.server.logged("drained").len(), 1);
    assert_eq!(scene.server.ended(1)[0]["reason"], "released");
}

#[test]
fn at_the_deadline_what_is_left_ends() {
    let mut scene = Scene::new("drain-deadline", &[("TURNBRIDGE_DRAIN__TIMEOUT", "1s")]);
    scene.drain("TERM");
    assert!(scene.server.process.wait().success());
    assert_eq!(scene.server.logged("drained")[0]["allocations"], 1);
    assert_eq!(scene.server.ended(1)[0]["reason"], "stopped");
}

#[test]
fn a_second_sigterm_and_a_keyboard_interrupt_stop_at_once() {
    let mut scene = Scene::new("drain-twice", &[("TURNBRIDGE_DRAIN__TIMEOUT", "unlimited")]);
    scene.drain("TERM");
    scene.server.process.signal("TERM");
    assert!(scene.server.process.wait().success());
    assert_eq!(scene.server.ended(1)[0]["reason"], "stopped");
    let mut scene = Scene::new("drain-int", &[("TURNBRIDGE_DRAIN__TIMEOUT", "unlimited")]);
    scene.server.process.signal("INT");
    assert!(scene.server.process.wait().success());
    assert_eq!(scene.server.logged("stopping").len(), 1);
}

#[test]
fn without_calls_there_is_nothing_to_wait_for() {
    let mut scene = Scene::new("drain-idle", &[("TURNBRIDGE_DRAIN__TIMEOUT", "unlimited")]);
    scene.client.release();
    let asked = Instant::now();
    assert!(scene.server.stop().success());
    println!("stopped within {:?}", asked.elapsed());
    assert_eq!(scene.server.logged("drained")[0]["allocations"], 0);
}

/// As coturn has it: SIGUSR1 drains for as long as it takes.
#[test]
fn sigusr1_waits_for_the_last_call_whatever_the_deadline() {
    let mut scene = Scene::new("drain-usr1", &[("TURNBRIDGE_DRAIN__TIMEOUT", "0s")]);
    let line = scene.drain("USR1");
    assert_eq!((&line["timeout_s"], &line["stops"]), (&Value::Null, &true.into()));
    scene.talk(b"in no hurry");
    assert_eq!(scene.newcomer().allocate(|writer| writer).unwrap_err(), 508);
    scene.client.release();
    assert!(scene.server.process.wait().success());
}

#[test]
fn new_clients_are_sent_to_another_server() {
    let alternates = "203.0.113.9:3478,[2001:db8::9]:3478";
    let environment = [("TURNBRIDGE_DRAIN__TIMEOUT", "10m"), ("TURNBRIDGE_DRAIN__ALTERNATES", alternates)];
    let scene = Scene::new("drain-redirect", &environment);
    let challenged = ["127.0.0.1", "::1"].map(|listener| {
        let mut client = Client::new(scene.server.at(listener), scene.server.credential());
        client.allocate(|writer| writer).unwrap();
        client.release();
        client
    });
    scene.drain("TERM");
    for (listener, expected) in [("127.0.0.1", "203.0.113.9:3478"), ("::1", "[2001:db8::9]:3478")] {
        let mut client = Client::new(scene.server.at(listener), scene.server.credential());
        assert_eq!(client.allocate(|writer| writer), Err(300));
        let answer = Message::parse(&client.answer).unwrap();
        let address = answer.get(AttributeType::ALTERNATE_SERVER).and_then(decode_address);
        assert_eq!((address, answer.integrity()), (Some(expected.parse().unwrap()), None));
    }
    for (mut client, first) in challenged.into_iter().zip(alternates.split(',')) {
        assert_eq!(client.allocate(|writer| writer), Err(300));
        let answer = Message::parse(&client.answer).unwrap();
        assert!(answer.integrity().is_some());
        let address = answer.get(AttributeType::ALTERNATE_SERVER).and_then(decode_address);
        assert_eq!(address, Some(first.parse().unwrap()));
    }
}

#[test]
fn draining_under_load_loses_no_packet() {
    let home = Home::new("drain-load");
    let mut server = Server::on_loopback(
        &home,
        &[
            ("TURNBRIDGE_PEERS__ALLOW", "127.0.0.0/8"),
            ("TURNBRIDGE_DRAIN__TIMEOUT", "10m"),
            ("TURNBRIDGE_LOG__LEVEL", "debug"),
        ],
    );
    let at = server.at("127.0.0.1").to_string();
    let mut command = home.turnbridge(&["bench", "latency", "--json", "--server", &at, "--seconds", "3"]);
    command.args(["--secret-file", home.secret_file().to_str().unwrap()]);
    let mut load = Process::start(command);
    server.wait_for("allocation created", |_| Some(()));
    server.process.signal("TERM");
    let status = load.wait();
    let report: Value = serde_json::from_str(&load.out.text()).unwrap();
    assert!(status.success(), "{report}");
    assert_eq!(report["counts"]["lost"], 0, "{report}");
    assert!(server.process.wait().success(), "it stops with the last allocation");
}
