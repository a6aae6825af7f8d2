//! What `docs/rfc-coverage.md` and `docs/security.md` say is there is there.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

/// The rows of the document's tables: section, requirement, code, tests.
fn rows() -> Vec<[String; 4]> {
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let document = read("docs/rfc-coverage.md");
    let rows = document.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| §"));
    rows.map(|row| cells(row).try_into().unwrap_or_else(|_| panic!("not four cells: {row}"))).collect()
}

/// What stands in back-quotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Asserts that `file::test` is a test.
fn assert_is_a_test(name: &str) {
    let (file, test) = name.split_once("::").unwrap_or_else(|| panic!("{name} names no test"));
    let path = if file.contains('/') { file.to_owned() } else { format!("tests/turn/{file}.rs") };
    let text = read(&path);
    let line = text.lines().position(|line| line.trim_start().starts_with(&format!("fn {test}(")));
    let line = line.unwrap_or_else(|| panic!("{path} has no {test}"));
    let before: Vec<_> = text.lines().take(line).collect();
    let attributes = before.iter().rev().take_while(|line| !line.trim().is_empty());
    assert!(attributes.into_iter().any(|line| line.trim() == "#[test]"), "{test} in {path} is no test");
}

#[test]
fn every_requirement_names_code_that_is_there() {
    let rows = rows();
    assert!(rows.len() > 100, "{} rows", rows.len());
    for [section, requirement, code, _] in rows {
        assert!(section.starts_with(|first: char| first.is_ascii_digit()), "{section}");
        assert!(quoted(&code).next().is_some(), "no code for: {requirement}");
        for file in quoted(&code) {
            assert!(file.starts_with("src/") && root(file).exists(), "{file}: {requirement}");
        }
    }
}

#[test]
fn every_requirement_names_tests_that_are_there() {
    for [_, requirement, _, tests] in rows() {
        assert!(quoted(&tests).next().is_some(), "no test for: {requirement}");
        quoted(&tests).for_each(assert_is_a_test);
    }
}

#[test]
fn every_test_named_in_the_text_is_there() {
    let document = read("docs/rfc-coverage.md");
    let text = document.lines().skip_while(|line| !line.starts_with("## Done otherwise"));
    let text = text.collect::<Vec<_>>().join("\n");
    let named: Vec<_> = quoted(&text).filter(|name| name.contains("::")).collect();
    assert!(named.len() >= 5);
    named.into_iter().for_each(assert_is_a_test);
}

#[test]
fn every_threat_names_tests_that_are_there() {
    let document = read("docs/security.md");
    let rows: Vec<_> =
        document.lines().filter(|line| line.starts_with("| ") && line.contains("::")).collect();
    assert!(rows.len() > 45, "{} rows", rows.len());
    for row in rows {
        quoted(row).filter(|name| name.contains("::")).for_each(assert_is_a_test);
    }
}
