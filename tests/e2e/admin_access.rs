//! Who may ask the admin server what, and what it keeps to itself.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;

use turnbridge::wire::ChannelNumber;

use crate::asker::{Door, bearer};
use crate::client::Client;
use crate::home::{Home, TURNBRIDGE};
use crate::process::Process;
use crate::server::Server;
use crate::tools::{run, skip};

const MINT: &str = "mint-key-0123456789abcdef";
const READ: &str = "read-key-0123456789abcdef";
const CONTROL: &str = "control-key-0123456789abcdef";
const WRONG: &str = "wrong-key-0123456789abcdef";

/// A server with a key for each scope, and the TCP port where they are needed.
fn with_keys(home: &Home, extra: &[(&str, &str)]) -> (Server, Door) {
    let keys = format!(
        "[{{ name = \"app\", key = \"{MINT}\", scopes = [\"mint\"], max_ttl = \"1h\", \
            allowed_origins = [\"https://app.example.org\"] }}, \
          {{ name = \"monitor\", key = \"{READ}\", scopes = [\"read\"] }}, \
          {{ name = \"operator\", key = \"{CONTROL}\", scopes = [\"control\"] }}]"
    );
    let mut environment = vec![
        ("TURNBRIDGE_ADMIN__LISTEN", "auto,127.0.0.1:0"),
        ("TURNBRIDGE_ADMIN__KEY", &keys),
        ("TURNBRIDGE_LOG", "trace"),
    ];
    environment.extend(extra);
    let mut server = Server::on_loopback(home, &environment);
    for key in [MINT, READ, CONTROL, WRONG] {
        server.hide(key);
    }
    let door = Door::tcp_of(&server);
    (server, door)
}

#[test]
fn each_key_opens_what_its_scope_says_and_nothing_else() {
    let home = Home::new("admin-scopes");
    let (_server, door) = with_keys(&home, &[]);
    let document = door.ask("GET /openapi.json", &[]).json(200);
    let mut seen = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let security = operation["security"].as_array().unwrap();
            let Some(scope) = security.first().map(|first| first["bearer"][0].as_str().unwrap()) else {
                continue;
            };
            seen += 1;
            let what = format!("{} {}", method.to_uppercase(), path.replace(['{', '}'], ""));
            assert_eq!(door.ask(&what, &[]).problem().0, 401, "{what}");
            assert_eq!(door.ask(&what, &[&bearer("")]).problem().0, 401, "{what}");
            for (name, key) in [("mint", MINT), ("read", READ), ("control", CONTROL)] {
                let status = door.ask(&format!("{what}?nonsense=1"), &[&bearer(key)]).status;
                assert_eq!(status == 403, name != scope, "{what} with {name}: {status}");
                assert!(status < 500 && status != 401, "{what} with {name}: {status}");
            }
        }
    }
    assert!(seen >= 9, "{seen} operations");
}

#[test]
fn a_stolen_mint_key_mints_for_its_time_and_sees_nothing() {
    let home = Home::new("admin-stolen");
    let (server, door) = with_keys(&home, &[]);
    let key = bearer(MINT);
    let minted = door.ask("GET /v1/credentials?username=alice&ttl=999999", &[&key]).json(200);
    assert_eq!(minted["ttl"], 3600);
    for path in ["/v1/status", "/v1/config", "/v1/log-level"] {
        let (status, detail) = door.ask(&format!("GET {path}"), &[&key]).problem();
        assert_eq!(status, 403, "{path}");
        assert_eq!(detail, "this takes a key with the scope \"read\", and this one has mint");
    }
    assert_eq!(door.tell("PUT /v1/log-level", &[&key], r#"{"level":"trace"}"#).problem().0, 403);
    assert!(server.logged("log level changed").is_empty());
}

#[test]
fn a_key_is_taken_only_where_the_imitated_interface_has_it() {
    let home = Home::new("admin-places");
    let (_server, door) = with_keys(&home, &[]);
    let status = |what: &str, headers: &[&str]| door.ask(what, headers).status;
    assert_eq!(status(&format!("GET /v1/credentials?key={MINT}"), &[]), 200);
    assert_eq!(status(&format!("GET /v1/ice-servers?username=a&key={MINT}"), &[]), 200);
    assert_eq!(status(&format!("GET /v1/status?key={READ}"), &[]), 401);
    // "AC1:" and the key, by coreutils' base64.
    let basic = format!("Authorization: Basic {}", base64(&format!("AC1:{MINT}")));
    let tokens = "POST /2010-04-01/Accounts/AC1/Tokens.json";
    assert_eq!(status(tokens, &[&basic]), 201);
    assert_eq!(status(tokens, &[&bearer(MINT)]), 201);
    assert_eq!(status("GET /v1/credentials", &[&basic]), 401);
    for nonsense in ["Basic", "Basic !!!", "Basic QUMx", "Bearer", "Digest x", "\u{1}"] {
        let header = format!("Authorization: {nonsense}");
        assert!(matches!(status(tokens, &[&header]), 400 | 401), "{nonsense:?}");
    }
    let answer = door.ask(tokens, &[]);
    assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"turnbridge\""));
    assert_eq!(door.ask("GET /v1/status", &[]).header("www-authenticate"), Some("Bearer"));
    // Also at the Unix socket, where none is needed, a key counts for what it is.
    let unix = Door::default_of(&home);
    assert_eq!(unix.ask("GET /v1/status", &[]).status, 200);
    assert_eq!(unix.ask("GET /v1/status", &[&bearer(MINT)]).status, 403);
    assert_eq!(unix.ask("GET /v1/status", &[&bearer(WRONG)]).status, 401);
}

