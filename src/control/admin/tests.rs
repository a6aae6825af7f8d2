//! The router and the document that describes it.

use super::access::Access;
use super::openapi::DOCUMENT;
use super::router::routes;
use axum::http::Method;
use serde_json::Value;
use std::collections::BTreeSet;

fn document() -> Value {
    serde_json::from_str(DOCUMENT).unwrap()
}

#[test]
fn the_document_has_each_route_and_no_other() {
    let routes = routes();
    let served: BTreeSet<_> = routes
        .table
        .entries()
        .iter()
        .map(|(method, path, _)| format!("{path} {}", method.as_str().to_lowercase()))
        .collect();
    let document = document();
    let paths = document["paths"].as_object().unwrap().iter();
    let described: BTreeSet<_> = paths
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(move |method| format!("{path} {method}"))
        })
        .collect();
    assert_eq!(served, described);
}

#[test]
fn the_document_says_which_key_each_route_takes() {
    let document = document();
    for (method, path, access) in routes().table.entries() {
        let operation = &document["paths"][path][method.as_str().to_lowercase()];
        let expected = match access {
            Access::Open => "[]".to_owned(),
            Access::Bearer(scope) => format!(r#"[{{"bearer":["{}"]}}]"#, scope.name()),
            Access::BearerOrQuery(scope) => {
                format!(r#"[{{"bearer":["{}"]}},{{"queryKey":[]}}]"#, scope.name())
            }
            Access::BearerOrBasic(scope) => {
                format!(r#"[{{"bearer":["{}"]}},{{"basicKey":[]}}]"#, scope.name())
            }
        };
        assert_eq!(operation["security"].to_string(), expected, "{method} {path}");
    }
}

#[test]
fn nothing_that_tells_or_changes_something_is_open() {
    for (method, path, access) in routes().table.entries() {
        let is_open = matches!(*path, "/healthz" | "/readyz" | "/openapi.json");
        assert_eq!(*access == Access::Open, is_open, "{method} {path}");
        if !is_open && *method != Method::GET {
            assert_ne!(access.scope().unwrap().name(), "read", "{method} {path}");
        }
    }
}

/// Whoever has a key can have neither a file read nor a web server asked: all that a request can say is in this list. What
/// is not described is refused.
#[test]
fn no_request_names_a_file_or_a_target() {
    let document = document();
    let resolve = |value: &Value| match value["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap().clone(),
        None => value.clone(),
    };
    let mut said = BTreeSet::new();
    let operations = document["paths"].as_object().unwrap().values();
    for operation in operations.flat_map(|methods| methods.as_object().unwrap().values()) {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            said.insert(resolve(parameter)["name"].as_str().unwrap().to_owned());
        }
        for content in
            operation["requestBody"]["content"].as_object().into_iter().flat_map(|kinds| kinds.values())
        {
            let schema = resolve(&content["schema"]);
            said.extend(schema["properties"].as_object().unwrap().keys().cloned());
        }
    }
    let whom = ["user", "username", "id", "sid", "ip", "relay", "service", "transport", "silent"];
    let how = ["Ttl", "ttl", "limit", "cursor", "level", "stop", "timeout_s"];
    assert_eq!(said, whom.into_iter().chain(how).map(str::to_owned).collect());
}
