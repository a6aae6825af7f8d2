//! What the log tells an operator, and what it never tells.

use serde_json::Value;
use turnbridge::wire::ChannelNumber;

use crate::client::Client;
use crate::home::Home;
use crate::server::{Credential, Server};

#[test]
fn sigterm_ends_each_allocation_with_one_line_of_totals() {
    let home = Home::new("totals");
    let mut server = Server::on_loopback(&home, &[]);
    let address = server.at("127.0.0.1");
    let mut clients = [0; 3].map(|_| Client::new(address, server.credential()));
    let relays = clients.each_mut().map(|client| client.allocate(|writer| writer).unwrap());
    let [alice, bob, carol] = &mut clients;
    let channel = ChannelNumber::FIRST;
    alice.bind(channel, relays[1]).unwrap();
    bob.bind(channel, relays[0]).unwrap();
    for size in [100, 20] {
        alice.send(channel, &vec![7; size]);
        assert_eq!(bob.receive(channel).len(), size);
    }
    carol.release();

    assert_eq!(server.stop().code(), Some(0));
    let ended = server.logged("allocation ended");
    assert_eq!(ended.len(), 3, "{ended:?}");
    let line = |relay: usize| {
        let relay = relays[relay].to_string();
        ended.iter().find(|line| line["relay"] == relay.as_str()).unwrap()
    };
    let number = |line: &Value, field: &str| line[field].as_u64().unwrap();
    for (place, (reason, up, down)) in
        [("stopped", (2, 120), (0, 0)), ("stopped", (0, 0), (2, 120)), ("released", (0, 0), (0, 0))]
            .into_iter()
            .enumerate()
    {
        let line = line(place);
        assert_eq!(line["reason"], reason, "{line}");
        assert_eq!((number(line, "up_packets"), number(line, "up_bytes")), up, "{line}");
        assert_eq!((number(line, "down_packets"), number(line, "down_bytes")), down, "{line}");
        assert_eq!(line["user"], server.credential().username.as_str(), "{line}");
        assert_eq!(line["client"], clients[place].address().to_string(), "{line}");
    }
}

#[test]
fn every_line_is_json_with_time_level_and_event() {
    let home = Home::new("json");
    let mut server = Server::on_loopback(&home, &[("TURNBRIDGE_LOG", "trace")]);
    let mut client = Client::new(server.at("::1"), server.credential());
    client.allocate(|writer| writer).unwrap();
    client.release();
    let name = "\"quoted\"\\ \u{202e}and\tmore";
    Client::new(server.at("::1"), Credential::plain(name, "x")).allocate(|writer| writer).unwrap_err();
    server.wait_for("request refused", |_| Some(()));
    server.stop();
    for line in server.log() {
        for field in ["ts", "level", "event"] {
            assert!(line[field].is_string(), "{field} in {line}");
        }
    }
    assert_eq!(server.logged("allocation created").len(), 1);
}

#[test]
fn a_refused_credential_has_one_line_per_source_and_reason_in_words() {
    let home = Home::new("refused");
    let file = home.file(
        "t.toml",
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[relay]\naddresses = [\"127.0.0.1\"]\n\
         [auth]\nsecrets = [\"a secret of sixteen\"]\n[[auth.user]]\nname = \"bob\"\npassword = \"builder-of-bridges\"\n",
    );
    let mut server = Server::start(&home, home.turnbridge(&["--config", file.to_str().unwrap()]));
    for secret in ["a secret of sixteen", "builder-of-bridges", "a wrong secret of bob"] {
        server.hide(secret);
    }
    let address = server.at("127.0.0.1");
    let secret = "a secret of sixteen";
    let minted = Credential::minted(secret, "alice", 600);
    let cases: &[(&str, Credential, Option<&str>)] = &[
        ("expired", Credential::minted(secret, "alice", -90), None),
        ("wrong password", Credential::plain("bob", "a wrong secret of bob"), None),
        ("unknown user", Credential::plain("mallory", "x"), None),
        ("wrong realm", minted, Some("example.net")),
    ];
    for (_, credential, realm) in cases {
        for _ in 0..3 {
            let mut client = Client::new(address, credential.clone());
            client.login.realm = realm.map(str::to_owned);
            assert_eq!(client.allocate(|writer| writer), Err(401));
        }
    }
    // A refusal that comes last has passed all others on its way to the log.
    let other = "127.0.0.2".parse().unwrap();
    let mut last = Client::from(other, address, Credential::plain("bob", "a wrong secret of bob"));
    assert_eq!(last.allocate(|writer| writer), Err(401));
    server
        .wait_for("request refused", |line| line["client"].as_str()?.starts_with("127.0.0.2:").then_some(()));

    let refused = server.logged("request refused");
    let from_first = |line: &&Value| line["client"].as_str().unwrap().starts_with("127.0.0.1:");
    let reasons: Vec<&str> =
        refused.iter().filter(from_first).map(|line| line["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons.len(), cases.len(), "{reasons:?}");
    for ((expected, credential, _), line) in cases.iter().zip(&refused) {
        assert_eq!(line["user"], credential.username.as_str());
        let reason = line["reason"].as_str().unwrap();
        match reason.strip_prefix("expired ").and_then(|rest| rest.strip_suffix(" s ago")) {
            Some(seconds) => {
                assert_eq!(*expected, "expired");
                assert!((90..100).contains(&seconds.parse::<u32>().unwrap()), "{reason}");
            }
            None => assert_eq!(reason, *expected),
        }
    }
    // What repeated is told at the end, as a number.
    server.stop();
    let again = server.logged("requests refused again");
    assert_eq!(again.len(), cases.len(), "{again:?}");
    assert!(again.iter().all(|line| line["repeats"] == 2), "{again:?}");
    assert!(server.process.out.text().is_empty(), "a configured server prints no credential");
}
