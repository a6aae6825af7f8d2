//! What the admin server changes: who may come in, whether anybody may, and the configuration.

use std::time::Instant;

use serde_json::Value;
use turnbridge::wire::{AttributeType, Method};

use crate::asker::{Door, bearer};
use crate::client::Client;
use crate::home::Home;
use crate::server::{Credential, Server};
use crate::tools::run;

const SECRET: &str = "a secret of sixteen";

fn server(home: &Home) -> Server {
    let mut server = Server::on_loopback(home, &[("TURNBRIDGE_AUTH__SECRETS", SECRET)]);
    server.hide(SECRET);
    server.wait_for("admin server listening", |_| Some(()));
    server
}

fn client(server: &Server, credential: &Credential) -> Client {
    Client::new(server.at("127.0.0.1"), credential.clone())
}

fn refresh(client: &mut Client) -> Result<(), u16> {
    client.request(Method::REFRESH, |writer| writer.number(AttributeType::LIFETIME, 600)).map(drop)
}

#[track_caller]
fn said(home: &Home, arguments: &[&str]) -> String {
    let (code, said) = run(home.turnbridge(arguments));
    assert_eq!(code, Some(0), "{arguments:?}: {said}");
    said
}

#[test]
fn a_revoked_credential_is_cut_off_at_once_and_stays_out() {
    let home = Home::new("revoke");
    let mut first = server(&home);
    let door = Door::default_of(&home);
    let revoked = Credential::minted(SECRET, "alice", 600);
    let other = Credential::minted(SECRET, "alice", 500);
    let (mut victim, mut bystander) = (client(&first, &revoked), client(&first, &other));
    victim.allocate(|writer| writer).unwrap();
    bystander.allocate(|writer| writer).unwrap();

    let asked = Instant::now();
    assert_eq!(door.ask(&format!("DELETE /v1/credentials/{}", revoked.username), &[]).status, 204);
    let ended = &first.ended(1)[0];
    assert!(asked.elapsed().as_millis() < 1000, "{:?}", asked.elapsed());
    assert_eq!((&ended["reason"], &ended["user"]), (&"revoked".into(), &revoked.username.as_str().into()));
    assert_eq!(client(&first, &revoked).allocate(|writer| writer), Err(401));
    refresh(&mut bystander).unwrap();
    let list = |door: &Door| door.ask("GET /v1/revocations", &[]).json(200)["revocations"].clone();
    assert_eq!(list(&door)[0]["username"], revoked.username.as_str());
    assert!(list(&door)[0]["until"].is_string());
    // The whole of a user, by command.
    assert!(said(&home, &["revoke", "alice"]).contains("revoked alice"));
    assert_eq!(refresh(&mut bystander), Err(401));
    assert_eq!(client(&first, &other).allocate(|writer| writer), Err(401));
    assert!(said(&home, &["explain", "alice"]).contains("was revoked"));
    // Nobody is given a credential that is good for nothing.
    let (code, detail) = door.ask("POST /v1/credentials?username=alice", &[]).problem();
    assert!(code == 409 && detail.contains("`alice` is revoked"), "{detail}");
    // A user's name may be a number, which is no time that could be over.
    let numbered = Credential::minted(SECRET, "12345", 600);
    for name in ["12345", "room:7", "bob"] {
        said(&home, &["revoke", name]);
    }
    assert_eq!(client(&first, &numbered).allocate(|writer| writer), Err(401));
    for name in ["12345", "room:7", "bob"] {
        assert!(list(&door).as_array().unwrap().iter().any(|it| it["username"] == name), "{name}");
        said(&home, &["revoke", "--undo", name]);
    }

    // A restart does not let it in again.
    first.stop();
    drop(first);
    let second = server(&home);
    assert_eq!(client(&second, &revoked).allocate(|writer| writer), Err(401));
    assert!(said(&home, &["revoke", "--list"]).contains(&revoked.username));
    assert!(said(&home, &["revoke", "--undo", "alice"]).contains("restored alice"));
    assert_eq!(door.ask(&format!("DELETE /v1/revocations/{}", revoked.username), &[]).status, 204);
    assert_eq!(list(&door).as_array().unwrap().len(), 0);
    client(&second, &revoked).allocate(|writer| writer).unwrap();
    assert_eq!(door.ask("DELETE /v1/revocations/alice", &[]).problem().0, 404);
    assert_eq!(door.ask("DELETE /v1/credentials/a%00b", &[]).problem().0, 422);
}

/// Where nothing can be kept the operator is told so, and the user is out all the same.
#[test]
fn a_revocation_that_cannot_be_kept_is_in_force_until_a_restart() {
    let home = Home::new("revoke-unkept");
    let no_directory = home.file("no-directory", "");
    let socket = home.path().join("admin.sock").display().to_string();
    let mut server = Server::on_loopback(
        &home,
        &[
            ("TURNBRIDGE_AUTH__SECRETS", SECRET),
            ("TURNBRIDGE_SERVER__STATE_DIR", no_directory.to_str().unwrap()),
            ("TURNBRIDGE_ADMIN__LISTEN", &format!("unix:{socket}")),
        ],
    );
    server.hide(SECRET);
    let credential = Credential::minted(SECRET, "alice", 600);
    client(&server, &credential).allocate(|writer| writer).unwrap();
    let (code, said) = run(home.turnbridge(&["revoke", "alice", "--admin", &socket]));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("will be forgotten when the server is restarted"), "{said}");
    assert_eq!(server.ended(1)[0]["reason"], "revoked");
    assert_eq!(client(&server, &credential).allocate(|writer| writer), Err(401));
}

