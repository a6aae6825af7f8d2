//! Users that a web server of the operator's decides about.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rcgen::KeyPair;
use serde_json::json;
use turnbridge::wire::ChannelNumber;

use crate::authority::Authority;
use crate::client::Client;
use crate::home::Home;
use crate::process::Process;
use crate::receiver::{Reply, Request, WebServer, nobody};
use crate::server::{Credential, Server};
use crate::site::{Site, Way};
use crate::tools::{find, skip_for_want_of};

const SECRET: &str = "a secret of the server's own";
const HOOK_SECRET: &str = "a secret of the auth webhook";
const PASSWORD: &str = "open the pod bay doors";

/// A server that asks at `url`, with these lines of `[auth.webhook]`.
#[track_caller]
fn start(home: &Home, url: &str, more: &str) -> Server {
    let file = home.file(
        "turnbridge.toml",
        &format!(
            "[server]\nname = \"turn-1\"\nrealm = \"example.org\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
             [relay]\naddresses = [\"127.0.0.1\"]\n[log]\nlevel = \"trace\"\n[drain]\ntimeout = \"0s\"\n[auth]\nsecrets = [\"{SECRET}\"]\n\
             [auth.webhook]\nurl = \"{url}\"\nsecret = \"{HOOK_SECRET}\"\n{more}\n"
        ),
    );
    let mut server = Server::start(home, home.turnbridge(&["--config", file.to_str().unwrap()]));
    for secret in [SECRET, HOOK_SECRET, PASSWORD] {
        server.hide(secret);
    }
    server
}

fn dave(server: &Server) -> Client {
    Client::new(server.at("127.0.0.1"), Credential::plain("dave", PASSWORD))
}

/// One whose password the server knows itself.
fn minted(server: &Server, user: &str) -> Client {
    Client::new(server.at("127.0.0.1"), Credential::minted(SECRET, user, 600))
}

fn allocate(mut client: Client) -> Result<(), u16> {
    client.allocate(|writer| writer).map(drop)
}

/// The causes that were logged, in words.
fn reasons(server: &Server) -> Vec<String> {
    server.logged("request refused").iter().map(|line| line["reason"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_user_that_only_the_webhook_knows_logs_in_under_its_terms_and_is_remembered() {
    let home = Home::new("auth-webhook");
    let authority = Authority::new();
    let issued = authority.issue(KeyPair::generate().unwrap(), &["localhost"], |_| {});
    let web = WebServer::tls(&issued, |_| {
        Reply::json(&json!({"allow": true, "password": PASSWORD, "limits": {"allocations": 2},
            "peers": {"deny": ["9.9.9.0/24"]}}))
    });
    let url = format!("https://localhost:{}/auth?token=hidden-in-the-url", web.address.port());
    let mut server = start(&home, &url, &format!("ca_file = {:?}", authority.trusted(&home)));
    server.hide("hidden-in-the-url");
    let mut clients = [dave(&server), dave(&server), dave(&server)];
    let allocated = clients.each_mut().map(|client| client.allocate(|writer| writer).map(drop));
    assert_eq!(allocated, [Ok(()), Ok(()), Err(486)]);
    let channel = ChannelNumber::FIRST;
    assert_eq!(clients[0].bind(channel, "9.9.9.9:9".parse().unwrap()), Err(403));
    assert_eq!(clients[0].bind(channel, "8.8.8.8:9".parse().unwrap()), Ok(()));
    let thief = Client::new(server.at("127.0.0.1"), Credential::plain("dave", "wrong"));
    assert_eq!(allocate(thief), Err(401));

    let [request] = &web.requests()[..] else { panic!("{:?}", web.requests()) };
    let asked = request.json();
    assert_eq!(
        asked,
        json!({"user": "dave", "user_id": "dave", "realm": "example.org", "transport": "udp", "server": "turn-1",
            "client": clients[0].address().to_string()})
    );
    assert!(
        request.headers["webhook-signature"].starts_with("v1,") && !request.headers["webhook-id"].is_empty()
    );
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn a_webhook_can_leave_the_password_to_the_server_and_only_refuse() {
    let home = Home::new("auth-policy");
    let web = WebServer::plain(|request| match request.json()["user_id"].as_str().unwrap() {
        "mallory" => Reply::json(&json!({"allow": false, "reason": "the bill is not paid"})),
        _ => Reply::json(&json!({"allow": true})),
    });
    let mut server = start(&home, &format!("http://{}/", web.address), "");
    assert_eq!(allocate(minted(&server, "alice")), Ok(()));
    assert_eq!(allocate(minted(&server, "mallory")), Err(401));
    assert_eq!(allocate(dave(&server)), Err(401), "nobody knows a password of his");
    server.wait_for("request refused", |line| (line["words"] == "the bill is not paid").then_some(()));
    assert_eq!(server.stop().code(), Some(0));
    assert!(reasons(&server).iter().any(|reason| reason == "unknown user"), "{:?}", reasons(&server));
}

/// Everything a web server can do wrong, and what is said of it.
fn troubles() -> [(Reply, &'static str); 7] {
    [
        (Reply::status(500), "the answer was 500 Internal Server Error"),
        (
            Reply::Status(302, "location: http://127.0.0.1:1/\r\n".to_owned(), String::new()),
            "the answer was 302 Found",
        ),
        (Reply::Raw(b"hunter2\r\n\r\n".to_vec()), "client error (SendRequest): invalid HTTP version parsed"),
        (
            Reply::Status(200, String::new(), "hunter2".to_owned()),
            "the answer cannot be understood: it is not JSON",
        ),
        (
            Reply::json(&json!({"allow": true, "key": "hunter2"})),
            "the answer cannot be understood: `key` is not 32",
        ),
        (
            Reply::Status(200, String::new(), "hunter2".repeat(20_000)),
            "the answer is longer than 65536 bytes",
        ),
        (Reply::Silence, "no answer within 1 s"),
    ]
}

#[test]
fn while_the_webhook_is_bad_nobody_or_only_the_servers_own_users_log_in() {
    for when_down in ["refuse", "local"] {
        for (at, (reply, expected)) in troubles().into_iter().enumerate() {
            let home = Home::new(&format!("auth-down-{when_down}-{at}"));
            let web = WebServer::plain(move |_| reply.clone());
            let url = format!("http://{}/", web.address);
            let mut server = start(&home, &url, &format!("when_down = \"{when_down}\""));
            server.hide("hunter2");
            let allowed = if when_down == "local" { Ok(()) } else { Err(401) };
            assert_eq!(allocate(minted(&server, "alice")), allowed, "{expected}");
            assert_eq!(allocate(dave(&server)), Err(401), "{expected}");
            server.wait_for("the auth webhook does not answer", |line| {
                let reason = line["reason"].as_str().unwrap();
                assert!(reason.starts_with(expected), "{reason}");
                assert_eq!(line["when_down"], when_down);
                Some(())
            });
            web.answer(|_| Reply::json(&json!({"allow": true, "password": PASSWORD})));
            assert_eq!(allocate(dave(&server)), Ok(()), "{expected}");
            server.wait_for("the auth webhook answers again", |_| Some(()));
            assert_eq!(server.stop().code(), Some(0));
        }
    }
}

#[test]
fn a_webhook_that_is_dead_is_left_alone_and_costs_clients_no_time() {
    let home = Home::new("auth-dead");
    let web = WebServer::plain(|_| Reply::Silence);
    let mut server = start(&home, &format!("http://{}/", web.address), "when_down = \"local\"");
    // Each of another user, so that none waits for another's answer. All are kept, so that none has the port of another
    // one before it.
    let clients: Vec<_> = (0..5).map(|user| minted(&server, &format!("user-{user}"))).collect();
    let asking = clients.into_iter().map(|mut client| {
        thread::spawn(move || {
            client.allocate(|writer| writer).unwrap();
            client
        })
    });
    let asking: Vec<_> = asking.collect();
    let _slow: Vec<Client> = asking.into_iter().map(|client| client.join().unwrap()).collect();
    assert_eq!(web.requests().len(), 5);
    let (asked, mut quick) = (Instant::now(), Vec::new());
    while asked.elapsed() < Duration::from_millis(500) {
        let mut client = minted(&server, &format!("later-{}", quick.len()));
        assert!(client.allocate(|writer| writer).is_ok());
        quick.push(client);
    }
    assert!(quick.len() > 5, "{}", quick.len());
    assert_eq!(web.requests().len(), 5, "nobody is asked for a second");
    assert_eq!(server.stop().code(), Some(0));

    let home = Home::new("auth-nobody");
    let mut server = start(&home, &format!("http://{}/", nobody()), "");
    assert_eq!(allocate(minted(&server, "alice")), Err(401));
    server.wait_for("request refused", |line| {
        (line["words"] == "the auth webhook does not answer").then_some(())
    });
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn strangers_with_made_up_names_do_not_keep_the_webhook_from_being_asked() {
    let home = Home::new("auth-strangers");
    let web = WebServer::plain(|request| match request.json()["user_id"].as_str() {
        Some("dave") => Reply::json(&json!({"allow": true, "password": PASSWORD})),
        _ => Reply::status(404),
    });
    let mut server = start(&home, &format!("http://{}/", web.address), "when_down = \"local\"");
    for stranger in 0..8 {
        let stranger = minted(&server, &format!("nobody-{stranger}"));
        assert_eq!(allocate(stranger), Err(401), "what holds while it is down does not hold");
    }
    assert_eq!(allocate(dave(&server)), Ok(()));
    assert_eq!(web.requests().len(), 9);
    assert_eq!(server.stop().code(), Some(0));
    let told = server.logged("the auth webhook rejects a question; its user is refused");
    assert_eq!((told.len(), &told[0]["status"]), (1, &json!("404 Not Found")));
}

#[test]
fn clients_of_one_user_wait_for_one_answer_and_others_for_none() {
    let home = Home::new("auth-slow");
    let web = WebServer::plain(|request: &Request| {
        let answer = Reply::json(&json!({"allow": true, "password": PASSWORD}));
        if request.json()["user"] == "dave" {
            thread::sleep(Duration::from_millis(400));
        }
        answer
    });
    let mut server = start(&home, &format!("http://{}/", web.address), "");
    let mut bob = Client::new(server.at("127.0.0.1"), Credential::plain("bob", PASSWORD));
    let relay = bob.allocate(|writer| writer).unwrap();
    bob.bind(ChannelNumber::FIRST, relay).unwrap();
    let waiting: Vec<_> =
        (0..4).map(|_| dave(&server)).map(|client| thread::spawn(|| allocate(client))).collect();
    web.wait_for(|requests| (requests.len() > 1).then_some(()));
    // Relayed while somebody is being asked about.
    let sent = Instant::now();
    bob.send(ChannelNumber::FIRST, b"to myself");
    assert_eq!(bob.receive(ChannelNumber::FIRST), b"to myself");
    assert!(sent.elapsed() < Duration::from_millis(300));
    assert!(waiting.into_iter().all(|client| client.join().unwrap() == Ok(())));
    assert_eq!(web.requests().len(), 2);
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn an_answer_holds_for_as_long_as_it_says_and_for_whom() {
    let home = Home::new("auth-ttl");
    let web = WebServer::plain(|_| Reply::json(&json!({"allow": true, "password": PASSWORD, "ttl": 0})));
    let mut server = start(&home, &format!("http://{}/", web.address), "");
    for asked in 1..=2 {
        assert_eq!(allocate(dave(&server)), Ok(()));
        assert_eq!(web.requests().len(), asked);
    }
    web.answer(|_| Reply::json(&json!({"allow": true, "password": PASSWORD, "cache_by_address": true})));
    let from = |last: u8| {
        let ip = [127, 0, 0, last].into();
        Client::from(ip, server.at("127.0.0.1"), Credential::plain("dave", PASSWORD))
    };
    for (last, asked) in [(2, 3), (2, 3), (3, 4), (2, 4)] {
        assert_eq!(allocate(from(last)), Ok(()));
        assert_eq!(web.requests().len(), asked, "{last}");
    }
    let expired = AtomicUsize::new(0);
    web.answer(move |_| {
        expired.fetch_add(1, Ordering::Relaxed);
        Reply::json(&json!({"allow": true, "password": PASSWORD, "expires": 1000}))
    });
    assert_eq!(allocate(from(4)), Err(401), "the key is not good any more");
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn clients_over_tls_wait_for_their_answer_too() {
    let web = WebServer::plain(|request| match request.json()["transport"].as_str() {
        Some("tls") => Reply::json(&json!({"allow": true})),
        _ => Reply::json(&json!({"allow": false})),
    });
    let more = format!("[auth.webhook]\nurl = \"http://{}/\"\ncache_refusals = \"0s\"\n", web.address);
    let site = Site::start("auth-tls", &more);
    assert_eq!(site.client(Way::Tcp).allocate().map(drop), Err(401));
    assert!(site.client(Way::Tls).allocate().is_ok());
}

#[test]
fn the_answerer_of_the_documentation_works() {
    if find("python3").is_none() {
        return skip_for_want_of("python3");
    }
    let home = Home::new("auth-example");
    let mut command = home.command("python3");
    let example = include_str!("../../docs/examples/auth_answerer.py");
    command.arg(home.file("answerer.py", example)).arg("0").env("WEBHOOK_SECRET", HOOK_SECRET);
    let answerer = Process::start(command);
    let port = answerer.out.wait_for("port", |line| Some(line.rsplit_once("port ")?.1.to_owned()));
    let mut server = start(&home, &format!("http://127.0.0.1:{port}/"), "");
    let client =
        |user: &str, password: &str| Client::new(server.at("127.0.0.1"), Credential::plain(user, password));
    assert_eq!(allocate(client("dave", "bowman")), Ok(()));
    assert_eq!(allocate(client("dave", "wrong")), Err(401));
    assert_eq!(allocate(client("hal", "9000")), Err(401));
    server.wait_for("request refused", |line| (line["words"] == "this account is closed").then_some(()));
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn after_a_reload_another_one_is_asked_and_nothing_of_the_first_is_remembered() {
    let home = Home::new("auth-reload");
    let generous = WebServer::plain(|_| Reply::json(&json!({"allow": true, "password": PASSWORD})));
    let strict = WebServer::plain(|_| Reply::json(&json!({"allow": false, "reason": "closed"})));
    let mut server = start(&home, &format!("http://{}/", generous.address), "");
    let mut kept = dave(&server);
    kept.allocate(|writer| writer).unwrap();
    let config = home.path().join("turnbridge.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let changed = text.replace(&generous.address.to_string(), &strict.address.to_string());
    std::fs::write(&config, changed).unwrap();
    server.process.reload();
    server.wait_for("configuration reloaded", |_| Some(()));
    assert_eq!(allocate(dave(&server)), Err(401));
    assert_eq!(generous.requests().len(), 1);
    kept.release();
    assert_eq!(server.stop().code(), Some(0));
}
