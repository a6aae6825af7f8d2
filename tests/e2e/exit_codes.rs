//! How the process ends, for whoever has started it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use crate::client::Client;
use crate::home::{Home, TURNBRIDGE};
use crate::server::Server;
use crate::tools::{find, is_root, run, skip, skip_for_want_of};

/// Nobody: a user without any privilege.
const NOBODY: u32 = 65_534;

/// A command of a user without privileges, or nothing where that cannot be.
pub(crate) fn unprivileged(home: &Home, arguments: &[&str]) -> Option<std::process::Command> {
    if !is_root() {
        return Some(home.turnbridge(arguments));
    }
    if find("setpriv").is_none() {
        skip_for_want_of("setpriv");
        return None;
    }
    // The build directory may be in a home that nobody else may enter. Copied by another process: what this one writes
    // could be held open by a child that another test starts just now, and then it cannot be executed.
    let program = home.path().join("program");
    let mut copy = home.command("cp");
    copy.arg(TURNBRIDGE).arg(&program);
    assert_eq!(run(copy).0, Some(0));
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    chown(home.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let mut command = home.command("setpriv");
    command.args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--bounding-set=-all",
        "--inh-caps=-all",
    ]);
    command.arg(program).args(arguments);
    Some(command)
}

#[test]
fn a_busy_port_is_75() {
    let home = Home::new("busy");
    let server = Server::on_loopback(&home, &[]);
    let address = server.at("127.0.0.1");
    let (code, said) = run(home.turnbridge(&["--listen", &address.to_string()]));
    assert_eq!(code, Some(75), "{said}");
    let expected = format!("cannot listen on udp {address}: another program uses port {}", address.port());
    assert!(said.contains(&expected), "{said}");
    // The one that was there first does not notice.
    assert!(Client::new(address, server.credential()).allocate(|writer| writer).is_ok());
}

#[test]
fn a_privileged_port_without_the_privilege_is_77() {
    let home = Home::new("privileged");
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    if first.trim().parse::<u16>().unwrap() <= 99 {
        return skip("on this host everybody may use port 99");
    }
    let Some(command) = unprivileged(&home, &["--listen", "127.0.0.1:99"]) else { return };
    let (code, said) = run(command);
    assert_eq!(code, Some(77), "{said}");
    assert!(said.contains("ports below 1024 need CAP_NET_BIND_SERVICE"), "{said}");
}

#[test]
fn a_state_directory_without_permission_is_77() {
    let home = Home::new("state");
    let closed = home.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).unwrap();
    let state = closed.join("state");
    let arguments = ["--listen", "127.0.0.1:0", "--state-dir", state.to_str().unwrap()];
    let Some(command) = unprivileged(&home, &arguments) else { return };
    let (code, said) = run(command);
    assert_eq!(code, Some(77), "{said}");
    assert!(said.contains("name a directory with --state-dir"), "{said}");
}

#[test]
fn a_wrong_configuration_is_78_and_wrong_usage_is_2() {
    let home = Home::new("wrong");
    let file = home.file("t.toml", "[relay]\nports = \"60000-50000\"\n");
    let (code, said) = run(home.turnbridge(&["--config", file.to_str().unwrap()]));
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("t.toml:2:9"), "{said}");
    let (code, said) = run(home.turnbridge(&["--listen", "somewhere"]));
    assert_eq!(code, Some(2), "{said}");
}

#[test]
fn sigterm_is_0_also_for_a_user_without_any_privilege() {
    let home = Home::new("unprivileged");
    let Some(mut command) = unprivileged(&home, &["--listen", "127.0.0.1:0"]) else { return };
    command.env("TURNBRIDGE_RELAY__ADDRESSES", "127.0.0.1");
    let mut server = Server::start(&home, command);
    let status = fs::read_to_string(format!("/proc/{}/status", server.process.id())).unwrap();
    assert!(status.contains("\nCapEff:\t0000000000000000\n"), "{status}");
    let mut client = Client::new(server.at("127.0.0.1"), server.credential());
    client.allocate(|writer| writer).unwrap();
    assert_eq!(server.stop().code(), Some(0));
}