#[test]
fn a_server_that_drains_keeps_what_it_has_and_can_come_back() {
    let home = Home::new("drain");
    let server = server(&home);
    let door = Door::default_of(&home);
    let mut old = client(&server, &Credential::minted(SECRET, "old", 600));
    old.allocate(|writer| writer).unwrap();
    let state = door.ask("POST /v1/drain", &[]).json(200);
    assert_eq!(
        (&state["draining"], &state["stops"], &state["allocations"]),
        (&true.into(), &false.into(), &1.into())
    );
    let mut new = client(&server, &Credential::minted(SECRET, "new", 600));
    assert_eq!(new.allocate(|writer| writer), Err(508));
    refresh(&mut old).unwrap();
    let ready = door.ask("GET /readyz", &[]).json(503);
    assert_eq!(ready["checks"]["draining"], "the server drains and takes no new allocations");
    assert_eq!(door.ask("GET /healthz", &[]).status, 200);
    assert!(said(&home, &["status"]).contains("draining since"));
    assert!(said(&home, &["drain", "--show"]).contains("1 allocations are left"));

    assert!(said(&home, &["drain", "--cancel"]).contains("serving"));
    assert_eq!(door.ask("GET /v1/drain", &[]).json(200)["draining"], false);
    new.allocate(|writer| writer).unwrap();
    assert_eq!(door.tell("POST /v1/drain", &[], r#"{"timeout_s":5}"#).problem().0, 422);
    assert_eq!(door.tell("POST /v1/drain", &[], r#"{"stop":1}"#).problem().0, 422);
}

#[test]
fn a_drained_server_stops_with_its_last_allocation_or_at_its_deadline() {
    for (name, timeout) in [("last", "1h"), ("deadline", "0s")] {
        let home = Home::new(&format!("drain-{name}"));
        let mut server = server(&home);
        let mut client = client(&server, &Credential::minted(SECRET, "alice", 600));
        client.allocate(|writer| writer).unwrap();
        let told = said(&home, &["drain", "--stop", "--timeout", timeout]);
        assert!(told.contains("stops with the last of them, or at 20"), "{told}");
        if name == "last" {
            client.release();
        }
        assert_eq!(server.process.wait().code(), Some(0));
        let reason = if name == "last" { "released" } else { "stopped" };
        assert_eq!(server.logged("allocation ended")[0]["reason"], reason);
    }
}

#[test]
fn a_reload_tells_what_has_changed_and_a_broken_one_changes_nothing() {
    let home = Home::new("reload");
    let key = |letter: &str| letter.repeat(24);
    let text = |limit: &str, key: &str| {
        format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n[relay]\naddresses = [\"127.0.0.1\"]\n[auth]\nsecrets = [\"{SECRET}\"]\n\
             [limits]\nallocations_per_user = {limit}\n[admin]\nlisten = [\"auto\", \"127.0.0.1:0\"]\n\
             [[admin.key]]\nname = \"app\"\nkey = \"{key}\"\nscopes = [\"read\"]\n"
        )
    };
    let file = home.file("t.toml", &text("5", &key("a")));
    let mut server = Server::start(&home, home.turnbridge(&["--config", file.to_str().unwrap()]));
    for hidden in [SECRET, &key("a"), &key("b")] {
        server.hide(hidden);
    }
    let (door, public) = (Door::default_of(&home), Door::tcp_of(&server));
    let status = |key: &str| public.ask("GET /v1/status", &[&bearer(key)]).status;
    assert_eq!((status(&key("a")), status(&key("b"))), (200, 401));

    home.file("t.toml", &text("1", &key("b")));
    let reloaded = door.ask("POST /v1/reload", &[]).json(200);
    let changes = reloaded["changes"].as_array().unwrap();
    let find = |name: &str| changes.iter().find(|change| change["key"].as_str().unwrap().starts_with(name));
    let limit = find("limits.allocations_per_user").unwrap();
    assert_eq!((&limit["old"], &limit["new"]), (&"5".into(), &"1".into()), "{reloaded}");
    assert!(find("admin").is_some(), "{reloaded}");
    assert!(!reloaded.to_string().contains(&key("b")), "{reloaded}");
    assert_eq!((status(&key("a")), status(&key("b"))), (401, 200));
    assert_eq!(door.ask("GET /v1/config", &[]).json(200)["limits"]["allocations_per_user"], 1);
    assert!(said(&home, &["reload"]).contains("nothing has changed"));

    home.file("t.toml", &text("none", &key("a")));
    let (code, detail) = door.ask("POST /v1/reload", &[]).problem();
    assert!(code == 409 && detail.contains("t.toml:8:"), "{detail}");
    let (code, told) = run(home.turnbridge(&["reload"]));
    assert!(code == Some(1) && told.contains("what ran goes on") && told.contains("t.toml:8:"), "{told}");
    assert_eq!((status(&key("a")), status(&key("b"))), (401, 200));
    let state = door.ask("GET /v1/status", &[]).json(200);
    assert_eq!(state["configuration"]["last_reload_succeeded"], Value::Bool(false));
    // The admin port that is open is still no peer.
    let mut client = client(&server, &Credential::minted(SECRET, "alice", 600));
    client.allocate(|writer| writer).unwrap();
    assert_eq!(client.bind(turnbridge::wire::ChannelNumber::FIRST, public.address()), Err(403));
}
