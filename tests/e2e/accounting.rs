//! Records of who used the relay, as those who bill for it find them.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use turnbridge::wire::ChannelNumber;

use crate::client::Client;
use crate::home::{Home, TURNBRIDGE};
use crate::server::{Credential, Server};
use crate::site::{Site, Way};
use crate::tools::{find, run, skip_for_want_of};

const SECRET: &str = "a secret of the accounting tests";

/// A server for minted credentials with these lines of `[accounting]`, and its home.
#[track_caller]
fn start(home: &Home, accounting: &str, command: impl FnOnce(&str) -> Command) -> Server {
    let file = home.file(
        "turnbridge.toml",
        &format!(
            "[server]\nname = \"turn-1\"\nrealm = \"example.org\"\nworkers = 2\n\
             [[listener]]\naddress = \"127.0.0.1:0\"\n\
             [relay]\naddresses = [\"127.0.0.1\"]\n[auth]\nsecrets = [\"{SECRET}\"]\n\
             [log]\nlevel = \"debug\"\n[drain]\ntimeout = \"0s\"\n[accounting]\n{accounting}\n"
        ),
    );
    let mut server = Server::start(home, command(file.to_str().unwrap()));
    server.hide(SECRET);
    server
}

fn client(server: &Server, user: &str) -> Client {
    Client::new(server.at("127.0.0.1"), Credential::minted(SECRET, user, 600))
}

/// All lines of a file, each of which must be a record.
fn records(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is not whole");
    text.lines().map(parse).collect()
}

fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// Waits until a file has so many records.
#[track_caller]
fn wait_for_records(file: &Path, count: usize) -> Vec<Value> {
    wait_until(file, |records| records.len() >= count)
}

/// Waits for one like this.
#[track_caller]
fn wait_for(file: &Path, wanted: impl Fn(&Value) -> bool) {
    wait_until(file, |records| records.iter().any(&wanted));
}

