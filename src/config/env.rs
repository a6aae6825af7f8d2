//! Overrides from the environment: `TURNBRIDGE_SECTION__KEY`, or `TURNBRIDGE_SECTION__KEY__FILE` to read it from a file.

use super::{
    error::{ConfigError, Place, Problem},
    nearest::nearest,
    private, raw, secret_file,
};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};
use toml::{Table, Value};

/// A value that goes over what the file says.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// Key path, like `limits.max_lifetime`.
    pub key: String,
    /// The value as TOML. Units and addresses are text.
    pub value: Value,
    /// The variable or flag it came from, for messages.
    pub origin: String,
}

/// What names all our variables.
pub const PREFIX: &str = "TURNBRIDGE_";

/// Variables that mirror a flag of the server; the command line reads them itself.
pub const FLAG_MIRRORS: [&str; 3] = ["TURNBRIDGE_CONFIG", "TURNBRIDGE_LOG", "TURNBRIDGE_ADMIN"];

/// Takes from `environment` what is ours. A variable of ours that is not known is an error, as a key in the file is.
pub fn overrides(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Vec<Override>, ConfigError> {
    let known = known_keys();
    let mut found: Vec<Override> = Vec::new();
    let mut problems = Vec::new();
    for (name, value) in environment {
        let Some(name) = name.to_str().filter(|name| is_ours(name)) else { continue };
        match read(name, value, &known) {
            Ok(next) => match found.iter().find(|earlier| earlier.key == next.key) {
                Some(earlier) => problems
                    .push(problem(name, &format!("{} sets the same key; keep one of them", earlier.origin))),
                None => found.push(next),
            },
            Err(message) => problems.push(problem(name, &message)),
        }
    }
    // The order of the environment is an accident of whoever started us.
    found.sort_by(|one, other| one.key.cmp(&other.key));
    problems.sort_by(|one, other| one.place_name().cmp(other.place_name()));
    if problems.is_empty() { Ok(found) } else { Err(ConfigError::many(problems)) }
}

/// The files that variables with `__FILE` at their end name.
pub fn files(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<PathBuf> {
    let known = known_keys();
    let is_file = |name: &str| is_ours(name) && match_known(name, &known).is_some_and(|(_, is_file)| is_file);
    let named = environment.into_iter().filter(|(name, _)| name.to_str().is_some_and(is_file));
    named.map(|(_, path)| path.into()).collect()
}

/// Takes one `KEY=VALUE` from the flag `--set`, with the value written as in the environment.
pub fn set(assignment: &str) -> Result<Override, ConfigError> {
    let fail = |message: String| ConfigError::many(vec![problem("--set", &message)]);
    let (key, text) = assignment
        .split_once('=')
        // What was written is not repeated: a secret may be in it.
        .ok_or_else(|| fail("expected KEY=VALUE, like limits.max_lifetime=30m".to_owned()))?;
    let known = known_keys();
    let Some((_, kind)) = known.iter().find(|(name, _)| name == key) else {
        let hint = nearest(key, known.iter().map(|(name, _)| name.as_str()));
        let hint = hint.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        return Err(fail(format!("{key} is not a known key{hint}")));
    };
    if private::is_secret(key) {
        return Err(fail(beside_the_command_line(key)));
    }
    let value = match kind {
        Kind::One => Value::String(text.to_owned()),
        Kind::List => list(text, ',').map_err(fail)?,
    };
    Ok(Override { key: key.to_owned(), value, origin: format!("--set {key}") })
}

/// Where a secret is kept better than among the arguments of a process.
fn beside_the_command_line(key: &str) -> String {
    let variable = variable_of(key);
    let file = match key {
        "auth.secrets" => "auth.secret_files in the configuration".to_owned(),
        "admin.key" => "key_file of an [[admin.key]] in the configuration".to_owned(),
        key if key.ends_with(".secret") => format!("{key}_file"),
        _ => "the configuration file".to_owned(),
    };
    format!(
        "{key} holds secrets, and every user of this host can read a command line; use the environment variable \
         {variable}, or {variable}__FILE with the path of a file, or {file}"
    )
}

/// Writes `value` at `key` of `table`, whatever was there.
pub(super) fn lay_over(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((section, rest)) => {
            let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            // The file has been read as a configuration before, so a section in it is a table.
            if let Value::Table(inner) = inner {
                lay_over(inner, rest, value);
            }
        }
    }
}

/// Whether a key holds one value or a list, which is all that is needed to read its variable.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    One,
    List,
}

/// All keys that can be set, taken from the defaults, so that no key can be forgotten.
fn known_keys() -> Vec<(String, Kind)> {
    let defaults = Table::try_from(raw::Config::default()).expect("the defaults can be written as TOML");
    let mut known = Vec::new();
    collect_keys("", &defaults, &mut known);
    known
}

