//! Records that are sent to a web server: what it gets, and what happens while it is bad or down.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rcgen::KeyPair;
use serde_json::Value;

use crate::authority::Authority;
use crate::client::Client;
use crate::home::Home;
use crate::interop::python::python;
use crate::process::Process;
use crate::receiver::{Reply, Request, WebServer, nobody};
use crate::server::{Credential, Server};
use crate::tools::{find, run, skip_for_want_of};

const SECRET: &str = "a secret of the tests of webhooks";
const HOOK_SECRET: &str = "whsec_c2VjcmV0IG9mIHRoZSB3ZWJob29rcw==";

/// A server that sends to `url`, with these lines of `[accounting.webhook]`.
#[track_caller]
fn start(home: &Home, url: &str, more: &str) -> Server {
    let file = home.file(
        "turnbridge.toml",
        &format!(
            "[server]\nname = \"turn-1\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
             [relay]\naddresses = [\"127.0.0.1\"]\n[auth]\nsecrets = [\"{SECRET}\"]\n[log]\nlevel = \"trace\"\n[drain]\ntimeout = \"0s\"\n\
             [accounting.webhook]\nurl = \"{url}\"\nsecret = \"{HOOK_SECRET}\"\n{more}\n"
        ),
    );
    let mut server = Server::start(home, home.turnbridge(&["--config", file.to_str().unwrap()]));
    server.hide(SECRET);
    server.hide(HOOK_SECRET);
    server.hide("c2VjcmV0IG9mIHRoZSB3ZWJob29rcw");
    server
}

/// Holds an allocation for a moment, so there are two records.
fn call(server: &Server, user: &str) {
    let mut client = Client::new(server.at("127.0.0.1"), Credential::minted(SECRET, user, 600));
    client.allocate(|writer| writer).unwrap();
    client.release();
}

fn records(requests: &[Request]) -> Vec<Value> {
    requests.iter().flat_map(|request| request.json()["records"].as_array().unwrap().clone()).collect()
}

/// Waits until so many records have come.
#[track_caller]
fn wait_for_records(web: &WebServer, count: usize) -> Vec<Value> {
    web.wait_for(|requests| Some(records(requests)).filter(|records| records.len() >= count))
}

#[test]
fn records_come_over_https_in_signed_batches_on_one_connection() {
    let home = Home::new("webhook");
    let authority = Authority::new();
    let issued = authority.issue(KeyPair::generate().unwrap(), &["127.0.0.1", "localhost"], |_| {});
    let web = WebServer::tls(&issued, |_| Reply::status(204));
    let ca_file = authority.trusted(&home);
    let url = format!("https://localhost:{}/records?token=hidden-in-the-url", web.address.port());
    let mut server = start(&home, &url, &format!("ca_file = {ca_file:?}\nbatch = 2\nflush = \"0s\""));
    server.hide("hidden-in-the-url");
    for user in ["alice", "bob", "carol"] {
        call(&server, user);
    }
    let all = wait_for_records(&web, 6);
    assert_eq!(server.stop().code(), Some(0));
    assert!(all.iter().all(|record| record["server"] == "turn-1"));
    let users: BTreeSet<_> = all.iter().map(|record| record["user_id"].as_str().unwrap()).collect();
    assert_eq!(users, BTreeSet::from(["alice", "bob", "carol"]));

    let requests = web.requests();
    let mut batches = BTreeSet::new();
    for request in &requests {
        assert_eq!(request.path, "/records?token=hidden-in-the-url");
        assert_eq!(request.headers["content-type"], "application/json");
        assert_eq!(request.connection, 0, "the connection is used again");
        let body = request.json();
        assert!((1..=2).contains(&body["records"].as_array().unwrap().len()));
        assert_eq!(body["batch"], request.headers["webhook-id"]);
        assert!(batches.insert(request.headers["webhook-id"].clone()));
        verify(&home, request);
    }
}

/// Checks the signature by a program that knows nothing of us.
#[track_caller]
fn verify(home: &Home, request: &Request) {
    let signature = &request.headers["webhook-signature"];
    let timestamp: u64 = request.headers["webhook-timestamp"].parse().unwrap();
    assert!(turnbridge::control::utc::unix_now().abs_diff(timestamp) < 60);
    if find("openssl").is_none() {
        return assert!(signature.starts_with("v1,"));
    }
    // HMAC-SHA256 with the key that the secret stands for.
    let mut signed = format!("{}.{timestamp}.", request.headers["webhook-id"]).into_bytes();
    signed.extend_from_slice(&request.body);
    std::fs::write(home.path().join("signed"), signed).unwrap();
    let mut command = home.command("sh");
    let script = "openssl dgst -sha256 -mac hmac -macopt 'key:secret of the webhooks' -binary signed | openssl base64 >&2";
    command.args(["-c", script]);
    let (code, said) = run(command);
    assert_eq!((code, format!("v1,{}", said.trim())), (Some(0), signature.clone()));
}

#[test]
fn what_fails_is_sent_again_under_the_same_name_until_it_is_taken() {
    let home = Home::new("webhook-again");
    let tries = AtomicUsize::new(0);
    let web = WebServer::plain(move |_| match tries.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::status(500),
        1 => Reply::Raw(b"this is not HTTP\r\n\r\n".to_vec()),
        2 => Reply::Status(302, "location: http://127.0.0.1:1/\r\n".to_owned(), String::new()),
        _ => Reply::status(200),
    });
    let mut server = start(&home, &format!("http://{}/", web.address), "flush = \"1s\"");
    call(&server, "alice");
    server.wait_for("records cannot be delivered", |line| {
        assert_eq!(line["reason"], "the answer was 500 Internal Server Error");
        Some(())
    });
    server.wait_for("records are delivered again", |_| Some(()));
    let requests = web.requests();
    assert_eq!(requests.len(), 4);
    for request in &requests {
        assert_eq!(request.body, requests[0].body);
        assert_eq!(request.headers["webhook-id"], requests[0].headers["webhook-id"]);
        verify(&home, request);
    }
    call(&server, "bob");
    assert_eq!(server.stop().code(), Some(0));
    assert_eq!(records(&web.requests()[4..]).len(), 2, "what is left is delivered at the end");
}