#[test]
fn many_wrong_keys_are_told_to_wait_and_the_right_one_passes() {
    let home = Home::new("admin-wrong");
    let (server, door) = with_keys(&home, &[]);
    let statuses: Vec<u16> =
        (0..30).map(|_| door.ask("GET /v1/status", &[&bearer(WRONG)]).problem().0).collect();
    assert_eq!(statuses[..20], [401; 20]);
    assert_eq!(statuses[20..], [429; 10]);
    assert_eq!(door.ask("GET /v1/status", &[&bearer(WRONG)]).header("retry-after"), Some("60"));
    assert_eq!(door.ask("GET /v1/status", &[&bearer(READ)]).status, 200);
    let told = server.logged("wrong admin key");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["source"], "127.0.0.1");
}

#[test]
fn web_pages_use_a_key_that_lists_them_and_no_other() {
    let home = Home::new("admin-cors");
    let (_server, door) = with_keys(&home, &[]);
    let (ours, theirs) = ("Origin: https://app.example.org", "Origin: https://evil.example");
    let key = bearer(MINT);
    let allowed = "access-control-allow-origin";
    let granted = door.ask("GET /v1/ice-servers", &[&key, ours]);
    assert_eq!((granted.status, granted.header(allowed)), (200, Some("https://app.example.org")));
    assert_eq!(granted.header("vary"), Some("Origin"));
    let refused = door.ask("GET /v1/ice-servers", &[&key, theirs]);
    assert_eq!((refused.problem().0, refused.header(allowed)), (403, None));
    // Another key's pages, and a page that would ride on the socket.
    assert_eq!(door.ask("GET /v1/status", &[&bearer(READ), ours]).problem().0, 403);
    assert_eq!(Door::default_of(&home).ask("GET /v1/status", &[theirs]).problem().0, 403);
    // A page learns why its key is refused.
    let wrong = door.ask("GET /v1/ice-servers", &[&bearer(WRONG), ours]);
    assert_eq!((wrong.status, wrong.header(allowed)), (401, Some("https://app.example.org")));

    let preflight = |what: &str, origin: &str, method: &str| {
        door.ask(&format!("OPTIONS {what}"), &[origin, &format!("Access-Control-Request-Method: {method}")])
    };
    let good = preflight("/v1/ice-servers", ours, "POST");
    assert_eq!((good.status, good.header(allowed)), (204, Some("https://app.example.org")));
    assert_eq!(good.header("access-control-allow-methods"), Some("POST"));
    assert_eq!(good.header("access-control-allow-headers"), Some("authorization, content-type"));
    for (what, origin, method) in [
        ("/v1/ice-servers", theirs, "POST"),
        ("/v1/ice-servers", ours, "DELETE"),
        ("/v1/status", ours, "GET"),
        ("/v1/log-level", ours, "PUT"),
        ("/healthz", ours, "GET"),
    ] {
        let answer = preflight(what, origin, method);
        assert_eq!((answer.status, answer.header(allowed)), (204, None), "{what} {origin} {method}");
    }
}

#[test]
fn a_page_that_names_itself_127_0_0_1_is_refused() {
    let home = Home::new("admin-rebinding");
    let (_server, door) = with_keys(&home, &[("TURNBRIDGE_ADMIN__NAMES", "turn.example.org")]);
    let status = |host: &str| door.ask("GET /healthz", &[&format!("Host: {host}")]).status;
    for own in ["localhost", "127.0.0.1:9641", "[::1]", "turn.example.org:443"] {
        assert_eq!(status(own), 200, "{own}");
    }
    for foreign in ["evil.example", "evil.example:9641"] {
        assert_eq!(status(foreign), 421, "{foreign}");
    }
}

#[test]
fn p12_the_admin_port_is_no_peer() {
    let home = Home::new("admin-peer");
    let (server, door) = with_keys(&home, &[("TURNBRIDGE_PEERS__ALLOW", "0.0.0.0/0,::/0")]);
    let mut client = Client::new(server.at("127.0.0.1"), server.credential());
    client.allocate(|writer| writer).unwrap();
    assert_eq!(client.bind(ChannelNumber::FIRST, door.address()), Err(403));
    let next = std::net::SocketAddr::new(door.address().ip(), door.address().port() ^ 1);
    client.bind(ChannelNumber::FIRST, next).unwrap();
}

