//! Sessions and decisions through the admin server.

use serde_json::Value;
use turnbridge::wire::ChannelNumber;

use crate::asker::Door;
use crate::client::Client;
use crate::home::Home;
use crate::server::{Credential, Server};

const SECRET: &str = "a secret of sixteen";

fn server(home: &Home) -> (Server, Door) {
    let environment = [("TURNBRIDGE_AUTH__SECRETS", SECRET), ("TURNBRIDGE_SERVER__WORKERS", "2")];
    let mut server = Server::on_loopback(home, &environment);
    server.hide(SECRET);
    (server, Door::default_of(home))
}

fn clients(server: &Server, users: &[&str]) -> Vec<Client> {
    let address = server.at("127.0.0.1");
    let client = |user: &&str| {
        let mut client = Client::new(address, Credential::minted(SECRET, user, 600));
        client.allocate(|writer| writer).unwrap();
        client
    };
    users.iter().map(client).collect()
}

fn ids(answer: &Value) -> Vec<String> {
    let sessions = answer["sessions"].as_array().unwrap().iter();
    sessions.map(|session| session["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn sessions_are_listed_filtered_and_paged() {
    let home = Home::new("sessions");
    let (server, door) = server(&home);
    let clients = clients(&server, &["alice", "bob", "bob", "carol", "bob"]);
    let all = door.ask("GET /v1/sessions", &[]).json(200);
    assert_eq!((ids(&all).len(), &all["total"], &all["next"]), (5, &5.into(), &Value::Null));

    // Pages make up the whole, in the same order, also when one of them has ended meanwhile.
    let mut paged = Vec::new();
    let mut path = "/v1/sessions?limit=2".to_owned();
    loop {
        let page = door.ask(&format!("GET {path}"), &[]).json(200);
        paged.extend(ids(&page));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/sessions?limit=2&cursor={next}");
    }
    assert_eq!(paged, ids(&all));
    let count = |query: &str| ids(&door.ask(&format!("GET /v1/sessions?{query}"), &[]).json(200)).len();
    let session = &all["sessions"][0];
    let text = |name: &str| session[name].as_str().unwrap();
    let relay = session["relays"][0].as_str().unwrap();
    let cases = [
        ("user=bob".to_owned(), 3),
        (
            format!("user={}", text("user")),
            usize::from(text("user_id") != "bob") + 3 * usize::from(text("user_id") == "bob"),
        ),
        ("user=mallory".to_owned(), 0),
        ("ip=127.0.0.1".to_owned(), 5),
        ("ip=127.0.0.2".to_owned(), 0),
        ("relay=127.0.0.1".to_owned(), 5),
        (format!("relay={relay}"), 1),
        ("transport=udp".to_owned(), 5),
        ("transport=tls".to_owned(), 0),
        ("silent=client".to_owned(), 0),
        ("user=bob&ip=127.0.0.1&transport=udp&limit=1".to_owned(), 1),
    ];
    for (query, expected) in cases {
        assert_eq!(count(&query), expected, "{query}");
    }
    for bad in
        ["limit=0", "limit=1001", "cursor=x", "relay=x", "ip=x", "transport=quic", "silent=both", "x=1"]
    {
        assert_eq!(door.ask(&format!("GET /v1/sessions?{bad}"), &[]).problem().0, 422, "{bad}");
    }
    drop(clients);
}

#[test]
fn one_session_is_shown_with_all_that_belongs_to_it_and_can_be_ended() {
    let home = Home::new("session");
    let (server, door) = server(&home);
    let mut both = clients(&server, &["alice", "bob"]);
    let listed = door.ask("GET /v1/sessions?user=alice", &[]).json(200)["sessions"][0].clone();
    let other = door.ask("GET /v1/sessions?user=bob", &[]).json(200)["sessions"][0].clone();
    let (id, peer) = (listed["id"].as_str().unwrap(), other["relays"][0].as_str().unwrap());
    let own: std::net::SocketAddr = listed["relays"][0].as_str().unwrap().parse().unwrap();
    both[0].bind(ChannelNumber::FIRST, peer.parse().unwrap()).unwrap();
    both[1].bind(ChannelNumber::FIRST, own).unwrap();
    both[0].send(ChannelNumber::FIRST, b"hello");
    assert_eq!(both[1].receive(ChannelNumber::FIRST), b"hello");

    let session = door.ask(&format!("GET /v1/sessions/{id}"), &[]).json(200);
    assert_eq!(session["client"], both[0].address().to_string());
    assert_eq!(session["server"], server.at("127.0.0.1").to_string());
    assert_eq!(session["up"].to_string(), r#"{"bytes":5,"dropped":0,"packets":1}"#);
    assert_eq!(session["down"]["packets"], 0);
    assert_eq!(session["peers"]["permissions"][0]["peer"], "127.0.0.1");
    let channel = &session["peers"]["channels"][0];
    assert_eq!((&channel["channel"], &channel["peer"]), (&"0x4000".into(), &peer.into()));
    assert!((590..=601).contains(&session["credential_left_s"].as_u64().unwrap()), "{session}");

    assert_eq!(door.ask(&format!("DELETE /v1/sessions/{id}"), &[]).status, 204);
    let ended = &server.ended(1)[0];
    assert_eq!((&ended["reason"], &ended["relay"]), (&"kicked".into(), &own.to_string().into()));
    assert_eq!(server.logged("allocation ended by an operator")[0]["by"], "unix socket");
    for what in ["GET", "DELETE"] {
        for id in [id, "0-0-4294967295", "9-0-0", "nonsense", "%2e%2e"] {
            assert_eq!(door.ask(&format!("{what} /v1/sessions/{id}"), &[]).problem().0, 404, "{what} {id}");
        }
    }
    // Only that one.
    assert_eq!(ids(&door.ask("GET /v1/sessions", &[]).json(200)).len(), 1);
    both[0].allocate(|writer| writer).unwrap();
}

#[test]
fn decisions_are_told_by_user_and_by_address() {
    let home = Home::new("explain");
    let (server, door) = server(&home);
    let address = server.at("127.0.0.1");
    Client::new(address, Credential::minted(SECRET, "alice", -73)).allocate(|writer| writer).unwrap_err();
    Client::new(address, Credential::minted("another secret..", "bob", 600))
        .allocate(|writer| writer)
        .unwrap_err();
    server.wait_for("request refused", |line| line["user"].as_str()?.ends_with(":bob").then_some(()));

    let alice = door.ask("GET /v1/explain?user=alice", &[]).json(200);
    let [decision] = &alice["decisions"].as_array().unwrap()[..] else { panic!("{alice}") };
    let text = decision["text"].as_str().unwrap();
    let seconds = text
        .strip_prefix("allocate refused: the credential expired ")
        .or_else(|| text.split("expired ").nth(1))
        .unwrap();
    assert!(seconds.starts_with("73") || seconds.starts_with("74") || seconds.starts_with("75"), "{text}");
    assert_eq!((&decision["code"], &decision["user_id"]), (&401.into(), &"alice".into()));
    let here = door.ask("GET /v1/explain?ip=127.0.0.1&limit=1", &[]).json(200);
    let [last] = &here["decisions"].as_array().unwrap()[..] else { panic!("{here}") };
    assert!(last["text"].as_str().unwrap().contains("password does not match secret 1"), "{last}");
    let none = door.ask("GET /v1/explain?user=alice&ip=127.0.0.2", &[]);
    assert_eq!(none.text, r#"{"decisions":[]}"#);
    for bad in ["ip=x", "limit=0", "limit=x", "who=alice"] {
        assert_eq!(door.ask(&format!("GET /v1/explain?{bad}"), &[]).problem().0, 422, "{bad}");
    }
}