#[track_caller]
fn wait_until(file: &Path, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        // The last line may be on its way.
        let text = fs::read_to_string(file).unwrap();
        let found: Vec<_> =
            text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(parse).collect();
        if wanted(&found) {
            return found;
        }
        assert!(Instant::now() < deadline, "not in {found:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn an_allocation_is_recorded_when_it_begins_and_when_it_ends() {
    let home = Home::new("accounting");
    let path = home.path().join("records.jsonl");
    let mut server = start(&home, "file = \"records.jsonl\"", |file| home.turnbridge(&["--config", file]));
    let (mut alice, mut bob) = (client(&server, "alice"), client(&server, "bob"));
    let relays = [&mut alice, &mut bob].map(|client| client.allocate(|writer| writer).unwrap());
    let channel = ChannelNumber::FIRST;
    alice.bind(channel, relays[1]).unwrap();
    bob.bind(channel, relays[0]).unwrap();
    alice.send(channel, &[7; 100]);
    assert_eq!(bob.receive(channel).len(), 100);
    let begun = wait_for_records(&path, 2);
    alice.release();
    wait_for_records(&path, 3);
    assert_eq!(server.stop().code(), Some(0));

    let all = records(&path);
    assert_eq!(all[..2], begun[..]);
    let of = |user: &str| all.iter().filter(|record| record["user_id"] == user).collect::<Vec<_>>();
    for ((user, client), (relay, reason, up, down)) in [("alice", &alice), ("bob", &bob)]
        .into_iter()
        .zip([(relays[0], "released", 100, 0), (relays[1], "stopped", 0, 100)])
    {
        let [begin, end] = of(user)[..] else { panic!("{all:?}") };
        for (record, kind) in [(begin, "start"), (end, "stop")] {
            assert_eq!(record["record"], kind);
            assert_eq!(record["server"], "turn-1");
            assert_eq!(record["realm"], "example.org");
            assert!(record["user"].as_str().unwrap().ends_with(&format!(":{user}")), "{record}");
            assert_eq!(record["client"], client.address().to_string());
            assert_eq!(record["transport"], "udp");
            assert_eq!(record["listener"], server.at("127.0.0.1").to_string());
            assert_eq!(record["relay"], serde_json::json!([relay.to_string()]));
            assert!(record["time"].as_str().unwrap().ends_with('Z'));
        }
        assert_eq!(begin["id"], end["id"]);
        assert_eq!(begin["lifetime_s"], 600);
        let (began, ended) = (begin["unix_ms"].as_u64().unwrap(), end["unix_ms"].as_u64().unwrap());
        let lasted = end["duration_ms"].as_u64().unwrap();
        // Two clocks, one of which counts whole milliseconds.
        assert!((ended - began).abs_diff(lasted) < 1000, "{began} {ended} {lasted}");
        assert_eq!(end["reason"], reason);
        let flow = |bytes: u64| serde_json::json!({"bytes": bytes, "packets": bytes / 100, "dropped": 0});
        assert_eq!((&end["up"], &end["down"]), (&flow(up), &flow(down)));
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777 & !0o640, 0, "{mode:o}");
}

#[test]
fn connections_are_recorded_with_their_transport_and_listener() {
    let site = Site::start("accounting-streams", "[accounting]\nfile = \"records.jsonl\"\n");
    let path = site.home.path().join("records.jsonl");
    let ways = [(Way::Tcp, "tcp"), (Way::Tls, "tls"), (Way::AutoTls, "tls")];
    for (before, (way, transport)) in ways.into_iter().enumerate() {
        let mut client = site.client(way);
        client.allocate().unwrap();
        let address = client.address();
        drop(client);
        site.end_of_allocation(address);
        for record in &wait_for_records(&path, 2 * before + 2)[2 * before..] {
            assert_eq!(record["transport"], transport, "{record}");
            assert_eq!(record["listener"], site.port(way).to_string(), "{record}");
            assert_eq!(record["user_id"], "alice");
        }
    }
}

#[test]
fn a_file_that_is_moved_away_loses_no_record() {
    const ROUNDS: usize = 10;
    let home = Home::new("accounting-rotate");
    let mut server = start(&home, "file = \"records.jsonl\"", |file| home.turnbridge(&["--config", file]));
    let path = home.path().join("records.jsonl");
    let mut files: Vec<PathBuf> = Vec::new();
    for round in 0..ROUNDS {
        for _ in 0..5 {
            let mut client = client(&server, &format!("user-{round}"));
            client.allocate(|writer| writer).unwrap();
            client.release();
        }
        // In the middle of it all, as logrotate would.
        let moved = home.path().join(format!("records.jsonl.{round}"));
        fs::rename(&path, &moved).unwrap();
        server.process.reload();
        files.push(moved);
        let opened = Cell::new(0);
        server.wait_for("accounting.file opened again", |_| {
            opened.set(opened.get() + 1);
            (opened.get() > round).then_some(())
        });
    }
    assert_eq!(server.stop().code(), Some(0));
    files.push(path);
    assert!(files.iter().all(|file| file.exists()));
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in files.iter().flat_map(|file| records(file)) {
        let text = |key: &str| record[key].as_str().unwrap().to_owned();
        seen.entry(text("id")).or_default().push(text("record"));
    }
    assert_eq!(seen.len(), ROUNDS * 5);
    assert!(seen.values().all(|kinds| *kinds == ["start", "stop"]), "{seen:?}");
}

#[test]
fn a_disk_that_is_full_is_reported_and_leaves_whole_lines_only() {
    if find("prlimit").is_none() {
        return skip_for_want_of("prlimit");
    }
    let home = Home::new("accounting-full");
    let path = home.path().join("records.jsonl");
    // Files of this process end after 2048 bytes, in the middle of a record.
    let limited = |file: &str| {
        let mut command = home.command("sh");
        let script = "trap '' XFSZ; exec prlimit --fsize=2048:unlimited -- \"$0\" --config \"$1\"";
        command.args(["-c", script, TURNBRIDGE, file]);
        command
    };
    let mut server = start(&home, "file = \"records.jsonl\"", limited);
    let mut ids = BTreeSet::new();
    for user in 0..10 {
        let mut client = client(&server, &format!("user-{user}"));
        client.allocate(|writer| writer).unwrap();
        client.release();
        ids.insert(format!("user-{user}"));
    }
    server.wait_for("accounting.file cannot be written", |line| {
        assert!(line["error"].as_str().unwrap().contains("File too large"), "{line}");
        Some(())
    });
    let before = records(&path);
    assert!(before.len() < 20, "{}", before.len());
    let mut command = home.command("prlimit");
    command.args(["--fsize=unlimited:unlimited", "--pid", &server.process.id().to_string()]);
    assert_eq!(run(command).0, Some(0));
    server.wait_for("accounting.file can be written again", |_| Some(()));
    assert_eq!(server.stop().code(), Some(0));
    let all = records(&path);
    assert_eq!(all.len(), 20);
    assert_eq!(
        all.iter().map(|record| record["user_id"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>(),
        ids
    );
}

#[test]
fn a_file_that_cannot_be_opened_is_known_at_start() {
    let home = Home::new("accounting-closed");
    let file = home.file("t.toml", "[accounting]\nfile = \"nowhere/records.jsonl\"\n");
    let (code, said) = run(home.turnbridge(&["--config", file.to_str().unwrap(), "--listen", "127.0.0.1:0"]));
    assert_eq!(code, Some(78), "{said}");
    assert!(
        said.contains("accounting.file: cannot open") && said.contains("nowhere/records.jsonl"),
        "{said}"
    );
}

#[test]
fn an_allocation_that_lasts_has_records_of_what_went_through_it_so_far() {
    let home = Home::new("accounting-interim");
    let path = home.path().join("records.jsonl");
    let settings = "file = \"records.jsonl\"\ninterim = \"1s\"";
    let mut server = start(&home, settings, |file| home.turnbridge(&["--config", file]));
    let (mut alice, mut bob) = (client(&server, "alice"), client(&server, "bob"));
    let relays = [&mut alice, &mut bob].map(|client| client.allocate(|writer| writer).unwrap());
    let channel = ChannelNumber::FIRST;
    alice.bind(channel, relays[1]).unwrap();
    bob.bind(channel, relays[0]).unwrap();
    for round in 1..=2_u64 {
        alice.send(channel, &[7; 100]);
        assert_eq!(bob.receive(channel).len(), 100);
        wait_for(&path, |record| {
            record["record"] == "interim" && record["user_id"] == "alice" && record["up"]["packets"] == round
        });
    }
    alice.release();
    wait_for(&path, |record| record["record"] == "stop");
    assert_eq!(server.stop().code(), Some(0));
    let mut kinds: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in records(&path) {
        let text = |key: &str| record[key].as_str().unwrap().to_owned();
        kinds.entry(text("id")).or_default().push(text("record"));
        if record["record"] == "interim" {
            assert!(record["duration_ms"].is_u64() && record["reason"].is_null(), "{record}");
        }
    }
    assert_eq!(kinds.len(), 2);
    for kinds in kinds.values() {
        let [first, between @ .., last] = &kinds[..] else { panic!("{kinds:?}") };
        assert_eq!((first.as_str(), last.as_str()), ("start", "stop"));
        assert!(between.len() >= 2 && between.iter().all(|kind| kind == "interim"), "{kinds:?}");
    }
}

#[test]
fn a_reload_turns_records_on_and_a_broken_one_still_opens_the_file_again() {
    let home = Home::new("accounting-reload");
    let mut server = start(&home, "", |file| home.turnbridge(&["--config", file]));
    let path = home.path().join("records.jsonl");
    let call = |user: &str| {
        let mut client = client(&server, user);
        client.allocate(|writer| writer).unwrap();
        client.release();
    };
    call("before");
    let config = home.path().join("turnbridge.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}file = \"records.jsonl\"\n")).unwrap();
    server.process.reload();
    server.wait_for("configuration reloaded", |_| Some(()));
    call("after");
    wait_for_records(&path, 2);

    let moved = home.path().join("records.jsonl.1");
    fs::rename(&path, &moved).unwrap();
    fs::write(&config, format!("{text}file = \"nowhere/records.jsonl\"\n")).unwrap();
    server.process.reload();
    server.wait_for("configuration not reloaded; what ran goes on", |line| {
        assert!(line["reason"].as_str().unwrap().contains("accounting.file: cannot open"), "{line}");
        Some(())
    });
    server.wait_for("accounting.file opened again", |_| Some(()));
    call("still");
    wait_for_records(&path, 2);
    assert_eq!(server.stop().code(), Some(0));
    let users = |file: &Path| {
        records(file).iter().map(|record| record["user_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((users(&moved), users(&path)), (vec!["after".into(); 2], vec!["still".into(); 2]));
}
