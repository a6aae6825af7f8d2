//! The admin API against its own description, by a tester that makes requests up: Python's schemathesis.

use crate::asker::Door;
use crate::client::Client;
use crate::home::Home;
use crate::interop::python::python;
use crate::server::{Credential, Server};
use crate::tools::run;

const KEY: &str = "all-scopes-0123456789abcdef";

#[test]
fn no_made_up_request_makes_the_server_fail() {
    let home = Home::new("schemathesis");
    let Some(python) = python(&home, "schemathesis") else { return };
    let keys = format!("[{{ name = \"all\", key = \"{KEY}\", scopes = [\"mint\", \"read\", \"control\"] }}]");
    let environment = [("TURNBRIDGE_ADMIN__LISTEN", "127.0.0.1:0"), ("TURNBRIDGE_ADMIN__KEY", keys.as_str())];
    let mut server = Server::on_loopback(&home, &environment);
    server.hide(KEY);
    let door = Door::tcp_of(&server);
    // Something to be listed, and something to be explained.
    let mut client = Client::new(server.at("127.0.0.1"), server.credential());
    client.allocate(|writer| writer).unwrap();
    let stranger = Credential::plain("mallory", "x");
    Client::new(server.at("127.0.0.1"), stranger).allocate(|writer| writer).unwrap_err();
    let mut command = home.command(&python);
    command.args(["-m", "schemathesis.cli", "run", &format!("http://{}/openapi.json", door.address())]);
    command.args([
        "--header",
        &format!("Authorization: Bearer {KEY}"),
        "--seed",
        "4",
        "--max-examples",
        "20",
    ]);
    command.args([
        "--checks",
        CHECKS,
        "--phases",
        "examples,coverage,fuzzing",
        "--generation-database",
        "none",
        "--warnings",
        "off",
        "--no-color",
    ]);
    // With `stop` it would end the server, and the test; drains have tests of their own.
    command.args(["--exclude-operation-id", "drain"]);
    let (code, said) = run(command);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("No issues found"), "{said}");
    // It still does what it is for.
    assert_eq!(door.ask("GET /readyz", &[]).status, 200);
}

/// What holds for each answer: no failure of the server, and nothing that the description does not have.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,unsupported_method";
