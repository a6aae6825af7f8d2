//! Coming from coturn, with the files and the database that Debian's coturn brings.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::authority::Authority;
use crate::client::Client;
use crate::home::Home;
use crate::server::{Credential, Server};
use crate::tools::{find, run, skip, skip_for_want_of};

/// The configuration that comes with coturn: all options, most of them in comments.
const EXAMPLES: [&str; 2] = ["/etc/turnserver.conf", "/usr/share/doc/coturn/examples/etc/turnserver.conf"];

fn example() -> Option<String> {
    let readable = EXAMPLES.iter().find_map(|path| fs::read_to_string(path).ok());
    if find("turnserver").is_none() {
        skip_for_want_of("turnserver");
        return None;
    }
    if readable.is_none() {
        skip("the configuration of coturn cannot be read by this user");
    }
    readable
}

/// The long names of all options, as coturn lists them.
fn names(home: &Home) -> BTreeSet<String> {
    let mut command = home.command("turnserver");
    command.arg("--help");
    let (_, help) = run(command);
    let heads = help.lines().filter(|line| line.starts_with(' ') && line.trim_start().starts_with('-'));
    let words =
        heads.flat_map(|line| line.trim_start().split('\t').next().unwrap().split([' ', ',', '<', '=', '[']));
    let names = words.filter_map(|word| word.strip_prefix("--")).map(str::to_owned);
    let names: BTreeSet<String> =
        names.filter(|name| !["help", "version"].contains(&name.as_str())).collect();
    assert!(names.len() > 90, "{names:?} in {help}");
    names
}

/// The name of the option in a line, without what makes it a comment.
fn option<'a>(line: &'a str, names: &BTreeSet<String>) -> Option<(&'a str, &'a str)> {
    let line = line.strip_prefix('#').unwrap_or(line).trim();
    let name = line.split(['=', ' ']).next().unwrap();
    let is_one =
        line == name || line[name.len()..].starts_with(['=']) || line[name.len()..].starts_with(" \"");
    (is_one && names.contains(name)).then_some((name, line))
}

/// Converts `text`, checks what comes of it, and returns it together with what was said.
#[track_caller]
fn import(home: &Home, text: &str) -> (String, String) {
    home.file("turnserver.conf", text);
    let (code, said) = run(home.turnbridge(&["import", "turnserver.conf", "-o", "t.toml", "--force"]));
    assert_eq!(code, Some(0), "{text}\n{said}");
    let (code, checked) = run(home.turnbridge(&["check", "t.toml"]));
    let toml = fs::read_to_string(home.path().join("t.toml")).unwrap();
    assert_eq!(code, Some(0), "{text}\n{toml}\n{checked}");
    (toml, said)
}

#[track_caller]
fn is_accounted_for(name: &str, (toml, said): &(String, String)) {
    let is_said = said.lines().any(|line| line.contains(&format!(", {name}: ")));
    assert!(is_said || toml.contains(&format!("{name} (line")), "{name} is lost: {toml}\n{said}");
}

#[test]
fn no_option_that_coturn_lists_is_unknown() {
    let home = Home::new("import-names");
    if find("turnserver").is_none() {
        return skip_for_want_of("turnserver");
    }
    let names: Vec<String> = names(&home).into_iter().collect();
    let (_, said) = import(&home, &names.join("\n"));
    assert!(said.contains(" 0 unknown"), "{said}");
}

#[test]
fn each_option_of_debians_example_gives_a_configuration_that_check_accepts() {
    let home = Home::new("import-each");
    let Some(example) = example() else { return };
    let names = names(&home);
    let mut seen = 0;
    for (name, line) in example.lines().filter_map(|line| option(line, &names)) {
        let result = import(&home, line);
        is_accounted_for(name, &result);
        assert!(result.1.contains(" 0 not understood, 0 unknown"), "{line}: {}", result.1);
        seen += 1;
    }
    assert!(seen > 100, "only {seen} options were found");
}

#[test]
fn all_options_of_debians_example_together_give_a_configuration_that_check_accepts() {
    let home = Home::new("import-all");
    let Some(example) = example() else { return };
    let names = names(&home);
    let (chain, key) = Authority::new().certify(&home, &["turn.example.org"]);
    let on: Vec<String> = example
        .lines()
        .map(|line| match option(line, &names) {
            Some(("cert", _)) => format!("cert={}", chain.display()),
            Some(("pkey", _)) => format!("pkey={}", key.display()),
            Some((_, option)) => option.to_owned(),
            None => line.to_owned(),
        })
        .collect();
    let result = import(&home, &on.join("\n"));
    for (name, _) in on.iter().filter_map(|line| option(line, &names).filter(|_| !line.starts_with('#'))) {
        is_accounted_for(name, &result);
    }
    let (toml, said) = &result;
    assert!(said.contains(" 0 unknown"), "{said}");
    // The secrets of the example are in the file and nowhere else.
    assert!(toml.contains("secrets = [\"north\"]") && !said.contains("youhavetoberealistic"), "{said}");
}

#[test]
fn users_and_secrets_of_a_database_log_in() {
    let home = Home::new("import-database");
    if find("turnadmin").is_none() {
        return skip_for_want_of("turnadmin");
    }
    let secret = "a secret that turnadmin was told";
    for arguments in [
        &["-a", "-u", "alice", "-r", "north.example", "-p", "wonderland"][..],
        &["-a", "-u", "eve", "-r", "south.example", "-p", "wonderland"],
        &["-s", secret, "-r", "north.example"],
        &["-g", "--user-quota=7", "-r", "north.example"],
        &["-A", "-u", "root", "-p", "toor"],
    ] {
        let mut turnadmin = home.command("turnadmin");
        turnadmin.args(["-b", "turndb"]).args(arguments);
        let (code, said) = run(turnadmin);
        assert_eq!(code, Some(0), "{arguments:?}: {said}");
    }
    let before = fs::read(home.path().join("turndb")).unwrap();
    let (toml, said) = import(&home, "realm=north.example\nuserdb=turndb\n");
    assert_eq!(fs::read(home.path().join("turndb")).unwrap(), before, "the database is only read");
    assert!(toml.contains("allocations_per_user = 7"), "{toml}");
    for part in ["\"eve\" (\"south.example\")", "table admin_user: 1 row"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(!said.contains(secret), "{said}");

    let mut server = start(&home, &home.path().join("t.toml"));
    server.hide(secret);
    let allocate = |credential| Client::new(server.at("127.0.0.1"), credential).allocate(|writer| writer);
    assert!(allocate(Credential::plain("alice", "wonderland")).is_ok());
    assert!(allocate(Credential::minted(secret, "bob", 600)).is_ok());
    assert_eq!(allocate(Credential::plain("alice", "looking-glass")), Err(401));
    assert_eq!(allocate(Credential::plain("eve", "wonderland")), Err(401));
}

/// A server with an imported configuration, on a port that is free here.
fn start(home: &Home, config: &Path) -> Server {
    let mut command = home.turnbridge(&["--config", config.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    command.env("TURNBRIDGE_RELAY__ADDRESSES", "127.0.0.1");
    Server::start(home, command)
}
