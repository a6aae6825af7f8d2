//! What Prometheus' own tool says to the metrics and to the rules.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use super::scrape::{OPEN_METRICS, get, place};
use super::site;
use crate::tools::{find, skip_for_want_of};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Runs it with this input; whether it was content, and what it said.
fn promtool(arguments: &[&str], input: &str) -> Option<(bool, String)> {
    let Some(program) = find("promtool") else {
        skip_for_want_of("promtool");
        return None;
    };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

#[test]
fn promtool_finds_nothing_to_say_to_the_text_format() {
    let site = site("promtool-text", "");
    site.client(crate::site::Way::Tls).allocate().unwrap();
    let text = get(place(&site.server), "/metrics", "text/plain").body;
    let Some((is_content, said)) = promtool(&["check", "metrics"], &text) else { return };
    assert!(is_content && said.is_empty(), "{said}");
}

/// It reads OpenMetrics only to fill a database, and then wants to know when each sample was taken.
#[test]
fn promtool_reads_open_metrics() {
    let site = site("promtool-open", "coturn_names = true\n");
    site.client(crate::site::Way::Tls).allocate().unwrap();
    let text = get(place(&site.server), "/metrics", OPEN_METRICS).body;
    let mut dated = String::new();
    for line in text.lines() {
        let date = if line.starts_with('#') { "" } else { " 1700000000" };
        writeln!(dated, "{line}{date}").unwrap();
    }
    let (file, blocks) = (site.home.file("dated.txt", &dated), site.home.path().join("blocks"));
    let arguments =
        ["tsdb", "create-blocks-from", "openmetrics", file.to_str().unwrap(), blocks.to_str().unwrap()];
    let Some((is_content, said)) = promtool(&arguments, "") else { return };
    assert!(is_content, "{said}");
    let broken = dated.replacen(" 1700000000", "} 1700000000", 1);
    let file = site.home.file("broken.txt", &broken);
    let arguments =
        ["tsdb", "create-blocks-from", "openmetrics", file.to_str().unwrap(), blocks.to_str().unwrap()];
    assert!(!promtool(&arguments, "").unwrap().0, "it takes anything");
}

#[test]
fn promtool_accepts_the_alert_rules_and_they_fire_when_they_should() {
    let rules = format!("{ROOT}/config/alerts.yml");
    let tests = format!("{ROOT}/tests/prometheus/alerts_test.yml");
    for arguments in [["check", "rules", &rules], ["test", "rules", &tests]] {
        let Some((is_content, said)) = promtool(&arguments, "") else { return };
        assert!(is_content, "{said}");
    }
}