#[test]
fn the_socket_is_for_its_owner_and_a_second_server_does_without() {
    let home = Home::new("admin-socket");
    let mut server = Server::on_loopback(&home, &[]);
    let path = home.path().join("turnbridge/admin.sock");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let second = Server::on_loopback(&home, &[]);
    let told = second.logged(
        "no admin socket, so commands like `turnbridge status` cannot reach this server; set admin.listen",
    );
    assert!(told[0]["reason"].as_str().unwrap().contains("another server answers there"), "{told:?}");
    let first = Door::default_of(&home).ask("GET /v1/status", &[]).json(200);
    assert_eq!(first["process"], server.process.id());
    server.stop();
    assert!(!path.exists());
}

#[test]
fn a_configured_address_that_cannot_be_had_ends_the_start() {
    let home = Home::new("admin-busy");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let with = |listen: &str| {
        let mut command = home.turnbridge(&["--listen", "127.0.0.1:0"]);
        command.env("TURNBRIDGE_ADMIN__LISTEN", listen);
        run(command)
    };
    let (code, said) = with(&address);
    assert_eq!(code, Some(75), "{said}");
    assert!(said.contains(&format!("the admin server cannot listen on {address} (admin.listen)")), "{said}");
    let file = home.file("taken.sock", "notes");
    let (code, said) = with(&format!("unix:{}", file.display()));
    assert_eq!(code, Some(1), "{said}");
    let (code, said) = with("0.0.0.0:0");
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("there is no [[admin.key]] that they would need"), "{said}");
}

#[test]
fn an_empty_list_is_no_admin_server() {
    let home = Home::new("admin-off");
    let server = Server::on_loopback(&home, &[("TURNBRIDGE_ADMIN__LISTEN", "")]);
    assert!(!home.path().join("turnbridge/admin.sock").exists());
    assert!(server.logged("admin server listening").is_empty());
}

#[test]
fn check_masks_keys_and_knows_that_tcp_needs_one() {
    let home = Home::new("admin-check");
    let key = home.file("key", &format!("{MINT}\n"));
    let text = format!(
        "[admin]\nlisten = [\"0.0.0.0:9641\"]\n[[admin.key]]\nname = \"app\"\nkey = \"{READ}\"\nscopes = [\"read\"]\n\
         [[admin.key]]\nname = \"file\"\nkey_file = \"{}\"\nscopes = [\"mint\"]\n",
        key.display()
    );
    let file = home.file("t.toml", &text);
    let (code, said) = run(home.turnbridge(&["check", file.to_str().unwrap()]));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("#   managed at  0.0.0.0:9641, with the keys of app, file\n"), "{said}");
    assert!(said.contains("key = \"***\"") && !said.contains(READ) && !said.contains(MINT), "{said}");
    assert!(
        said.contains("warning: admin.listen: keys and credentials go to 0.0.0.0:9641 in clear"),
        "{said}"
    );
    let without = home.file("without.toml", "[admin]\nlisten = [\"0.0.0.0:9641\"]\n");
    let (code, said) = run(home.turnbridge(&["check", without.to_str().unwrap()]));
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("without.toml:2:"), "{said}");
}

#[test]
fn nothing_secret_is_on_the_command_line_or_in_a_core() {
    let home = Home::new("admin-core");
    let key = home.file("key", &format!("{MINT}\n"));
    let text = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[relay]\naddresses = [\"127.0.0.1\"]\n[auth]\nsecrets = [\"a secret of sixteen\"]\n\
         [[admin.key]]\nname = \"app\"\nkey_file = \"{}\"\nscopes = [\"mint\"]\n",
        key.display()
    );
    let file = home.file("t.toml", &text);
    let with_cores = |script: &str| {
        let mut command = home.command("sh");
        command.args(["-c", &format!("ulimit -c unlimited; {script}"), TURNBRIDGE, file.to_str().unwrap()]);
        command
    };
    let mut other = Process::start(with_cores("kill -s ABRT $$"));
    let has_cores = other.wait().core_dumped();
    let mut server = Server::start(&home, with_cores("exec \"$0\" --config \"$1\""));
    server.hide(MINT);
    server.hide("a secret of sixteen");
    let line = fs::read_to_string(format!("/proc/{}/cmdline", server.process.id())).unwrap();
    assert!(line.contains("--config") && !line.contains("secret of") && !line.contains(MINT), "{line}");
    server.process.signal("ABRT");
    assert!(!server.process.wait().core_dumped());
    if !has_cores {
        skip("this host writes no cores at all");
    }
}

/// By coreutils, so that it is not our own that is tested by itself.
fn base64(text: &str) -> String {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "printf %s \"$0\" | base64 -w0", text]);
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}
