mod admin;

use super::*;
use crate::auth::{Secret, users::User};
use std::{net::IpAddr, path::PathBuf};

/// A directory of its own for each test, gone at its end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("turnbridge-config-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        set_mode(&path, 0o600);
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

fn set_mode(path: &Path, mode: u32) {
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::set_permissions(path, permissions).unwrap();
}

fn load_text(name: &str, text: &str) -> Result<Loaded, ConfigError> {
    let directory = Directory::new(name);
    let file = directory.write("t.toml", text);
    load(Inputs { file: Some(file), overrides: Vec::new() })
}

/// The whole error text, with the directory cut away.
fn error_of(name: &str, text: &str) -> String {
    let Err(error) = load_text(name, text) else { panic!("{name} was accepted") };
    let text = error.to_string();
    let directory = text.split("t.toml").next().unwrap().rsplit('\n').next().unwrap().to_owned();
    text.replace(&directory, "")
}

fn warnings_of(name: &str, text: &str) -> Vec<String> {
    load_text(name, text).unwrap_or_else(|error| panic!("{name}: {error}")).warnings
}

#[test]
fn without_a_file_the_defaults_are_a_working_configuration() {
    let loaded = load(Inputs::default()).unwrap();
    assert_eq!(loaded.raw, raw::Config::default());
    assert_eq!(loaded.warnings, Vec::<String>::new());
    let listeners: Vec<_> =
        loaded.config.listeners.iter().map(|it| format!("{} {}", it.transport, it.address)).collect();
    assert_eq!(listeners, ["udp :3478", "tcp :3478"]);
    assert_eq!(loaded.config.limits.streams.connections, Some(20_000));
    assert_eq!(loaded.config.limits.streams.send_queue, 256 << 10);
    assert!(loaded.config.auth.is_empty());
    assert_eq!(loaded.config.server.realm, "turn");
    assert_eq!(loaded.config.relay.ports.ports(), 49_152..=65_535);
    assert_eq!(loaded.config.limits.challenges, Some(checked::Budget { per_second: 100, burst: 1000 }));
}

const SHIPPED: &str = include_str!("../../config/turnbridge.toml");

#[test]
fn the_shipped_file_has_every_key_with_its_default() {
    assert_eq!(toml::from_str::<raw::Config>(SHIPPED).unwrap(), raw::Config::default());
    let written = toml::from_str::<toml::Table>(SHIPPED).unwrap();
    let mut defaults = toml::Table::try_from(raw::Config::default()).unwrap();
    // An empty list here and a section of the same name could not stand in one file; the next test has what is in them.
    defaults["auth"].as_table_mut().unwrap().remove("user");
    defaults["tls"].as_table_mut().unwrap().remove("certificate");
    defaults["admin"].as_table_mut().unwrap().remove("key");
    assert_eq!(key_paths("", &written), key_paths("", &defaults));
}

#[test]
fn the_shipped_file_shows_every_key_of_a_repeated_section() {
    let secret = || Some(raw::MaskedSecret(Secret::new("x")));
    let user = raw::User { name: "x".into(), password: secret(), key: secret(), key_sha256: secret() };
    let listener = raw::Listener {
        proxy_protocol_from: vec!["10.0.0.0/24".parse().unwrap()],
        fallback: Some("127.0.0.1:8080".parse().unwrap()),
        fallback_proxy_protocol: Some("v1".parse().unwrap()),
        ..raw::Listener::default()
    };
    let certificate = raw::Certificate { chain: "x".into(), key: "x".into() };
    let admin_key = raw::AdminKey {
        name: "x".into(),
        key: secret(),
        key_file: Some("x".into()),
        scopes: Vec::new(),
        max_ttl: Some("1d".parse().unwrap()),
        allowed_origins: vec!["*".into()],
    };
    let cases = [
        ("# [[admin.key]]", "[drain]", toml::Table::try_from(admin_key)),
        ("# [[auth.user]]", "[limits]", toml::Table::try_from(user)),
        ("# [[listener]]", "[tls]", toml::Table::try_from(listener)),
        ("# [[tls.certificate]]", "[tls.acme]", toml::Table::try_from(certificate)),
    ];
    for (begin, end, all) in cases {
        let (_, example) = SHIPPED.split_once(begin).unwrap();
        let (example, _) = example.split_once(end).unwrap();
        let keys = example.lines().filter_map(|line| line.strip_prefix("# ")?.split_once(" = "));
        let mut keys: Vec<_> = keys.map(|(key, _)| key.to_owned()).collect();
        let mut expected: Vec<_> = all.unwrap().into_iter().map(|(key, _)| key).collect();
        keys.sort();
        expected.sort();
        assert_eq!(keys, expected, "{begin}");
    }
}

