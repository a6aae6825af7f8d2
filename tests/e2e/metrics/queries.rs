//! Queries of the dashboard and the alert rules, and the documentation: each asks for what there is.

use std::collections::BTreeSet;

use serde_json::Value;

use super::scrape::{Figures, place};
use super::site;

const DASHBOARD: &str = include_str!("../../../config/grafana-dashboard.json");
const ALERTS: &str = include_str!("../../../config/alerts.yml");
const ALERT_TESTS: &str = include_str!("../../prometheus/alerts_test.yml");
const DOCUMENTATION: &str = include_str!("../../../docs/monitoring.md");

/// All texts under these keys, wherever they are.
fn texts<'a>(value: &'a Value, keys: &[&str], found: &mut Vec<&'a str>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value.as_str() {
                    Some(text) if keys.contains(&key.as_str()) => found.push(text),
                    _ => texts(value, keys, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| texts(value, keys, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A metric that a query asks for, with the labels it must have.
type Wanted = (String, Vec<(String, String)>);

/// Takes a query apart as far as is needed: our names, and what stands in braces behind them.
fn wanted(query: &str) -> Vec<Wanted> {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut all = Vec::new();
    let mut rest = query;
    while let Some(start) = rest.find(is_word) {
        let word_on = &rest[start..];
        let end = word_on.find(|letter| !is_word(letter)).unwrap_or(word_on.len());
        let (word, behind) = word_on.split_at(end);
        rest = behind;
        if word.starts_with("turnbridge_") || word.starts_with("process_") {
            let braces = behind.strip_prefix('{').and_then(|behind| behind.split_once('}'));
            let matchers = braces.map_or("", |(inside, _)| inside);
            for alternative in alternatives(matchers) {
                all.push((word.to_owned(), alternative));
            }
        }
    }
    all
}

/// The label values that matchers ask for, one list for each that would match. What Prometheus adds by itself, and what is
/// not to match, is left out.
fn alternatives(matchers: &str) -> Vec<Vec<(String, String)>> {
    let mut lists = vec![Vec::new()];
    for matcher in matchers.split(',') {
        let Some((label, value)) = matcher.split_once('=').filter(|_| !matcher.contains('!')) else {
            continue;
        };
        let value = value.trim_start_matches('~').trim_matches('"');
        if matches!(label, "instance" | "job") {
            continue;
        }
        let values = value.split('|').map(|value| (label.to_owned(), value.to_owned()));
        lists = values
            .flat_map(|pair| lists.iter().map(move |list| [&list[..], std::slice::from_ref(&pair)].concat()))
            .collect();
    }
    lists
}

fn figures(name: &str) -> Figures {
    let site = site(name, "");
    site.client(crate::site::Way::Tls).allocate().unwrap();
    Figures::of(place(&site.server))
}

#[test]
fn a_query_is_taken_apart() {
    let query =
        r#"sum by (x) (rate(turnbridge_a_total{r=~"b|c",instance=~"$instance"}[5m])) / process_d > 0"#;
    let label = |value: &str| vec![("r".to_owned(), value.to_owned())];
    let expected =
        [("turnbridge_a_total", label("b")), ("turnbridge_a_total", label("c")), ("process_d", vec![])];
    assert_eq!(wanted(query), expected.map(|(name, labels)| (name.to_owned(), labels)));
}

#[test]
fn the_dashboard_and_the_alerts_ask_for_what_there_is() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut queries = Vec::new();
    texts(&dashboard, &["expr", "definition"], &mut queries);
    assert!(queries.len() > 60, "{} queries", queries.len());
    // Of the rules everything is read, so that no text speaks of a metric that is not there.
    queries.extend(ALERTS.lines().filter(|line| !line.contains("- name:")));
    let figures = figures("queries");
    for (name, labels) in queries.into_iter().flat_map(wanted) {
        assert!(figures.has(&name, &labels), "{name} with {labels:?} is not there");
    }
}

#[test]
fn the_dashboard_works_wherever_it_is_imported() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    for key in ["id", "uid", "version"] {
        assert!(dashboard.get(key).is_none(), "{key}");
    }
    let panels = dashboard["panels"].as_array().unwrap();
    let mut places = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        let at = ["x", "y"].map(|key| panel["gridPos"][key].as_u64().unwrap());
        assert!(places.insert(at), "{title} lies on another panel");
        if panel["type"] == "row" {
            continue;
        }
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert_eq!(variables[0]["name"], "datasource");
    assert_eq!(variables[0]["type"], "datasource");
}

#[test]
fn every_alert_says_what_to_do_and_has_a_test() {
    let alerts: Vec<&str> = ALERTS.split("- alert: ").skip(1).collect();
    assert!(alerts.len() >= 20, "{} alerts", alerts.len());
    for alert in alerts {
        let name = alert.lines().next().unwrap();
        for key in ["severity: ", "summary: ", "description: "] {
            assert!(alert.contains(key), "{name} has no {key}");
        }
        assert!(ALERT_TESTS.contains(&format!("\"{name}\"")), "{name} has no test");
    }
}

#[test]
fn every_metric_is_explained_and_nothing_else() {
    let figures = figures("documented");
    let ours = |name: &&String| name.starts_with("turnbridge_");
    for name in figures.kinds.keys().filter(ours) {
        assert!(DOCUMENTATION.contains(name.as_str()), "{name} is not in docs/monitoring.md");
    }
    for (name, labels) in wanted(DOCUMENTATION) {
        let is_there = figures.kinds.contains_key(&name) || figures.has(&name, &labels);
        assert!(is_there, "docs/monitoring.md has {name} with {labels:?}, which is not there");
    }
}
