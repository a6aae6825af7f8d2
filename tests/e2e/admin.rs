//! The admin server: credentials for applications, health for orchestrators, and a look at the server.

use serde_json::Value;
use turnbridge::control::utc::unix_now;

use crate::asker::{Answer, Door};
use crate::client::Client;
use crate::home::Home;
use crate::server::{Credential, Server};
use crate::tools::{free_ports, run};

fn credential(minted: &Value, password: &str) -> Credential {
    Credential::plain(minted["username"].as_str().unwrap(), minted[password].as_str().unwrap())
}

/// How long the user name says that it is good for.
fn life(username: &Value) -> u64 {
    username.as_str().unwrap().split(':').next().unwrap().parse::<u64>().unwrap() - unix_now()
}

#[test]
fn the_draft_shape_logs_in_however_it_is_asked_for() {
    let home = Home::new("admin-draft");
    let mut server = Server::on_loopback(&home, &[("TURNBRIDGE_LOG", "trace")]);
    let door = Door::default_of(&home);
    let form = ["Content-Type: application/x-www-form-urlencoded"];
    let answers: [Answer; 4] = [
        door.ask("GET /v1/credentials?service=turn&username=al%20ice&ttl=600", &[]),
        door.tell("POST /v1/credentials", &[], r#"{"username":"al ice","ttl":600}"#),
        door.tell("POST /v1/credentials?service=turn", &[], r#"{"username":"al ice","ttl":"600"}"#),
        door.send("POST /v1/credentials", &form, "service=turn&username=al+ice&ttl=600"),
    ];
    for answer in answers {
        let minted = answer.json(200);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("access-control-allow-origin"), None);
        assert!(minted["username"].as_str().unwrap().ends_with(":al ice"), "{minted}");
        assert!((590..=600).contains(&life(&minted["username"])), "{minted}");
        assert_eq!(minted["ttl"], 600);
        server.hide(minted["password"].as_str().unwrap());
        let address = server.at("127.0.0.1");
        assert_eq!(minted["uris"][0], format!("turn:{address}?transport=udp"));
        let mut client = Client::new(address, credential(&minted, "password"));
        client.allocate(|writer| writer).unwrap();
        client.release();
    }
    // Nobody in particular, for as long as is usual.
    let minted = door.ask("GET /v1/credentials", &[]).json(200);
    assert_eq!(minted["ttl"], 86_400);
    assert!(!minted["username"].as_str().unwrap().contains(':'));
}

#[test]
fn the_browser_shape_has_stun_and_turn_and_no_port_53() {
    let home = Home::new("admin-browser");
    let urls = "turn:turn.example.org:3478?transport=udp,turn:turn.example.org:53?transport=udp,\
                turns:turn.example.org:443?transport=tcp";
    let _server = Server::on_loopback(&home, &[("TURNBRIDGE_SERVER__URLS", urls)]);
    let door = Door::default_of(&home);
    let servers = door.ask("GET /v1/ice-servers?username=alice", &[]).json(200);
    let [stun, turn] = &servers["iceServers"].as_array().unwrap()[..] else { panic!("{servers}") };
    assert_eq!(stun.to_string(), r#"{"urls":["stun:turn.example.org:3478"]}"#);
    let kept = ["turn:turn.example.org:3478?transport=udp", "turns:turn.example.org:443?transport=tcp"];
    assert_eq!(turn["urls"], serde_json::json!(kept));
    assert!(turn["username"].is_string() && turn["credential"].is_string());
    // The draft's clients are no browsers, and the command tells the same.
    let minted = door.ask("GET /v1/credentials", &[]).json(200);
    assert_eq!(minted["uris"].as_array().unwrap().len(), 3);
    let (code, said) = run(home.turnbridge(&[
        "credential",
        "--state-dir",
        home.path().join("turnbridge").to_str().unwrap(),
    ]));
    assert_eq!(code, Some(0), "{said}");
    for url in urls.split(',') {
        assert!(!said.contains(url), "the command has no such environment: {said}");
    }
    let mut command = home.turnbridge(&["credential"]);
    command.env("TURNBRIDGE_SERVER__URLS", urls);
    let (_, said) = run(command);
    assert!(urls.split(',').all(|url| said.contains(url.trim())), "{said}");
}

#[test]
fn twilios_shape_logs_in() {
    let home = Home::new("admin-twilio");
    let server = Server::on_loopback(&home, &[]);
    let door = Door::default_of(&home);
    let form = ["Content-Type: application/x-www-form-urlencoded"];
    let token = door.send("POST /2010-04-01/Accounts/AC123/Tokens.json", &form, "Ttl=3600").json(201);
    assert_eq!((&token["ttl"], &token["account_sid"]), (&"3600".into(), &"AC123".into()));
    let created = token["date_created"].as_str().unwrap();
    assert!(created.ends_with(" +0000") && created == token["date_updated"], "{created}");
    let servers = token["ice_servers"].as_array().unwrap();
    assert!(servers[0]["url"].as_str().unwrap().starts_with("stun:"), "{token}");
    let turn = servers.iter().find(|server| server["username"].is_string()).unwrap();
    assert_eq!(turn["url"], turn["urls"]);
    assert_eq!(turn["username"], token["username"]);
    assert_eq!(turn["credential"], token["password"]);
    Client::new(server.at("127.0.0.1"), credential(&token, "password")).allocate(|writer| writer).unwrap();
    // Two tokens are two users.
    let other = door.ask("POST /2010-04-01/Accounts/AC123/Tokens.json", &[]).json(201);
    assert_ne!(
        other["username"].as_str().unwrap().split_once(':'),
        token["username"].as_str().unwrap().split_once(':')
    );
    assert_eq!(other["ttl"], "86400");
}

#[test]
fn no_credential_lives_longer_than_the_server_accepts() {
    let home = Home::new("admin-ttl");
    let server = Server::on_loopback(
        &home,
        &[("TURNBRIDGE_AUTH__MAX_TTL", "1h"), ("TURNBRIDGE_ADMIN__DEFAULT_TTL", "10m")],
    );
    let door = Door::default_of(&home);
    assert_eq!(door.ask("GET /v1/credentials", &[]).json(200)["ttl"], 600);
    let minted = door.ask("GET /v1/credentials?ttl=18446744073709551615", &[]).json(200);
    assert_eq!(minted["ttl"], 3600);
    Client::new(server.at("127.0.0.1"), credential(&minted, "password")).allocate(|writer| writer).unwrap();
}

#[test]
fn what_makes_no_sense_is_refused_in_words() {
    let home = Home::new("admin-nonsense");
    let server = Server::on_loopback(&home, &[]);
    let door = Door::default_of(&home);
    let long = "x".repeat(600);
    let cases: &[(&str, &str, &str, (u16, &str))] = &[
        ("GET /v1/nothing", "", "", (404, "/openapi.json says what there is")),
        ("DELETE /v1/ice-servers", "", "", (405, "other methods")),
        ("GET /v1/credentials?ttl=0", "", "", (422, "`ttl`")),
        ("GET /v1/credentials?ttl=1h", "", "", (422, "expected a whole number")),
        ("GET /v1/credentials?ttl=-1", "", "", (422, "expected a whole number")),
        ("GET /v1/credentials?ttl=1&ttl=2", "", "", (422, "`ttl` is there twice")),
        ("GET /v1/credentials?tll=1", "", "", (422, "unknown field `tll`")),
        ("GET /v1/credentials?service=stun", "", "", (422, "`service` is \"turn\"")),
        ("GET /v1/credentials?username=a%00b", "", "", (422, "control or invisible character")),
        ("GET /v1/credentials?username=a%0Ab", "", "", (422, "control or invisible character")),
        ("GET /v1/credentials?username=%E2%80%AEb", "", "", (422, "control or invisible character")),
        (&format!("GET /v1/credentials?username={long}"), "", "", (422, "longer than 508 bytes")),
        ("GET /v1/credentials?username=%FF", "", "", (400, "not UTF-8")),
        ("POST /v1/credentials", "application/json", "{", (400, "no JSON object")),
        ("POST /v1/credentials", "application/json", "[]", (400, "no JSON object")),
        ("POST /v1/credentials", "application/json", r#"{"ttl":1.5}"#, (422, "expected a whole number")),
        ("POST /v1/credentials", "application/json", r#"{"username":7}"#, (422, "expected a string")),
        ("POST /v1/credentials", "text/plain", "ttl=1", (415, "application/json")),
        ("POST /2010-04-01/Accounts/%FF/Tokens.json", "", "", (400, "")),
        ("PUT /v1/log-level", "application/json", r#"{"level":"loud"}"#, (422, "expected \"error\"")),
        ("PUT /v1/log-level", "application/json", "{}", (422, "missing field `level`")),
    ];
    for (what, kind, body, (status, detail)) in cases {
        let kind = format!("Content-Type: {kind}");
        let answer = door.send(what, &[&kind], body);
        let problem = answer.problem();
        assert_eq!(problem.0, *status, "{what} {body}: {problem:?}");
        assert!(problem.1.contains(detail), "{what} {body}: {problem:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let allowed = door.ask("DELETE /v1/ice-servers", &[]);
    assert_eq!(allowed.header("allow"), Some("GET,HEAD,POST"));
    let large = format!("{{\"username\":\"{}\"}}", "x".repeat(70_000));
    assert_eq!(door.tell("POST /v1/credentials", &[], &large).problem().0, 413);
    let head = format!("X-Long: {}", "x".repeat(20_000));
    assert_eq!(door.ask("GET /healthz", &[&head]).status, 431);
    // It is all the same to the server.
    assert_eq!(door.ask("GET /readyz", &[]).status, 200);
    Client::new(server.at("127.0.0.1"), server.credential()).allocate(|writer| writer).unwrap();
}

#[test]
fn static_users_alone_leave_nothing_to_mint_with() {
    let home = Home::new("admin-static");
    let users = "[{ name = \"bob\", password = \"builder\" }]";
    let _server = Server::on_loopback(&home, &[("TURNBRIDGE_AUTH__USER", users)]);
    let (status, detail) = Door::default_of(&home).ask("GET /v1/credentials", &[]).problem();
    assert_eq!(status, 409);
    assert!(detail.contains("auth.secrets"), "{detail}");
}

#[test]
fn readiness_ends_when_the_ports_do_and_health_goes_on() {
    let home = Home::new("admin-ready");
    let (range, _) = free_ports(2);
    let server = Server::on_loopback(&home, &[("TURNBRIDGE_RELAY__PORTS", &range)]);
    let door = Door::default_of(&home);
    let ready = door.ask("GET /readyz", &[]).json(200);
    assert_eq!(ready["status"], "ok");
    let names: Vec<_> = ready["checks"].as_object().unwrap().keys().collect();
    for name in ["listeners", "workers", "udp", "ports", "certificates"] {
        assert!(names.iter().any(|known| *known == name), "{ready}");
    }
    let mut clients = [0; 2].map(|_| Client::new(server.at("127.0.0.1"), server.credential()));
    for client in &mut clients {
        client.allocate(|writer| writer).unwrap();
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let full = loop {
        // What was found last counts for half a second.
        let answer = door.ask("GET /readyz", &[]);
        if answer.status != 200 || std::time::Instant::now() > deadline {
            break answer.json(503);
        }
    };
    assert_eq!(full["checks"]["ports"], "2 of 2 IPv4 relay ports are taken");
    assert_eq!(full["checks"]["udp"], "ok");
    assert_eq!(door.ask("GET /healthz", &[]).json(200)["checks"]["workers"], "ok");
}

#[test]
fn the_status_and_the_configuration_are_those_in_use() {
    let home = Home::new("admin-status");
    let mut server = Server::on_loopback(
        &home,
        &[("TURNBRIDGE_AUTH__SECRETS", "a secret of sixteen"), ("TURNBRIDGE_SERVER__WORKERS", "2")],
    );
    server.hide("a secret of sixteen");
    let door = Door::default_of(&home);
    let credential = Credential::minted("a secret of sixteen", "alice", 600);
    Client::new(server.at("127.0.0.1"), credential).allocate(|writer| writer).unwrap();
    let status = door.ask("GET /v1/status", &[]).json(200);
    assert_eq!(status["process"], server.process.id());
    assert_eq!(status["workers"].to_string(), r#"{"answering":2,"running":2}"#);
    assert_eq!((&status["allocations"], &status["users"]), (&1.into(), &1.into()));
    assert_eq!(status["relays"][0]["ports_taken"], 1);
    assert_eq!(status["listeners"][0], format!("udp:{}", server.at("127.0.0.1")));
    let config = door.ask("GET /v1/config", &[]);
    assert_eq!(config.json(200)["auth"]["secrets"].to_string(), r#"["***"]"#);
    assert_eq!(config.json(200)["server"]["workers"], 2);
    assert!(!config.text.contains("a secret of sixteen"));
}

#[test]
fn the_figures_are_those_of_the_metrics() {
    let home = Home::new("admin-metrics");
    let server = Server::on_loopback(&home, &[]);
    let door = Door::default_of(&home);
    Client::new(server.at("127.0.0.1"), server.credential()).allocate(|writer| writer).unwrap();
    let figures = door.ask("GET /metrics", &["Accept: application/openmetrics-text"]);
    assert_eq!(figures.status, 200);
    assert!(figures.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert!(
        figures.text.contains("turnbridge_build_info{") && figures.text.ends_with("# EOF\n"),
        "{}",
        figures.text
    );
    let home = Home::new("admin-no-metrics");
    let _other = Server::on_loopback(&home, &[("TURNBRIDGE_METRICS__ENABLED", "false")]);
    let (status, detail) = Door::default_of(&home).ask("GET /metrics", &[]).problem();
    assert!(status == 404 && detail.contains("metrics.enabled"), "{detail}");
}

#[test]
fn the_log_level_changes_at_once() {
    let home = Home::new("admin-level");
    let server = Server::on_loopback(&home, &[]);
    let door = Door::default_of(&home);
    assert_eq!(door.ask("GET /v1/log-level", &[]).text, r#"{"level":"info"}"#);
    door.ask("GET /v1/credentials?username=quiet", &[]).json(200);
    assert_eq!(door.tell("PUT /v1/log-level", &[], r#"{"level":"debug"}"#).text, r#"{"level":"debug"}"#);
    door.ask("GET /v1/credentials?username=loud", &[]).json(200);
    let user = server.wait_for("credential made", |line| line["user"].as_str().map(str::to_owned));
    assert!(user.ends_with(":loud"), "{user}");
    assert_eq!(door.ask("GET /v1/log-level", &[]).text, r#"{"level":"debug"}"#);
    assert_eq!(server.logged("log level changed")[0]["by"], "unix socket");
}

#[test]
fn the_served_description_is_the_one_in_docs() {
    let home = Home::new("admin-openapi");
    let _server = Server::on_loopback(&home, &[]);
    let answer = Door::default_of(&home).ask("GET /openapi.json", &[]);
    assert_eq!(answer.json(200)["openapi"], "3.1.0");
    assert_eq!(answer.text, include_str!("../../docs/openapi.json"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
}