fn collect_keys(prefix: &str, table: &Table, known: &mut Vec<(String, Kind)>) {
    for (name, value) in table {
        let key = format!("{prefix}{name}");
        match value {
            Value::Table(inner) => collect_keys(&format!("{key}."), inner, known),
            Value::Array(_) => known.push((key, Kind::List)),
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_) => {
                known.push((key, Kind::One));
            }
        }
    }
}

fn is_ours(name: &str) -> bool {
    // The load generator has flags and mirrors of its own. Kubernetes sets TURNBRIDGE_PORT, TURNBRIDGE_SERVICE_HOST and the like for a Service that is called turnbridge;
    // they are nobody's mistake.
    name.strip_prefix(PREFIX).is_some_and(|rest| {
        let foreign =
            rest == "PORT" || ["PORT_", "SERVICE_", "BENCH_"].iter().any(|word| rest.starts_with(word));
        !foreign && !FLAG_MIRRORS.contains(&name)
    })
}

fn read(name: &str, value: OsString, known: &[(String, Kind)]) -> Result<Override, String> {
    let Some((variable, from_file)) = match_known(name, known) else {
        let variables: Vec<String> = known.iter().map(|(key, _)| variable_of(key)).collect();
        let names = variables.iter().map(String::as_str).chain(FLAG_MIRRORS);
        let hint = nearest(name, names).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        return Err(format!("is not a known variable{hint}"));
    };
    let (key, kind) = variable;
    let text = value.into_string().map_err(|_| "is not UTF-8".to_owned())?;
    let value = match (from_file, kind) {
        (false, Kind::One) => Value::String(text),
        (false, Kind::List) => list(&text, ',')?,
        (true, Kind::One) => Value::String(secret_file::read(Path::new(&text))?.secret.expose().to_owned()),
        // A file has lines, and a secret may well contain a comma.
        (true, Kind::List) => list(secret_file::read(Path::new(&text))?.secret.expose(), '\n')?,
    };
    Ok(Override { key: key.clone(), value, origin: name.to_owned() })
}

fn match_known<'a>(name: &str, known: &'a [(String, Kind)]) -> Option<(&'a (String, Kind), bool)> {
    let find = |name: &str| known.iter().find(|(key, _)| variable_of(key) == name);
    match find(name) {
        Some(variable) => Some((variable, false)),
        None => find(name.strip_suffix("__FILE")?).map(|variable| (variable, true)),
    }
}

/// `limits.max_lifetime` is `TURNBRIDGE_LIMITS__MAX_LIFETIME`.
fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

/// "a, b", or a TOML list for what needs one (`[{ address = ":3478" }]`).
fn list(text: &str, between: char) -> Result<Value, String> {
    if text.trim_start().starts_with('[') {
        let mut table: Table = toml::from_str(&format!("list = {text}")).map_err(|_| {
            // The reader's own message could show a part of a secret.
            "starts like a TOML list but is not one: expected [\"a\", \"b\"]".to_owned()
        })?;
        return table.remove("list").ok_or_else(|| "is not a TOML list".to_owned());
    }
    let items = text.split(between).map(str::trim).filter(|item| !item.is_empty());
    Ok(Value::Array(items.map(|item| Value::String(item.to_owned())).collect()))
}

fn problem(variable: &str, message: &str) -> Problem {
    Problem { place: Place::Override(variable.to_owned()), key: String::new(), message: message.to_owned() }
}