fn key_paths(prefix: &str, table: &toml::Table) -> Vec<String> {
    let paths = table.iter().flat_map(|(key, value)| match value.as_table() {
        Some(inner) => key_paths(&format!("{prefix}{key}."), inner),
        None => vec![format!("{prefix}{key}")],
    });
    let mut paths: Vec<String> = paths.collect();
    paths.sort();
    paths
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_nearest_name() {
    assert_eq!(
        error_of("unknown-key", "[server]\nrealm = \"x\"\nwrokers = 2\n"),
        "t.toml:3:1: server.wrokers: `wrokers` is not a known key; did you mean `workers`?
  known here: realm, name, urls, state_dir, workers, receive_buffer, send_buffer, reload_on_change
  |
3 | wrokers = 2
  | ^^^^^^^"
    );
    assert_eq!(
        error_of("unknown-section", "# comment\n[[listeners]]\naddress = \":3478\"\n"),
        "t.toml:2:3: listeners: `listeners` is not a known key; did you mean `listener`?
  known here: server, listener, tls, relay, auth, limits, peers, turn, nat_discovery, accounting, admin, drain, metrics, log
  |
2 | [[listeners]]
  |   ^^^^^^^^^"
    );
}

#[test]
fn a_wrong_value_is_refused_with_its_line_and_what_is_accepted() {
    assert_eq!(
        error_of("wrong-unit", "[limits]\n  max_lifetime = \"10 parsecs\"\n"),
        "t.toml:2:18: limits.max_lifetime: \"10 parsecs\" is not a duration: expected a whole number of s, m, h, d or w, like \"30s\", \"10m\" or \"1h30m\"
  |
2 |   max_lifetime = \"10 parsecs\"
  |                  ^^^^^^^^^^^^"
    );
    assert_eq!(
        error_of("transport", "[[listener]]\naddress = \":3478\"\ntransport = \"tpc\"\n"),
        "t.toml:3:13: listener[0].transport: \"tpc\" is not known here: expected \"udp\", \"tcp\", \"tls\" or \"auto\"; did you mean \"tcp\"?
  |
3 | transport = \"tpc\"
  |             ^^^^^"
    );
    assert_eq!(
        error_of("wrong-type", "[log]\nlevel = true\n"),
        "t.toml:2:9: log.level: boolean `true`, expected text in quotes
  |
2 | level = true
  |         ^^^^"
    );
    assert_eq!(
        error_of("not-a-list", "[peers]\ndeny = \"10.0.0.0/8\"\n"),
        "t.toml:2:8: peers.deny: string \"10.0.0.0/8\", expected a list in brackets
  |
2 | deny = \"10.0.0.0/8\"
  |        ^^^^^^^^^^^^"
    );
}

#[test]
fn p17_a_malformed_range_names_its_own_line() {
    assert_eq!(
        error_of("cidr", "[peers]\ndeny = [\n  \"192.0.2.0/24\",\n  \"10.0.0.0/33\",\n]\n"),
        "t.toml:4:3: peers.deny[1]: \"10.0.0.0/33\" is not an address range: expected one like \"10.0.0.0/8\" or \"2001:db8::/32\"
  |
4 |   \"10.0.0.0/33\",
  |   ^^^^^^^^^^^^^"
    );
}

#[test]
fn what_is_not_toml_is_shown_where_it_stops_being_it() {
    assert_eq!(
        error_of("syntax", "[server]\nrealm = turn\n"),
        "t.toml:2:9: text must be in quotes
  |
2 | realm = turn
  |         ^^^^"
    );
    assert!(
        error_of("unquoted", "[server]\nrealm = example\n").starts_with("t.toml:2:9: text must be in quotes")
    );
    assert_eq!(
        error_of("duplicate", "[log]\nlevel = \"info\"\nlevel = \"warn\"\n"),
        "t.toml:3:1: duplicate key
  |
3 | level = \"warn\"
  | ^^^^^"
    );
}

#[test]
fn no_error_shows_a_secret() {
    let cases = [
        ("not a list", "[auth]\nsecrets = \"hidden\"\n", "auth.secrets: expected a list in brackets"),
        ("no quote", "[auth]\nsecrets = [\"hidden]\n", "t.toml:2:"),
        ("no quotes", "[auth]\nsecrets = [\n  hidden,\n]\n", "t.toml:3:"),
        ("misspelt", "[auth]\nsecert = \"hidden\"\n", "did you mean `secrets`?"),
        (
            "one word",
            "[[auth.user]]\nname = \"bob\"\npassword = [\"hidden\"]\n",
            "auth.user[0].password: expected",
        ),
        (
            "unknown in user",
            "[[auth.user]]\nname = \"bob\"\npasword = \"hidden\"\n",
            "did you mean `password`?",
        ),
        ("bad key", "[[auth.user]]\nname = \"bob\"\nkey = \"hidden\"\n", "expected 32 hexadecimal digits"),
        (
            "bad password",
            "[[auth.user]]\nname = \"bob\"\npassword = \"hidden\\n\"\n",
            "not a password: it contains",
        ),
        ("inline", "auth = { secrets = [\"hidden\"], user = 3 }\n", "auth.user: expected a list in brackets"),
        ("user as text", "[auth]\nuser = \"bob:hidden\"\n", "auth.user: expected a list in brackets"),
        ("users as text", "[auth]\nuser = [\"bob:hidden\"]\n", "auth.user[0]: expected"),
        ("auth as text", "auth = \"hidden\"\n", "auth: expected"),
        (
            "key as text",
            "[[tls.certificate]]\nchain = \"x\"\nkey = \"\"\"-----BEGIN PRIVATE KEY-----\nhidden\n\"\"\"\n",
            "t.toml:3:7: tls.certificate[0].key: expected the path of a PEM file, not its text",
        ),
        (
            "admin key",
            "[[admin.key]]\nname = \"app\"\nkey = \"hidden\"\nscopes = [\"mint\"]\n",
            "t.toml:3:7: admin.key[0].key: a key has at least 24",
        ),
        (
            "admin key misspelt",
            "[[admin.key]]\nname = \"app\"\nkee = \"hidden\"\nscopes = [\"mint\"]\n",
            "did you mean `key`?",
        ),
        ("admin key over lines", "[[admin.key]]\nkey = [\n  \"hidden\",\n]\n", "admin.key[0].key"),
        ("number", "[auth]\nsecrets = [4815162342]\n", "auth.secrets[0]: expected a string"),
        (
            "number of a webhook",
            "[accounting.webhook]\nsecret = 4815162342\n",
            "accounting.webhook.secret: expected a string",
        ),
        (
            "number of the auth webhook",
            "[auth.webhook]\nsecret = 4815162342\n",
            "auth.webhook.secret: expected a string",
        ),
        ("misspelt in a webhook", "[accounting.webhook]\nsecert = \"hidden\"\n", "did you mean `secret`?"),
        (
            "url as list",
            "[accounting.webhook]\nurl = [\"https://a/hidden\"]\n",
            "accounting.webhook.url: expected",
        ),
        (
            "endpoint as number",
            "[accounting.otlp]\nendpoint = 4815162342\n",
            "accounting.otlp.endpoint: expected",
        ),
        ("webhook as text", "[auth]\nwebhook = \"hidden\"\n", "auth.webhook: expected the section"),
        ("accounting as text", "accounting = \"hidden\"\n", "accounting: expected the section"),
        (
            "accounting webhook as text",
            "[accounting]\nwebhook = \"https://a/hidden\"\n",
            "accounting.webhook: expected the section",
        ),
        (
            "admin key as number",
            "[[admin.key]]\nname = \"app\"\nkey = 4815162342\nscopes = []\n",
            "admin.key[0].key: expected a string",
        ),
        ("admin keys as text", "[admin]\nkey = [\"hidden\"]\n", "admin.key[0]: expected the section"),
        (
            "admin keys over lines",
            "[admin]\nkey = [\n  \"hidden\",\n]\n",
            "admin.key[0]: expected the section",
        ),
    ];
    for (name, text, expected) in cases {
        let message = error_of("secret", text);
        assert!(message.contains(expected), "{name}: {message}");
        assert!(!message.contains("hidden") && !message.contains("4815162342"), "{name}: {message}");
    }
}

#[test]
fn values_that_do_not_go_together_are_refused() {
    let cases = [
        (
            "[[listener]]\n[[listener]]\naddress = \"0.0.0.0:3478\"",
            "t.toml:3:11: listener[1].address: \"0.0.0.0:3478\" would be opened twice: listener 1 is \":3478\"",
        ),
        (
            "[[listener]]\naddress = \":443\"\ntransport = \"tcp\"\n[[listener]]\naddress = \"0.0.0.0:443\"\ntransport = \"tls\"",
            "t.toml:5:11: listener[1].address: \"0.0.0.0:443\" is a tls listener, and listener 1 has the same TCP port for tcp; one listener with transport = \"auto\" serves",
        ),
        (
            "[[listener]]\ntransport = \"auto\"\n[[listener]]\ntransport = \"tcp\"",
            "listener[1].address: \":3478\" is a tcp listener, and listener 1 has the same TCP port for auto",
        ),
        (
            "[[listener]]\ntransport = \"tls\"",
            "t.toml:2:13: listener[0].transport: a \"tls\" listener needs a certificate: name its files as `chain` and `key` in a section [[tls.certificate]]",
        ),
        (
            "[[listener]]\nproxy_protocol_from = [\"10.0.0.1\"]",
            "t.toml:2:23: listener[0].proxy_protocol_from: the PROXY protocol precedes a TCP connection, and this is a udp listener",
        ),
        (
            "[[listener]]\ntransport = \"tcp\"\nfallback_proxy_protocol = \"v1\"",
            "t.toml:3:27: listener[0].fallback_proxy_protocol: there is no fallback that could be told who the client is",
        ),
        (
            "[[listener]]\ntransport = \"tcp\"\nfallback = \"127.0.0.1:80\"",
            "t.toml:3:12: listener[0].fallback: only TLS connections can be passed on: expected transport = \"tls\" or \"auto\", and this is a tcp listener",
        ),
        ("[tls]\nmin_version = \"1.1\"", "t.toml:2:15: tls.min_version: TLS 1.1 is broken (RFC 8996)"),
        ("[[tls.certificate]]\nchain = \"x\"", "tls.certificate[0]: the key `key` is missing"),
        ("[[tls.certificate]]\nchain = \"\"\nkey = \"x\"", "tls.certificate[0].chain: \"\" is not a file"),
        (
            "[tls]\ncertificate = [{ chain = \"c\", key = \"k\" }, { chain = \"c\", key = \"k\" }]",
            "tls.certificate[1]: these are the files of certificate 1",
        ),
        (
            "[limits]\nhandshake_timeout = \"0s\"",
            "limits.handshake_timeout: 0s is out of range: expected 1s to 1d",
        ),
        (
            "[limits]\nsend_queue = \"64 KiB\"",
            "limits.send_queue: 64 KiB is out of range: expected 128 KiB to 64 MiB",
        ),
        ("listener = []", "t.toml:1:12: listener: at least one listener is needed"),
        (
            "[metrics]\nenabled = false\nlisten = [\"127.0.0.1:9641\"]",
            "t.toml:2:11: metrics.enabled: nothing is told with metrics.enabled = false: leave out the other keys",
        ),
        (
            "[metrics]\nlisten = [\"127.0.0.1:9641\", \"127.0.0.1:9641\"]",
            "metrics.listen[1]: \"127.0.0.1:9641\" would be opened twice: \"127.0.0.1:9641\" is listed before",
        ),
        (
            "[metrics]\nlisten = [\"127.0.0.1:3478\"]",
            "metrics.listen[0]: \"127.0.0.1:3478\" is taken: clients are heard at \":3478\" over tcp; choose another port",
        ),
        (
            "[server]\nrealm = \"a\\nb\"",
            "t.toml:2:9: server.realm: not a realm: it contains a control or invisible character",
        ),
        ("[server]\nrealm = \"\"", "server.realm: not a realm: it is empty"),
        (
            "[server]\nreceive_buffer = \"1 kB\"",
            "server.receive_buffer: 1 kB is out of range: expected 64 KiB to 512 MiB",
        ),
        ("[limits]\nmax_lifetime = \"1m\"", "limits.max_lifetime: 1m is out of range: expected 2m to 1w"),
        (
            "[limits]\nchannels_per_allocation = 4097",
            "limits.channels_per_allocation: there are 4096 channel numbers with turn.channel_numbers = \"rfc8656\"",
        ),
        ("[auth]\nsecrets = [\"\"]", "auth.secrets[0]: the secret is empty"),
        (
            "[auth]\nseparator = \"1\"",
            "auth.separator: expected one character that is neither a digit nor invisible",
        ),
        ("[auth]\nsecret_files = [\"no-such-file\"]", "no-such-file cannot be read"),
        ("[[auth.user]]\nname = \"bob\"", "auth.user[0].name: \"bob\" has neither `password` nor `key`"),
        ("[[auth.user]]\npassword = \"x\"", "auth.user[0]: the key `name` is missing"),
        (
            "[[auth.user]]\nname = \"bob\"\npassword = \"x\"\nkey = \"y\"",
            "auth.user[0].password: a user has a password or keys, not both",
        ),
        (
            "[[auth.user]]\nname = \"bob\"\npassword = \"x\"\n[[auth.user]]\nname = \"bob\"\npassword = \"y\"",
            "t.toml:5:8: auth.user[1].name: there is a user \"bob\" already",
        ),
        ("[relay]\naddresses = [\"10.0.0.1\", \"10.0.0.1\"]", "relay.addresses[1]: 10.0.0.1 is listed twice"),
        (
            "[relay]\nexternal = [\"203.0.113.1\", \"203.0.113.2\"]",
            "relay.external[1]: a second external address of this family",
        ),
        (
            "[relay]\nexternal = [\"203.0.113.1/10.0.0.1\", \"203.0.113.1/10.0.0.2\"]",
            "relay.external[1]: 203.0.113.1 is listed twice",
        ),
        (
            "[relay]\nexternal = [\"203.0.113.1/10.0.0.1\", \"203.0.113.2/10.0.0.1\"]",
            "relay.external[1]: 10.0.0.1 has an external address already",
        ),
        (
            "[relay]\naddresses = [\"10.0.0.1\"]\nexternal = [\"203.0.113.1/10.0.0.2\"]",
            "relay.external[0]: 10.0.0.2 is not one of relay.addresses",
        ),
        (
            "[relay]\naddresses = [\"10.0.0.1\", \"10.0.0.2\"]\nexternal = [\"203.0.113.1\"]",
            "relay.external[0]: relay.addresses has several addresses of this family",
        ),
    ];
    for (text, expected) in cases {
        let message = error_of("together", text);
        assert!(message.contains(expected), "{text}\n{message}");
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let message = error_of("many", "[server]\nrealm = \"\"\n[limits]\nmax_lifetime = \"1m\"\n");
    assert!(
        message.contains("t.toml:2:9: server.realm") && message.contains("t.toml:4:16: limits.max_lifetime"),
        "{message}"
    );
}

#[test]
fn a_missing_file_is_named() {
    let error = load(Inputs { file: Some("/no/such/file".into()), overrides: Vec::new() }).unwrap_err();
    assert!(error.to_string().starts_with("/no/such/file: cannot be read: "), "{error}");
}

#[test]
fn an_override_goes_over_the_file_and_the_later_one_over_the_earlier() {
    let directory = Directory::new("override");
    let file = directory.write("t.toml", "[server]\nrealm = \"file\"\n[log]\nlevel = \"warn\"\n");
    let over = |key: &str, value: &str, origin: &str| Override {
        key: key.to_owned(),
        value: toml::Value::String(value.to_owned()),
        origin: origin.to_owned(),
    };
    let load_with = |overrides| load(Inputs { file: Some(file.clone()), overrides });
    let loaded = load_with(vec![
        over("log.level", "debug", "TURNBRIDGE_LOG__LEVEL"),
        over("log.level", "trace", "--log-level"),
        over("limits.max_lifetime", "30m", "TURNBRIDGE_LIMITS__MAX_LIFETIME"),
        over("server.workers", "3", "TURNBRIDGE_SERVER__WORKERS"),
    ])
    .unwrap();
    assert_eq!(loaded.config.server.realm, "file");
    assert_eq!(loaded.config.log_level, choice::LogLevel::Trace);
    assert_eq!(loaded.config.limits.max_lifetime_s, 1800);
    assert_eq!(loaded.config.server.workers.map(std::num::NonZero::get), Some(3));

    let syntactic = load_with(vec![over("log.level", "loud", "TURNBRIDGE_LOG__LEVEL")]).unwrap_err();
    assert!(
        syntactic.to_string().starts_with("TURNBRIDGE_LOG__LEVEL: \"loud\" is not known here"),
        "{syntactic}"
    );
    let semantic = load_with(vec![over("server.realm", "", "--realm")]).unwrap_err();
    assert_eq!(semantic.to_string(), "--realm: not a realm: it is empty");
}

#[test]
fn secrets_come_inline_and_from_files_beside_the_configuration() {
    let directory = Directory::new("secrets");
    directory.write("one", "secret from a file\r\n");
    let file = directory
        .write("t.toml", "[auth]\nsecrets = [\"secret written inline\"]\nsecret_files = [\"one\"]\n");
    let loaded = load(Inputs { file: Some(file.clone()), overrides: Vec::new() }).unwrap();
    let secrets: Vec<_> = loaded.config.auth.secrets.iter().map(|named| named.secret.expose()).collect();
    assert_eq!(secrets, ["secret written inline", "secret from a file"]);
    assert_eq!(loaded.config.auth.secrets[1].name, directory.0.join("one").display().to_string());
    assert_eq!(loaded.warnings, Vec::<String>::new());

    set_mode(&directory.0.join("one"), 0o644);
    set_mode(&file, 0o604);
    let warnings = load(Inputs { file: Some(file), overrides: Vec::new() }).unwrap().warnings;
    let readable = |name: &str| {
        format!("{} can be read by every user of this host; chmod o-r it", directory.0.join(name).display())
    };
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("t.toml holds secrets and can be read by every user"));
    assert_eq!(warnings[1], readable("one"));
}

#[test]
fn static_users_get_the_keys_of_the_realm() {
    let key = "8493fbc53ba582fb4c044c456bdc40eb";
    let text = format!(
        "[server]\nrealm = \"realm\"\n[[auth.user]]\nname = \"user\"\nkey = \"{key}\"\n[[auth.user]]\nname = \"bob\"\npassword = \"pw\"\n"
    );
    let config = load_text("users", &text).unwrap().config;
    let names: Vec<_> = config.auth.users.iter().map(|User { name, .. }| name.as_str()).collect();
    assert_eq!(names, ["user", "bob"]);
    let authenticator = config.auth.authenticator(&config.server.realm);
    let user = authenticator.find(b"user", 0).unwrap().next().unwrap();
    // The MD5 of user:realm:pass (RFC 8489 §9.2.2).
    let expected = crate::auth::Key::derive(crate::auth::PasswordAlgorithm::Md5, "user", "realm", b"pass");
    assert_eq!(user.key(crate::auth::PasswordAlgorithm::Md5), Some(expected));
}

#[test]
fn what_works_but_is_not_meant_is_warned_of() {
    let cases = [
        ("[auth]\nsecrets = [\"short\"]", "auth.secrets[0] is shorter than 16 bytes and could be guessed"),
        (
            "[auth]\nsecrets = [\"0123456789abcdef\", \"0123456789abcdef\"]",
            "auth.secrets[1] is the same secret as auth.secrets[0]",
        ),
        (
            "[relay]\nports = \"1024-65535\"",
            "port 3478 of listener 1 lies within relay.ports = \"1024-65535\", so one relay port fewer can be used",
        ),
        (
            "[[tls.certificate]]\nchain = \"c\"\nkey = \"k\"",
            "tls.certificate is not used: no listener has transport = \"tls\" or \"auto\"",
        ),
        (
            "[limits]\nconnections = 10",
            "limits.connections_per_ip = 8192 is more than limits.connections = 10, so one client address can take all connections",
        ),
        (
            "[metrics]\nlisten = [\":9641\"]",
            "metrics.listen has \":9641\": whoever reaches this host there can read the figures, without a password; name an address of an inner network, or let a firewall keep others out",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(warnings_of("warned", text), [expected]);
    }
}

#[test]
fn l10_a_long_realm_is_warned_of_and_a_too_long_one_refused() {
    let realm = |length: usize| format!("[server]\nrealm = \"{}\"\n", "r".repeat(length));
    assert_eq!(warnings_of("realm", &realm(24)), Vec::<String>::new());
    assert!(warnings_of("realm", &realm(25))[0].contains("server.realm has 25 bytes"));
    assert!(warnings_of("realm", &realm(127))[0].contains("server.realm has 127 bytes"));
    assert!(error_of("realm", &realm(128)).contains("a realm has at most 127 characters"));
}

#[test]
fn the_effective_configuration_masks_secrets_and_reads_back() {
    let text = "[auth]\nsecrets = [\"hidden-hidden-hidden\"]\n[[auth.user]]\nname = \"bob\"\npassword = \"hidden\"\n";
    let loaded = load_text("effective", text).unwrap();
    let shown = toml::to_string(&loaded.raw).unwrap();
    assert!(
        !shown.contains("hidden")
            && shown.contains("secrets = [\"***\"]")
            && shown.contains("password = \"***\""),
        "{shown}"
    );
    assert!(
        shown.contains("max_lifetime = \"1h\"") && shown.contains("allocations_per_user = 8192"),
        "{shown}"
    );
    let mut again: raw::Config = toml::from_str(&shown).unwrap();
    again.auth = loaded.raw.auth.clone();
    assert_eq!(again, loaded.raw);
    assert!(!format!("{loaded:?}").contains("hidden"));
}

#[test]
fn external_addresses_replace_the_local_ones_of_their_family() {
    let text = "[relay]\nexternal = [\"203.0.113.1/10.0.0.1\", \"203.0.113.9\", \"2001:db8::1\"]\n";
    let external = load_text("external", text).unwrap().config.relay.external;
    let cases = [("10.0.0.1", "203.0.113.1"), ("10.0.0.2", "203.0.113.9"), ("fd00::1", "2001:db8::1")];
    for (local, expected) in cases {
        let local: IpAddr = local.parse().unwrap();
        assert_eq!(external.advertised(local).to_string(), expected);
    }
    let only_v4 =
        load_text("external", "[relay]\nexternal = [\"203.0.113.9\"]\n").unwrap().config.relay.external;
    assert_eq!(only_v4.advertised("fd00::1".parse().unwrap()).to_string(), "fd00::1");
}

#[test]
fn the_files_of_a_certificate_are_beside_the_configuration() {
    let directory = Directory::new("certificates");
    let text = "[[listener]]\ntransport = \"auto\"\naddress = \":443\"\nfallback = \"[::1]:80\"\nproxy_protocol_from = [\"10.0.0.1\"]
        [[tls.certificate]]\nchain = \"c.pem\"\nkey = \"/keys/k.pem\"\n";
    let file = directory.write("t.toml", text);
    let config = load(Inputs { file: Some(file), overrides: Vec::new() }).unwrap().config;
    let expected = checked::CertificateFiles { chain: directory.0.join("c.pem"), key: "/keys/k.pem".into() };
    assert_eq!(config.tls.certificates, [expected]);
    let listener = &config.listeners[0];
    assert_eq!(listener.fallback.as_ref().map(ToString::to_string).as_deref(), Some("[::1]:80"));
    assert_eq!(listener.proxy_protocol_from, ["10.0.0.1/32".parse().unwrap()]);
}

#[test]
fn nat_discovery_takes_two_addresses_with_the_first_port_that_both_have() {
    let sockets = |text: &str| -> Vec<String> {
        let config =
            load_text("discovery-pairs", text).unwrap_or_else(|error| panic!("{text}: {error}")).config;
        let pairs = config.nat_discovery.pairs.iter();
        pairs.map(|pair| pair.sockets().map(|socket| socket.to_string()).join(" ")).collect()
    };
    assert_eq!(sockets(""), Vec::<String>::new());
    let pair = "[nat_discovery]\naddresses = [\"192.0.2.1\", \"192.0.2.2\"]\n";
    assert_eq!(sockets(pair), ["192.0.2.1:3478 192.0.2.2:3478 192.0.2.1:3479 192.0.2.2:3479"]);
    let listeners = "[[listener]]\naddress = \"192.0.2.1:1\"\n[[listener]]\naddress = \":2\"\ntransport = \"tcp\"\n\
                     [[listener]]\naddress = \"192.0.2.2:53\"\n[[listener]]\naddress = \"192.0.2.1:53\"\n";
    assert_eq!(
        sockets(&format!("{listeners}{pair}alternate_port = 1\n")),
        ["192.0.2.1:53 192.0.2.2:53 192.0.2.1:1 192.0.2.2:1"]
    );
    let both =
        "[nat_discovery]\naddresses = [\"2001:db8::2\", \"192.0.2.1\", \"192.0.2.2\", \"2001:db8::1\"]\n";
    assert_eq!(
        sockets(both),
        [
            "192.0.2.1:3478 192.0.2.2:3478 192.0.2.1:3479 192.0.2.2:3479",
            "[2001:db8::2]:3478 [2001:db8::1]:3478 [2001:db8::2]:3479 [2001:db8::1]:3479"
        ]
    );
}

#[test]
fn nat_discovery_that_cannot_work_is_refused() {
    let pair = "addresses = [\"192.0.2.1\", \"192.0.2.2\"]";
    let cases = [
        (
            "addresses = [\"192.0.2.1\"]".to_owned(),
            "t.toml:2:13: nat_discovery.addresses: expected two addresses of a family, or none: there are 1 of IPv4",
        ),
        (
            "addresses = [\"192.0.2.1\", \"2001:db8::1\"]".to_owned(),
            "nat_discovery.addresses: expected two addresses of a family, or none: there are 1 of IPv6",
        ),
        ("addresses = [\"192.0.2.1\", \"192.0.2.2\", \"192.0.2.3\"]".to_owned(), "there are 3 of IPv4"),
        (
            "addresses = [\"192.0.2.1\", \"192.0.2.1\"]".to_owned(),
            "nat_discovery.addresses[1]: 192.0.2.1 is listed twice",
        ),
        ("addresses = [\"0.0.0.0\", \"192.0.2.1\"]".to_owned(), "is not an address of one host"),
        (
            format!("{pair}\nalternate_port = 3478"),
            "t.toml:3:18: nat_discovery.alternate_port: the alternate port must be another one than 3478, which listener 1 has already",
        ),
        (
            format!("{pair}\nalternate_port = 0"),
            "nat_discovery.alternate_port: 0 is not a port: expected 1 to 65535",
        ),
        (format!("{pair}\nalternate_port = 65536"), "65536 is not a port: expected 1 to 65535"),
        (
            "classic = true".to_owned(),
            "t.toml:2:11: nat_discovery.classic: nothing is discovered without two nat_discovery.addresses",
        ),
        (
            "classic = \"yes\"".to_owned(),
            "nat_discovery.classic: invalid value: string \"yes\", expected true or false",
        ),
        (
            format!("{pair}\n[[listener]]\naddress = \"192.0.2.1:3478\""),
            "nat_discovery.addresses: no UDP port is listened on at both 192.0.2.1 and 192.0.2.2",
        ),
        (
            format!("{pair}\n[[listener]]\naddress = \":3478\"\ntransport = \"tcp\""),
            "no UDP port is listened on at both",
        ),
        (format!("{pair}\n[[listener]]\naddress = \":0\""), "no UDP port is listened on at both"),
        (
            format!("{pair}\n[relay]\nexternal = [\"203.0.113.7\"]"),
            "relay.external: 192.0.2.1 and 192.0.2.2 are both called 203.0.113.7 outside",
        ),
    ];
    for (text, expected) in cases {
        let message = error_of("discovery-refused", &format!("[nat_discovery]\n{text}\n"));
        assert!(message.contains(expected), "{text}\n{message}");
    }
}

#[test]
fn nat_discovery_behind_a_nat_needs_a_public_address_for_each() {
    let text = |external: &str, addresses: &str| {
        format!(
            "[relay]\naddresses = [{addresses}]\nexternal = [{external}]\n[nat_discovery]\naddresses = [\"10.0.0.1\", \"10.0.0.2\"]\n"
        )
    };
    let both = "\"203.0.113.1/10.0.0.1\", \"203.0.113.2/10.0.0.2\"";
    assert_eq!(warnings_of("discovery-nat", &text(both, "")), Vec::<String>::new());
    assert_eq!(warnings_of("discovery-nat", &text(both, "\"10.0.0.1\"")), Vec::<String>::new());
    for (known, unknown) in [("10.0.0.1", "10.0.0.2"), ("10.0.0.2", "10.0.0.1")] {
        assert_eq!(
            warnings_of("discovery-nat", &text(&format!("\"203.0.113.1/{known}\""), "")),
            [format!(
                "relay.external has a public address for {known} and none for {unknown}, which clients are told of by nat_discovery"
            )]
        );
    }
    let ports = "[relay]\nports = \"3479-4000\"\n[nat_discovery]\naddresses = [\"10.0.0.1\", \"10.0.0.2\"]\n";
    assert!(warnings_of("discovery-nat", ports)[0].contains("alternate_port = 3479 lies within relay.ports"));
}

#[test]
fn a_switch_is_set_by_a_word_of_the_environment_too() {
    let over =
        |key: &str, value: toml::Value| Override { key: key.to_owned(), value, origin: "test".to_owned() };
    let addresses = toml::Value::Array(vec!["192.0.2.1".into(), "192.0.2.2".into()]);
    for value in [toml::Value::Boolean(true), "true".into()] {
        let overrides =
            vec![over("nat_discovery.addresses", addresses.clone()), over("nat_discovery.classic", value)];
        assert!(load(Inputs { file: None, overrides }).unwrap().config.nat_discovery.classic);
    }
}

/// A configuration that orders a certificate, with these lines of `[tls.acme]`.
fn acme(lines: &str) -> String {
    format!(
        "[[listener]]\naddress = \":443\"\ntransport = \"auto\"\n[tls.acme]\nnames = [\"Turn.Example.org\"]\n{lines}"
    )
}

#[test]
fn acme_needs_a_name_and_agreement_and_has_defaults_for_the_rest() {
    assert!(load_text("no-acme", "").unwrap().config.tls.acme.is_none());
    let checked = load_text("acme", &acme("agree_to_terms = true\ncontact = [\"a@example.org\"]\n")).unwrap();
    assert_eq!(checked.warnings, Vec::<String>::new());
    let checked = checked.config.tls.acme.unwrap();
    assert_eq!(checked.names, ["turn.example.org"]);
    assert_eq!(checked.contact, ["mailto:a@example.org"]);
    assert_eq!(checked.directory, "https://acme-v02.api.letsencrypt.org/directory");
    assert!(checked.ca_file.is_none() && checked.external_account.is_none());

    let error = error_of("acme-terms", &acme(""));
    assert!(
        error.contains("tls.acme.agree_to_terms: a CA issues certificates to those who agree"),
        "{error}"
    );
    let unused = warnings_of("acme-unused", "[tls.acme]\nagree_to_terms = true\n");
    assert_eq!(unused, ["tls.acme.names is empty, so no certificate is ordered"]);
}

#[test]
fn acme_can_be_set_from_the_environment() {
    let set = |key: &str, value: &str| {
        let variable = format!("TURNBRIDGE_TLS__ACME__{}", key.to_uppercase());
        env::overrides([(variable.into(), value.into())]).unwrap().remove(0)
    };
    let listener = toml::Table::from_iter([("transport".to_owned(), "tls".into())]);
    let listener = Override {
        key: "listener".to_owned(),
        value: toml::Value::Array(vec![listener.into()]),
        origin: "test".to_owned(),
    };
    let overrides = vec![
        listener,
        set("names", "a.example,b.example"),
        set("agree_to_terms", "true"),
        set("challenge", "http-01"),
        set("eab_kid", "kid-1"),
        set("eab_hmac_key", "c2VjcmV0"),
    ];
    let loaded = load(Inputs { file: None, overrides }).unwrap();
    let checked = loaded.config.tls.acme.as_ref().unwrap();
    assert_eq!(checked.names, ["a.example", "b.example"]);
    assert_eq!(checked.external_account.as_ref().unwrap().hmac_key.as_slice(), b"secret");
    let shown = toml::to_string(&loaded.raw).unwrap();
    assert!(shown.contains("eab_hmac_key = \"***\"") && !shown.contains("c2VjcmV0"), "{shown}");
    let wrong = load(Inputs { file: None, overrides: vec![set("agree_to_terms", "yes")] }).unwrap_err();
    assert!(wrong.to_string().contains("string \"yes\", expected true or false"), "{wrong}");
}

#[test]
fn what_a_ca_would_only_refuse_later_is_refused_at_once() {
    let cases = [
        ("contact = [\"nobody\"]", "tls.acme.contact[0]: \"nobody\" is not a mail address"),
        ("contact = [\"a@b@c\"]", "tls.acme.contact[0]: \"a@b@c\" is not a mail address"),
        (
            "directory = \"http://ca.example/dir\"",
            "tls.acme.directory: \"http://ca.example/dir\" is not the URL",
        ),
        ("directory = \"https:///dir\"", "tls.acme.directory: \"https:///dir\" is not the URL"),
        ("ca_file = \"missing.pem\"", "missing.pem cannot be read"),
        ("ca_file = \"t.toml\"", "t.toml has 0 certificates"),
        ("eab_kid = \"x\"", "tls.acme.eab_kid: is the name of a key"),
        ("eab_hmac_key = \"c2VjcmV0\"", "tls.acme.eab_hmac_key: is a key, whose name"),
        ("eab_kid = \"x\"\neab_hmac_key = \"+/\"", "tls.acme.eab_hmac_key: is not base64url"),
        ("challenge = \"dns-01\"", "expected \"tls-alpn-01\" or \"http-01\""),
        ("challenge = \"http-01\"\nhttp_address = \":0\"", "tls.acme.http_address: the CA comes to one port"),
        (
            "challenge = \"http-01\"\nhttp_address = \"192.0.2.1:443\"",
            "tls.acme.http_address: \"192.0.2.1:443\" is where a listener is",
        ),
    ];
    for (at, (lines, expected)) in cases.iter().enumerate() {
        let error = error_of(&format!("acme-{at}"), &acme(&format!("agree_to_terms = true\n{lines}\n")));
        assert!(error.contains(expected), "{lines}: {error}");
    }
    let names = "names = [\"a.example\", \"A.example\", \"*.example\"]\nagree_to_terms = true\n";
    let error = error_of("acme-names", &acme("").replace("names = [\"Turn.Example.org\"]\n", names));
    assert!(error.contains("tls.acme.names[1]: \"A.example\" is listed twice"), "{error}");
    assert!(error.contains("tls.acme.names[2]: \"*.example\" is a wildcard"), "{error}");
}

#[test]
fn the_port_that_a_ca_comes_to_is_asked_for() {
    let lines = "[tls.acme]\nnames = [\"a.example\"]\nagree_to_terms = true\n";
    let error = error_of("acme-no-tls", lines);
    assert!(error.contains("tls.acme.names: a certificate is for TLS listeners, and none has"), "{error}");
    let elsewhere = format!("[[listener]]\naddress = \":5349\"\ntransport = \"tls\"\n{lines}");
    let warnings = warnings_of("acme-port", &elsewhere);
    assert!(warnings[0].starts_with("no TLS listener is on port 443"), "{warnings:?}");
    let http = format!("{elsewhere}challenge = \"http-01\"\n");
    assert_eq!(warnings_of("acme-http", &http), Vec::<String>::new());
    let warnings = warnings_of("acme-http-port", &format!("{http}http_address = \":8080\"\n"));
    assert!(warnings[0].starts_with("tls.acme.http_address is not on port 80"), "{warnings:?}");
}

#[test]
fn a_webhook_that_could_be_overheard_or_forged_is_refused_or_warned_of() {
    let secret = "secret = \"a secret of sixteen\"";
    let cases = [
        (
            format!("url = \"http://app.example.org/\"\n{secret}"),
            "accounting.webhook.url: without TLS everybody",
        ),
        (format!("url = \"app\"\n{secret}"), "accounting.webhook.url: not a URL"),
        (
            "url = \"https://app.example.org/\"\nsecret = \"whsec_!\"".to_owned(),
            "accounting.webhook.secret: what stands",
        ),
        (
            format!("url = \"https://app.example.org/\"\n{secret}\nsecret_file = \"t.toml\""),
            "accounting.webhook.secret_file: a webhook has `secret` or `secret_file`, not both",
        ),
        (
            "url = \"https://app.example.org/\"\nsecret_file = \"missing\"".to_owned(),
            "missing cannot be read",
        ),
        (
            format!("url = \"https://app.example.org/\"\n{secret}\ntimeout = \"0s\""),
            "0s is out of range: expected 1s to 5m",
        ),
        (
            format!("url = \"https://app.example.org/\"\n{secret}\nqueue = 10"),
            "10 is out of range: expected 100 (a batch)",
        ),
    ];
    for (at, (lines, expected)) in cases.iter().enumerate() {
        let error = error_of(&format!("webhook-{at}"), &format!("[accounting.webhook]\n{lines}\n"));
        assert!(error.contains(expected), "{lines}: {error}");
        assert!(!error.contains("a secret of sixteen"), "{error}");
    }
    let unsigned =
        warnings_of("webhook-unsigned", "[accounting.webhook]\nurl = \"https://app.example.org/\"\n");
    assert!(unsigned[0].starts_with("accounting.webhook has no secret"), "{unsigned:?}");
    let unused = warnings_of("webhook-unused", &format!("[accounting.webhook]\n{secret}\n"));
    assert_eq!(unused, ["accounting.webhook.url is empty, so no records are sent"]);
}

#[test]
fn secrets_of_webhooks_are_masked_and_come_from_files() {
    let directory = Directory::new("webhook-file");
    directory.write("hook-secret", "a secret in a file\n");
    let text = "[accounting.webhook]\nurl = \"https://app.example.org/\"\nsecret_file = \"hook-secret\"\n\
                [accounting.otlp]\nendpoint = \"http://127.0.0.1:4318/\"\n";
    let file = directory.write("t.toml", text);
    let loaded = load(Inputs { file: Some(file), overrides: Vec::new() }).unwrap();
    let accounting = loaded.config.accounting;
    assert_eq!(accounting.webhook.unwrap().to.secret, Some(Secret::new("a secret in a file")));
    let otlp = accounting.otlp.unwrap().url;
    assert_eq!(otlp.uri().to_string(), "http://127.0.0.1:4318/v1/traces");
    let variable = ("TURNBRIDGE_ACCOUNTING__WEBHOOK__SECRET".into(), "hidden in the environment".into());
    let overrides = env::overrides([variable]).unwrap();
    let loaded = load(Inputs { file: None, overrides }).unwrap();
    let shown = toml::to_string(&loaded.raw).unwrap();
    assert!(shown.contains("secret = \"***\"") && !shown.contains("hidden"), "{shown}");
}

#[test]
fn the_auth_webhook_is_checked_and_takes_the_place_of_a_secret_of_our_own() {
    let hook = "[auth.webhook]\nurl = \"https://app.example.org/\"\nsecret = \"a secret of sixteen\"\n";
    let loaded = load_text("auth-hook", hook).unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    assert!(!loaded.config.auth.is_empty());
    let webhook = loaded.config.auth.webhook.unwrap();
    assert_eq!((webhook.in_flight, webhook.cache.entries), (64, 10_000));
    assert_eq!(webhook.to.timeout.as_secs(), 1);
    let local = warnings_of("auth-hook-local", &format!("{hook}when_down = \"local\"\n"));
    assert!(
        local[0].starts_with("auth.webhook.when_down is \"local\", and there are no secrets"),
        "{local:?}"
    );
    for (line, expected) in [
        ("when_down = \"allow\"", "expected \"refuse\" or \"local\""),
        ("cache_ttl = \"2d\"", "auth.webhook.cache_ttl: 2d is out of range: expected 0s to 1d"),
        ("in_flight = 5000", "auth.webhook.in_flight: 5000 is out of range: expected 1 to 1024"),
        ("cache_entries = 5000000", "auth.webhook.cache_entries: 5000000 is out of range"),
    ] {
        let error = error_of("auth-hook-wrong", &format!("{hook}{line}\n"));
        assert!(error.contains(expected), "{line}: {error}");
    }
    let unused = warnings_of("auth-hook-unused", "[auth.webhook]\nin_flight = 3\n");
    assert_eq!(unused, ["auth.webhook.url is empty, so nobody is asked about users"]);
}

#[test]
fn tcp_relaying_can_be_switched_off() {
    let loaded = load_text("no-tcp-relay", "[limits]\nconnections_per_allocation = 0\n").unwrap();
    assert_eq!(loaded.config.limits.connections_per_allocation, 0);
}