#[test]
fn records_that_the_other_side_does_not_want_do_not_hold_up_the_others() {
    let home = Home::new("webhook-refused");
    let web = WebServer::plain(|request| {
        let bad = String::from_utf8_lossy(&request.body).contains("mallory");
        Reply::status(if bad { 422 } else { 200 })
    });
    let mut server = start(&home, &format!("http://{}/", web.address), "batch = 2\nflush = \"0s\"");
    call(&server, "mallory");
    server.wait_for("records are not wanted; they are lost", |line| {
        assert_eq!(line["reason"], "the answer was 422 Unprocessable Entity");
        Some(())
    });
    call(&server, "alice");
    web.wait_for(|requests| {
        records(requests).iter().any(|record| record["user_id"] == "alice").then_some(())
    });
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn a_web_server_that_is_down_costs_neither_calls_nor_memory_nor_a_slow_end() {
    let home = Home::new("webhook-down");
    let mut server = start(&home, &format!("http://{}/", nobody()), "batch = 2\nqueue = 4\nflush = \"0s\"");
    for user in 0..10 {
        call(&server, &format!("user-{user}"));
    }
    server.wait_for("records cannot be delivered", |line| {
        assert!(line["reason"].as_str().unwrap().contains("Connection refused"), "{line}");
        Some(())
    });
    let asked = Instant::now();
    assert_eq!(server.stop().code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(15));
    let told = server.logged("accounting records were lost");
    assert_eq!(told[0]["outlet"], "accounting.webhook");
    let late = server.logged("there was no time left to deliver all records");
    let records = |lines: &[Value]| lines.iter().map(|line| line["records"].as_u64().unwrap()).sum::<u64>();
    assert_eq!(records(&told) + records(&late), 20, "{told:?} {late:?}");
}

#[test]
fn a_web_server_that_hangs_or_says_too_much_or_is_somebody_else_gets_another_try() {
    let home = Home::new("webhook-hangs");
    let (ours, theirs) = (Authority::new(), Authority::named("somebody else"));
    let issued = theirs.issue(KeyPair::generate().unwrap(), &["localhost"], |_| {});
    let impostor = WebServer::tls(&issued, |_| Reply::status(200));
    let ca_file = ours.trusted(&home);
    let url = format!("https://localhost:{}/", impostor.address.port());
    let mut server = start(&home, &url, &format!("ca_file = {ca_file:?}\nflush = \"0s\""));
    call(&server, "alice");
    server.wait_for("records cannot be delivered", |line| {
        let reason = line["reason"].as_str().unwrap();
        assert!(reason.contains("UnknownIssuer"), "{reason}");
        Some(())
    });
    assert!(impostor.requests().is_empty());
    server.process.kill();

    let cases = [
        (Reply::Silence, "no answer within 1 s"),
        (Reply::Status(200, String::new(), "x".repeat(100_000)), "the answer is longer than 65536 bytes"),
    ];
    for (at, (reply, expected)) in cases.into_iter().enumerate() {
        let home = Home::new(&format!("webhook-hangs-{at}"));
        let web = WebServer::plain(move |_| reply.clone());
        let url = format!("http://{}/", web.address);
        let mut server = start(&home, &url, "flush = \"0s\"\ntimeout = \"1s\"");
        call(&server, "alice");
        server.wait_for("records cannot be delivered", |line| {
            assert_eq!(line["reason"], expected);
            Some(())
        });
        web.answer(|_| Reply::status(200));
        server.wait_for("records are delivered again", |_| Some(()));
        assert_eq!(server.stop().code(), Some(0));
    }
}

#[test]
fn records_and_spans_are_understood_by_the_libraries_of_others() {
    let home = Home::new("webhook-python");
    let Some(python) = python(&home, "opentelemetry.proto, standardwebhooks") else { return };
    let mut command = home.command(&python);
    command.arg(home.file("collector.py", include_str!("collector.py"))).arg(HOOK_SECRET);
    let collector = Process::start(command);
    let said = |key: &'static str| {
        collector.out.wait_for(key, |line| serde_json::from_str::<Value>(line).unwrap().get(key).cloned())
    };
    let port = said("port");
    let otlp = format!("[accounting.otlp]\nendpoint = \"http://127.0.0.1:{port}\"");
    let mut server = start(&home, &format!("http://127.0.0.1:{port}/records"), &otlp);
    call(&server, "alice");
    assert_eq!(server.stop().code(), Some(0));

    let records = &said("verified")["records"];
    let (begin, end) = (&records[0], &records[1]);
    let span = &said("spans")[0];
    assert_eq!(span["resource"]["service.name"], "turnbridge");
    assert_eq!(span["resource"]["service.instance.id"], "turn-1");
    assert_eq!((&span["name"], &span["kind"]), (&"turn allocation".into(), &2.into()));
    let id = end["id"].as_str().unwrap();
    assert_eq!(span["trace"], id.replace('-', ""));
    assert_eq!(span["attributes"]["turn.allocation.id"], id);
    assert_eq!(span["attributes"]["user.id"], "alice");
    assert_eq!(span["attributes"]["network.transport"], "udp");
    let client = end["client"].as_str().unwrap();
    let attributes = &span["attributes"];
    assert_eq!(
        format!("{}:{}", attributes["client.address"].as_str().unwrap(), attributes["client.port"]),
        client
    );
    assert_eq!(attributes["turn.relay.addresses"], end["relay"]);
    assert_eq!(attributes["turn.up.bytes"], end["up"]["bytes"]);
    let ms = |nanos: &Value| nanos.as_u64().unwrap() / 1_000_000;
    assert_eq!(ms(&span["end"]), end["unix_ms"].as_u64().unwrap());
    assert!(ms(&span["begin"]).abs_diff(begin["unix_ms"].as_u64().unwrap()) < 1000);
    assert_eq!(span["events"][0][0], "allocation.created");
    assert_eq!(span["events"][1][2]["turn.end_reason"], "released");
}

#[test]
fn the_receiver_of_the_documentation_works_and_refuses_what_is_forged() {
    let home = Home::new("webhook-example");
    let example = include_str!("../../docs/examples/accounting_receiver.py");
    if find("python3").is_none() {
        return skip_for_want_of("python3");
    }
    for (secret, expected) in [(HOOK_SECRET, true), ("another secret", false)] {
        let mut command = home.command("python3");
        command.arg(home.file("receiver.py", example)).arg("0").env("WEBHOOK_SECRET", secret);
        let receiver = Process::start(command);
        let port = receiver.out.wait_for("port", |line| Some(line.rsplit_once("port ")?.1.to_owned()));
        let mut server = start(&home, &format!("http://127.0.0.1:{port}/"), "flush = \"0s\"");
        call(&server, "alice");
        if expected {
            receiver.out.wait_for("usage", |line| (line == "alice has used 0 bytes").then_some(()));
        } else {
            server.wait_for("records cannot be delivered", |line| {
                assert_eq!(line["reason"], "the answer was 401 Unauthorized");
                Some(())
            });
        }
        server.process.kill();
    }
}
