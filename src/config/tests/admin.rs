//! `[admin]`, and the URLs that clients are told.

use super::{Inputs, error_of, load, load_text, warnings_of};
use crate::config::{admin::AdminAddress, checked::Origins};

const KEY: &str = "0123456789abcdef01234567";

fn with_key(lines: &str) -> String {
    format!("[[admin.key]]\nname = \"app\"\nkey = \"{KEY}\"\nscopes = [\"mint\"]\n{lines}")
}

#[test]
fn a_key_is_known_by_its_hash_alone() {
    let loaded =
        load_text("admin-key", &with_key("allowed_origins = [\"https://app.example.org\"]\n")).unwrap();
    let [key] = &loaded.config.admin.keys[..] else { panic!() };
    assert!(key.is(KEY) && !key.is("") && !key.is(&KEY[1..]) && !key.is(&KEY.to_uppercase()));
    assert!(!format!("{:?}", loaded.config.admin).contains(KEY));
    assert!(!format!("{:?}", loaded.raw).contains(KEY));
    let shown = toml::to_string(&loaded.raw).unwrap();
    assert!(!shown.contains(KEY) && shown.contains("key = \"***\""), "{shown}");
    assert_eq!(key.max_ttl, Some(86_400));
    assert_eq!(key.origins, Origins::These(vec!["https://app.example.org".to_owned()]));
    let any =
        load_text("admin-any", &with_key("max_ttl = \"unlimited\"\nallowed_origins = [\"*\"]\n")).unwrap();
    assert_eq!((any.config.admin.keys[0].max_ttl, &any.config.admin.keys[0].origins), (None, &Origins::Any));
}

#[test]
fn nothing_but_a_socket_of_this_host_is_open_unless_it_is_asked_for() {
    let loaded = load(Inputs::default()).unwrap();
    assert_eq!(loaded.config.admin.listen, [AdminAddress::Auto]);
    assert!(loaded.config.metrics.listen.is_empty());
}

#[test]
fn an_address_that_others_reach_needs_a_key() {
    for address in [":9641", "0.0.0.0:9641", "192.0.2.1:9641", "[2001:db8::1]:9641"] {
        let text = format!("[admin]\nlisten = [\"auto\", \"{address}\"]\n");
        let message = error_of("admin-public", &text);
        let expected = format!(
            "admin.listen[1]: \"{address}\" can be reached from other hosts, and there is no [[admin.key]]"
        );
        assert!(message.contains(&expected), "{message}");
        let warnings = warnings_of("admin-public-key", &format!("{text}{}", with_key("")));
        assert!(warnings[0].contains("in clear"), "{warnings:?}");
    }
    let loopback = "[admin]\nlisten = [\"127.0.0.1:9641\", \"[::1]:9641\"]\n";
    assert!(warnings_of("admin-loopback", &format!("{loopback}{}", with_key(""))).is_empty());
    assert!(warnings_of("admin-no-key", loopback)[0].contains("nothing but health checks"));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let cases = [
        ("[admin]\nlisten = [\"auto\", \"auto\"]\n".to_owned(), "\"auto\" would be opened twice"),
        ("[admin]\nlisten = [\"unix:admin.sock\"]\n".to_owned(), "is not an absolute path"),
        ("[admin]\ndefault_ttl = \"0s\"\n".to_owned(), "admin.default_ttl"),
        (with_key("max_ttl = \"0s\"\n"), "admin.key[0].max_ttl"),
        (with_key("allowed_origins = [\"app.example.org\"]\n"), "\"app.example.org\" is not an origin"),
        (with_key("allowed_origins = [\"https://app.example.org/\"]\n"), "is not an origin"),
        (with_key("allowed_origins = [\"https://a.example\", \"*\"]\n"), "\"*\" is not an origin"),
        (with_key("key_file = \"x\"\n"), "expected either `key` or `key_file`"),
        (with_key("").replace("[\"mint\"]", "[]"), "the key is good for nothing"),
        (
            with_key("").replace("mint", "admin"),
            "unknown scope \"admin\": expected \"mint\", \"read\" or \"control\"",
        ),
        (with_key("").replace("\"app\"", "\"\""), "a key needs a name"),
        (with_key(&with_key("")), "there is a key \"app\" already"),
        (with_key(&with_key("").replace("app", "other")), "it is the same key as that of \"app\""),
        (
            "[[admin.key]]\nname = \"app\"\nscopes = [\"mint\"]\n".to_owned(),
            "expected either `key` or `key_file`",
        ),
    ];
    for (text, expected) in cases {
        let message = error_of("admin-wrong", &text);
        assert!(message.contains(expected), "{text}: {message}");
        assert!(!message.contains(KEY), "{message}");
    }
}

#[test]
fn urls_that_clients_are_told_are_checked() {
    let text = "[server]\nurls = [\"turns:turn.example.org:443?transport=tcp\"]\n";
    let loaded = load_text("urls", text).unwrap();
    assert_eq!(loaded.config.server.urls, ["turns:turn.example.org:443?transport=tcp"]);
    let message = error_of("urls-wrong", "[server]\nurls = [\"turn.example.org\"]\n");
    assert!(message.contains("is not a URL of a STUN or TURN server"), "{message}");
}
