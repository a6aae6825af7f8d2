//! The commands that talk to a running server.

use serde_json::Value;

use crate::asker::Door;
use crate::client::Client;
use crate::home::Home;
use crate::server::{Credential, Server};
use crate::tools::run;

const SECRET: &str = "a secret of sixteen";
const KEY: &str = "read-key-0123456789abcdef";

fn server(home: &Home) -> Server {
    let mut server = Server::on_loopback(home, &[("TURNBRIDGE_AUTH__SECRETS", SECRET)]);
    server.hide(SECRET);
    // The socket is there before it serves, but not before the thread that serves it.
    server.wait_for("admin server listening", |_| Some(()));
    server
}

#[track_caller]
fn said(home: &Home, arguments: &[&str]) -> String {
    let (code, said) = run(home.turnbridge(arguments));
    assert_eq!(code, Some(0), "{arguments:?}: {said}");
    said
}

#[track_caller]
fn json(home: &Home, arguments: &[&str]) -> Value {
    let said = said(home, &[arguments, &["--json"]].concat());
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

#[test]
fn sessions_are_a_table_and_one_is_told_whole() {
    let home = Home::new("command-sessions");
    let server = server(&home);
    let users = ["alice", "bob", "carol"];
    let mut clients =
        users.map(|user| Client::new(server.at("127.0.0.1"), Credential::minted(SECRET, user, 600)));
    for client in &mut clients {
        client.allocate(|writer| writer).unwrap();
    }
    let table = said(&home, &["sessions"]);
    let lines: Vec<_> = table.lines().filter(|line| !line.is_empty()).collect();
    assert!(lines[0].starts_with("ID") && lines[0].ends_with("SILENT"), "{table}");
    assert_eq!(lines.len(), 4, "{table}");
    assert!(users.iter().all(|user| lines.iter().any(|line| line.contains(&format!("  {user}")))), "{table}");
    assert!(said(&home, &["sessions", "--limit", "2"]).contains("and 1 more; --limit shows them"));

    let found = json(&home, &["sessions", "--user", "bob"]);
    assert_eq!(found["total"], 1);
    let session = &found["sessions"][0];
    let id = session["id"].as_str().unwrap();
    let whole = said(&home, &["sessions", id]);
    let client = format!("client    {} over udp to {}", clients[1].address(), server.at("127.0.0.1"));
    assert!(whole.contains(&client) && whole.contains(":bob"), "{whole}");
    assert_eq!(json(&home, &["sessions", id])["peers"]["channels"].as_array().unwrap().len(), 0);

    assert!(said(&home, &["kick", id]).contains(&format!("ended {id}")));
    assert_eq!(server.ended(1)[0]["reason"], "kicked");
    let (code, said) = run(home.turnbridge(&["kick", id, "nonsense"]));
    assert_eq!(code, Some(1));
    assert!(said.contains(&format!("error: {id}: there is no such session")), "{said}");
    assert!(said.contains("error: nonsense: there is no such session"), "{said}");
}

#[test]
fn explain_tells_a_cause_and_what_helps() {
    let home = Home::new("command-explain");
    let server = server(&home);
    assert!(said(&home, &["explain", "alice"]).contains("nothing is known about alice"));
    Client::new(server.at("127.0.0.1"), Credential::minted(SECRET, "alice", -90))
        .allocate(|writer| writer)
        .unwrap_err();
    server.wait_for("request refused", |_| Some(()));
    for whom in ["alice", "127.0.0.1"] {
        let told = said(&home, &["explain", whom]);
        assert!(told.contains("the credential expired 9") && told.contains(" [401]"), "{told}");
    }
    assert_eq!(json(&home, &["explain", "alice"])["decisions"][0]["user_id"], "alice");
}

#[test]
fn status_and_log_level_are_those_of_the_running_server() {
    let home = Home::new("command-status");
    let server = server(&home);
    let told = said(&home, &["status"]);
    assert!(told.contains(&format!("process {}", server.process.id())), "{told}");
    assert!(told.contains(&format!("udp:{}", server.at("127.0.0.1"))), "{told}");
    assert_eq!(json(&home, &["status"])["process"], server.process.id());
    assert_eq!(said(&home, &["log-level"]).trim(), "info");
    assert_eq!(said(&home, &["log-level", "debug"]).trim(), "debug");
    assert_eq!(json(&home, &["log-level"])["level"], "debug");
    server.wait_for("log level changed", |line| {
        (line["level"] == "debug" || line["level"] == "warn").then_some(())
    });
    let (code, said) = run(home.turnbridge(&["log-level", "loud"]));
    assert_eq!(code, Some(2), "{said}");
}

#[test]
fn a_server_elsewhere_is_named_by_flag_environment_or_configuration() {
    let home = Home::new("command-elsewhere");
    let keys = format!("[{{ name = \"monitor\", key = \"{KEY}\", scopes = [\"read\"] }}]");
    let socket = home.path().join("elsewhere.sock");
    let listen = format!("unix:{},127.0.0.1:0", socket.display());
    let environment = [("TURNBRIDGE_ADMIN__LISTEN", listen.as_str()), ("TURNBRIDGE_ADMIN__KEY", &keys)];
    let mut server = Server::on_loopback(&home, &environment);
    server.hide(KEY);
    let door = Door::tcp_of(&server).address();
    let key = home.file("key", &format!("{KEY}\n"));
    let (key, socket) = (key.to_str().unwrap(), socket.to_str().unwrap());
    let url = format!("http://{door}");
    assert!(said(&home, &["status", "--admin", socket]).contains("up for"));
    assert!(said(&home, &["status", "--admin", &url, "--key-file", key]).contains("up for"));
    let mut command = home.turnbridge(&["status"]);
    command.env("TURNBRIDGE_ADMIN", format!("unix:{socket}"));
    assert_eq!(run(command).0, Some(0));
    let file = home.file("t.toml", &format!("[admin]\nlisten = [\"unix:{socket}\"]\n"));
    assert!(said(&home, &["status", "--config", file.to_str().unwrap()]).contains("up for"));

    // Whoever asks need not be allowed to read the server's secrets.
    let text = format!("[admin]\nlisten = [\"unix:{socket}\"]\n[auth]\nsecret_files = [\"not-ours\"]\n");
    let file = home.file("secret.toml", &text);
    assert!(said(&home, &["status", "--config", file.to_str().unwrap()]).contains("up for"));

    let refused = |arguments: &[&str]| {
        let (code, said) = run(home.turnbridge(arguments));
        assert!(!said.contains(KEY), "{said}");
        (code, said)
    };
    let (code, said) = refused(&["status", "--admin", &url]);
    assert!(code == Some(1) && said.contains("a key is needed"), "{said}");
    let (code, said) = refused(&["log-level", "debug", "--admin", &url, "--key-file", key]);
    assert!(code == Some(1) && said.contains("takes a key with the scope \"control\""), "{said}");
    let nowhere = home.path().join("nowhere.sock");
    let (code, said) = refused(&["status", "--admin", nowhere.to_str().unwrap()]);
    let expected = format!("no server can be reached:\n  {}: there is no such socket", nowhere.display());
    assert!(code == Some(1) && said.contains(&expected), "{said}");
    let (code, said) = refused(&["status", "--admin", "https://turn.example.org"]);
    assert!(code == Some(2) && said.contains("TLS is spoken by a web server in front"), "{said}");
    // What is no admin server says so, rather than something odd.
    let turn = format!("http://{}", server.listeners_over("tcp")[0]);
    let (code, said) = refused(&["status", "--admin", &turn]);
    assert!(code == Some(1) && said.contains("error: "), "{said}");
}

#[test]
fn who_may_not_open_the_socket_is_told_so() {
    let home = Home::new("command-forbidden");
    let _server = server(&home);
    let Some(command) = crate::exit_codes::unprivileged(&home, &["status"]) else { return };
    if !crate::tools::is_root() {
        return crate::tools::skip("whoever tests owns the socket");
    }
    let (code, said) = run(command);
    assert_eq!(code, Some(77), "{said}");
    assert!(said.contains("admin.sock: no permission") && said.contains("try sudo"), "{said}");
}
