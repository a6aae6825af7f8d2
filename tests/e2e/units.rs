//! The units that are shipped, judged by systemd's own tools.

use std::fs;

use crate::home::{Home, TURNBRIDGE};
use crate::tools::{find, run, skip_for_want_of};

const SERVICE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/turnbridge.service");
const SOCKET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/turnbridge.socket");
/// The exposure that is allowed, from 0 to 10.
const MOST_EXPOSED: f32 = 1.5;

#[test]
fn systemd_understands_every_line_of_the_units() {
    let Some(analyze) = find("systemd-analyze") else { return skip_for_want_of("systemd-analyze") };
    let home = Home::new("units");
    let service = fs::read_to_string(SERVICE).unwrap();
    assert!(service.contains("\nType=notify\nType=notify-reload\n"));
    // The program is not installed here.
    let service = home.file("turnbridge.service", &service.replace("/usr/bin/turnbridge", TURNBRIDGE));
    let socket = home.file("turnbridge.socket", &fs::read_to_string(SOCKET).unwrap());
    let mut verify = home.command(analyze.to_str().unwrap());
    verify.arg("verify").arg(service).arg(socket);
    let (code, said) = run(verify);
    // What systemd before 253 says of the line that is meant for later ones.
    let complaints: Vec<_> = said
        .lines()
        .filter(|line| {
            !line.is_empty() && !line.ends_with("Failed to parse service type, ignoring: notify-reload")
        })
        .collect();
    assert!(code == Some(0) && complaints.is_empty(), "{said}");
}

#[test]
fn the_service_is_hardly_exposed() {
    let Some(analyze) = find("systemd-analyze") else { return skip_for_want_of("systemd-analyze") };
    let home = Home::new("units-exposure");
    let mut security = home.command(analyze.to_str().unwrap());
    security.args(["security", "--offline=true", "--no-pager", SERVICE]);
    let (code, said) = run(security);
    assert_eq!(code, Some(0), "{said}");
    let level = said.lines().find_map(|line| {
        line.split_once("Overall exposure level for turnbridge.service: ")?.1.split(' ').next()?.parse().ok()
    });
    let level: f32 = level.unwrap_or_else(|| panic!("no level in: {said}"));
    assert!(level <= MOST_EXPOSED, "{level}: {said}");
}
