//! The examples of `docs/credentials-in-your-app.md`, run as they stand there.

use serde_json::Value;

use crate::asker::Door;
use crate::client::Client;
use crate::home::Home;
use crate::server::{Credential, Server};
use crate::tools::{find, run, skip_for_want_of};

const DOCUMENT: &str = include_str!("../../docs/credentials-in-your-app.md");
const KEY: &str = "mint-key-0123456789abcdef";
const SECRET: &str = "a secret of sixteen";

/// The code block that begins with a comment of this name.
fn example(name: &str) -> &'static str {
    let blocks = DOCUMENT.split("```").skip(1).step_by(2);
    let mut codes = blocks.filter_map(|block| block.split_once('\n')).map(|(_, code)| code);
    let is_it = |code: &&str| code.lines().next().is_some_and(|line| line.ends_with(&format!(" {name}")));
    codes.find(is_it).unwrap_or_else(|| panic!("no example {name}"))
}

fn logs_in(program: &str, examples: [&str; 2]) {
    let home = Home::new(&format!("examples-{program}"));
    if find(program).is_none() {
        return skip_for_want_of(program);
    }
    let keys = format!("[{{ name = \"app\", key = \"{KEY}\", scopes = [\"mint\"] }}]");
    let environment = [
        ("TURNBRIDGE_AUTH__SECRETS", SECRET),
        ("TURNBRIDGE_ADMIN__LISTEN", "127.0.0.1:0"),
        ("TURNBRIDGE_ADMIN__KEY", &keys),
    ];
    let mut server = Server::on_loopback(&home, &environment);
    server.hide(KEY);
    server.hide(SECRET);
    let api = format!("http://{}", Door::tcp_of(&server).address());
    for name in examples {
        let mut command = home.command(program);
        command.arg(home.file(name, example(name)));
        command.envs([("TURN_API", api.as_str()), ("TURN_KEY", KEY), ("TURN_SECRET", SECRET)]);
        let (code, said) = run(command);
        assert_eq!(code, Some(0), "{name}: {said}");
        let printed: Value =
            serde_json::from_str(said.trim()).unwrap_or_else(|error| panic!("{error}: {said}"));
        let servers = printed["iceServers"].as_array().unwrap();
        let turn = servers.iter().find(|server| server["username"].is_string()).unwrap();
        let text = |field: &str| turn[field].as_str().unwrap();
        assert!(text("username").ends_with(":alice"), "{name}: {said}");
        let credential = Credential::plain(text("username"), text("credential"));
        Client::new(server.at("127.0.0.1"), credential).allocate(|writer| writer).unwrap();
    }
}

#[test]
fn the_examples_for_node_log_in() {
    logs_in("node", ["ask.mjs", "make.mjs"]);
}

#[test]
fn the_examples_for_python_log_in() {
    logs_in("python3", ["ask.py", "make.py"]);
}