impl Problem {
    fn place_name(&self) -> &str {
        match &self.place {
            Place::Override(name) => name,
            Place::Line { .. } | Place::File(_) | Place::Default => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(pairs: &[(&str, &str)]) -> Result<Vec<(String, String)>, String> {
        let environment = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let found = overrides(environment).map_err(|error| error.to_string())?;
        Ok(found.into_iter().map(|found| (found.key, found.value.to_string())).collect())
    }

    #[test]
    fn variables_become_keys() {
        let cases = [
            ("TURNBRIDGE_SERVER__REALM", "example.org", "server.realm", "\"example.org\""),
            ("TURNBRIDGE_SERVER__WORKERS", "4", "server.workers", "\"4\""),
            ("TURNBRIDGE_LIMITS__MAX_LIFETIME", "30m", "limits.max_lifetime", "\"30m\""),
            (
                "TURNBRIDGE_PEERS__DENY",
                "10.0.0.0/8, 192.0.2.0/24",
                "peers.deny",
                "[\"10.0.0.0/8\", \"192.0.2.0/24\"]",
            ),
            ("TURNBRIDGE_PEERS__DENY", "", "peers.deny", "[]"),
            ("TURNBRIDGE_AUTH__SECRETS", "[\"a,b\"]", "auth.secrets", "[\"a,b\"]"),
            ("TURNBRIDGE_LISTENER", "[{ address = \":1\" }]", "listener", "[{ address = \":1\" }]"),
            ("TURNBRIDGE_AUTH__USER", "[{ name = \"b\" }]", "auth.user", "[{ name = \"b\" }]"),
        ];
        for (variable, value, key, expected) in cases {
            assert_eq!(
                from(&[(variable, value)]),
                Ok(vec![(key.to_owned(), expected.to_owned())]),
                "{variable}"
            );
        }
    }

    #[test]
    fn no_secret_is_taken_from_the_command_line() {
        let message = |assignment: &str| set(assignment).unwrap_err().to_string();
        assert_eq!(
            message("auth.webhook.secret=hidden"),
            "--set: auth.webhook.secret holds secrets, and every user of this host can read a command line; use the \
             environment variable TURNBRIDGE_AUTH__WEBHOOK__SECRET, or TURNBRIDGE_AUTH__WEBHOOK__SECRET__FILE with the \
             path of a file, or auth.webhook.secret_file"
        );
        for (assignment, expected) in [
            ("auth.secrets=hidden", "or auth.secret_files in the configuration"),
            ("auth.user=[{ name = \"bob\", password = \"hidden\" }]", "or the configuration file"),
            ("admin.key=[{ name = \"app\", key = \"hidden\" }]", "or key_file of an [[admin.key]]"),
            ("accounting.webhook.secret=hidden", "or accounting.webhook.secret_file"),
            ("tls.acme.eab_hmac_key=hidden", "TURNBRIDGE_TLS__ACME__EAB_HMAC_KEY__FILE with"),
            ("auth.secrets: hidden", "--set: expected KEY=VALUE"),
        ] {
            let message = message(assignment);
            assert!(message.contains(expected) && !message.contains("hidden"), "{assignment}: {message}");
        }
        for assignment in
            ["auth.secret_files=/run/secret", "auth.webhook.secret_file=/run/secret", "auth.max_ttl=1h"]
        {
            assert!(set(assignment).is_ok(), "{assignment}");
        }
    }

    #[test]
    fn a_variable_ending_in_file_is_read_from_there_one_item_a_line() {
        let directory = std::env::temp_dir().join(format!("turnbridge-env-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("secrets");
        std::fs::write(&path, "first,with comma\nsecond\n").unwrap();
        let path = path.to_str().unwrap();
        let expected = "[\"first,with comma\", \"second\"]".to_owned();
        let found = from(&[("TURNBRIDGE_AUTH__SECRETS__FILE", path)]);
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!(found, Ok(vec![("auth.secrets".to_owned(), expected)]));
        let named = ["TURNBRIDGE_AUTH__SECRETS__FILE", "TURNBRIDGE_SERVER__REALM", "LOG__FILE"];
        assert_eq!(files(named.map(|name| (name.into(), path.into()))), [Path::new(path)]);
        let missing = from(&[("TURNBRIDGE_AUTH__SECRETS__FILE", path)]).unwrap_err();
        assert!(
            missing.starts_with("TURNBRIDGE_AUTH__SECRETS__FILE: ") && missing.contains("cannot be read"),
            "{missing}"
        );
    }

    #[test]
    fn what_is_not_known_is_refused_with_the_nearest_name() {
        let cases = [
            (
                "TURNBRIDGE_SERVER__RELAM",
                "TURNBRIDGE_SERVER__RELAM: is not a known variable; did you mean TURNBRIDGE_SERVER__REALM?",
            ),
            (
                "TURNBRIDGE_SERVER_REALM",
                "TURNBRIDGE_SERVER_REALM: is not a known variable; did you mean TURNBRIDGE_SERVER__REALM?",
            ),
            (
                "TURNBRIDGE_CONFG",
                "TURNBRIDGE_CONFG: is not a known variable; did you mean TURNBRIDGE_CONFIG?",
            ),
            ("TURNBRIDGE_SERVER", "TURNBRIDGE_SERVER: is not a known variable"),
        ];
        for (variable, expected) in cases {
            let message = from(&[(variable, "x")]).unwrap_err();
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn foreign_variables_and_flag_mirrors_are_left_alone() {
        let foreign = [
            ("PATH", "/bin"),
            ("TURNBRIDGE", "x"),
            ("TURNBRIDGE_CONFIG", "x.toml"),
            ("TURNBRIDGE_LOG", "debug"),
            ("TURNBRIDGE_SERVICE_HOST", "10.0.0.1"),
            ("TURNBRIDGE_PORT", "tcp://10.0.0.1:3478"),
            ("TURNBRIDGE_PORT_3478_UDP_ADDR", "10.0.0.1"),
            ("TURNBRIDGE_BENCH_USER", "alice"),
        ];
        assert_eq!(from(&foreign), Ok(vec![]));
    }

    #[test]
    fn a_key_set_twice_or_a_broken_list_is_refused_without_showing_the_value() {
        let twice =
            from(&[("TURNBRIDGE_SERVER__REALM", "x"), ("TURNBRIDGE_SERVER__REALM__FILE", "/dev/null")]);
        assert!(twice.unwrap_err().contains("sets the same key"));
        let broken = from(&[("TURNBRIDGE_AUTH__SECRETS", "[\"hidden]")]).unwrap_err();
        assert!(broken.contains("is not one: expected") && !broken.contains("hidden"), "{broken}");
    }
}
