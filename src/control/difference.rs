//! What a reload changes, as operators read it.

use std::fmt;

use crate::auth::Secret;
use crate::config::{Config, raw};

/// One key that has another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its path, like `limits.max_lifetime`.
    pub key: String,
    /// What it was; `None` if it was not there.
    pub old: Option<String>,
    /// What it is; `None` if it is gone.
    pub new: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "(nothing)".to_owned());
        write!(f, "{}: {} -> {}", self.key, shown(&self.old), shown(&self.new))
    }
}

/// All keys whose values differ, in the order of their names. Of what is masked only that it differs can be told.
pub(super) fn between(old: &raw::Config, new: &raw::Config) -> Vec<Change> {
    let [old_table, new_table] = [old, new].map(|config| toml::Table::try_from(config).unwrap_or_default());
    let mut changes = Vec::new();
    compare("", Some(&old_table.into()), Some(&new_table.into()), &mut changes);
    for change in other_masked(old, new) {
        // What also looks different (a longer list, another host) has been told.
        if !changes.iter().any(|told| told.key == change.key) {
            changes.push(change);
        }
    }
    changes.sort_by(|one, other| one.key.cmp(&other.key));
    changes
}

/// Masked values that are there in both and not the same.
fn other_masked(old: &raw::Config, new: &raw::Config) -> Vec<Change> {
    let before = old.masked();
    let other = |is: raw::Masked<'_>| {
        let was = before.iter().find(|was| was.key == is.key && !was.is_same(&is))?;
        let (old, new) = (was.shown(), format!("{} ({})", is.shown(), is.what_is_masked()));
        Some(Change { key: is.key, old: Some(old), new: Some(new) })
    };
    new.masked().into_iter().filter_map(other).collect()
}

/// Secrets that differ because the files they are in do, though nothing is written about them anew.
pub(super) fn of_contents(old: &Config, new: &Config, told: &[Change]) -> Option<Change> {
    let secrets = |config: &Config| -> Vec<Secret> {
        config.auth.secrets.iter().map(|named| named.secret.clone()).collect()
    };
    let is_told = told.iter().any(|change| change.key.starts_with("auth.secret"));
    (!is_told && secrets(old) != secrets(new)).then(|| Change {
        key: "auth.secret_files".to_owned(),
        old: Some("***".to_owned()),
        new: Some("*** (a file has another secret)".to_owned()),
    })
}

/// Goes down to where the values are: tables and lists of tables by their parts, the rest as a whole.
fn compare(key: &str, old: Option<&toml::Value>, new: Option<&toml::Value>, changes: &mut Vec<Change>) {
    if old == new {
        return;
    }
    let parts = |value: Option<&toml::Value>| match value {
        Some(toml::Value::Table(table)) => {
            Some(table.iter().map(|(name, value)| (format!(".{name}"), value.clone())).collect())
        }
        Some(toml::Value::Array(list)) if list.iter().any(toml::Value::is_table) => {
            Some(list.iter().enumerate().map(|(at, value)| (format!("[{at}]"), value.clone())).collect())
        }
        Some(
            toml::Value::Array(_)
            | toml::Value::String(_)
            | toml::Value::Integer(_)
            | toml::Value::Float(_)
            | toml::Value::Boolean(_)
            | toml::Value::Datetime(_),
        )
        | None => None::<Vec<(String, toml::Value)>>,
    };
    let (old_parts, new_parts) = (parts(old), parts(new));
    if old_parts.is_none() && new_parts.is_none() {
        let shown = |value: Option<&toml::Value>| value.map(ToString::to_string);
        return changes.push(Change { key: key.to_owned(), old: shown(old), new: shown(new) });
    }
    let (old_parts, new_parts) = (old_parts.unwrap_or_default(), new_parts.unwrap_or_default());
    let find = |parts: &[(String, toml::Value)], wanted: &str| {
        parts.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
    };
    let added = new_parts.iter().filter(|(name, _)| find(&old_parts, name).is_none());
    for (name, _) in old_parts.iter().chain(added) {
        let path = format!("{key}{name}");
        let path = path.trim_start_matches('.');
        compare(path, find(&old_parts, name).as_ref(), find(&new_parts, name).as_ref(), changes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> raw::Config {
        toml::from_str(text).unwrap()
    }

    fn told(old: &str, new: &str) -> Vec<String> {
        between(&raw(old), &raw(new)).iter().map(Change::to_string).collect()
    }

    #[test]
    fn each_key_that_differs_is_told_once_with_both_values() {
        let old = "limits.max_lifetime = \"1h\"\npeers.deny = [\"192.0.2.0/24\"]";
        let new = "limits.max_lifetime = \"2h\"\nlog.level = \"debug\"\n[[listener]]\naddress = \":443\"";
        let expected = [
            "limits.max_lifetime: \"1h\" -> \"2h\"",
            "listener[0].address: \":3478\" -> \":443\"",
            "listener[1].address: \":3478\" -> (nothing)",
            "listener[1].transport: \"tcp\" -> (nothing)",
            "log.level: \"info\" -> \"debug\"",
            "peers.deny: [\"192.0.2.0/24\"] -> []",
        ];
        assert_eq!(told(old, new), expected);
        assert_eq!(told(new, new), [""; 0]);
    }

    #[test]
    fn of_what_is_masked_it_is_told_which_one_differs() {
        let text = |secret: &str| {
            let hook = format!("url = \"https://a.example/{secret}\"\nsecret = \"{secret}\"");
            format!(
                "[auth]\nsecrets = [\"{secret}\"]\n[auth.webhook]\n{hook}\n[accounting.webhook]\n{hook}\n\
                 [[auth.user]]\nname = \"bob\"\npassword = \"{secret}\"\n\
                 [[admin.key]]\nname = \"app\"\nkey = \"{secret}\"\nscopes = []\n"
            )
        };
        let expected = [
            "accounting.webhook.secret: *** -> *** (another secret)",
            "accounting.webhook.url: \"https://a.example/***\" -> \"https://a.example/***\" (another path)",
            "admin.key[0].key: *** -> *** (another secret)",
            "auth.secrets: *** -> *** (another secret)",
            "auth.user[0].password: *** -> *** (another secret)",
            "auth.webhook.secret: *** -> *** (another secret)",
            "auth.webhook.url: \"https://a.example/***\" -> \"https://a.example/***\" (another path)",
        ];
        assert_eq!(told(&text("north"), &text("south")), expected);
        assert_eq!(told(&text("north"), &text("north")), [""; 0]);
    }

    #[test]
    fn another_change_in_the_section_hides_no_secret_and_none_is_told_twice() {
        let told_of = |new: &str| told("auth.secrets = [\"north\"]", new);
        assert_eq!(
            told_of("auth.max_ttl = \"1h\"\nauth.secrets = [\"south\"]"),
            ["auth.max_ttl: \"unlimited\" -> \"1h\"", "auth.secrets: *** -> *** (another secret)"]
        );
        assert_eq!(
            told_of("auth.secrets = [\"north\", \"south\"]"),
            ["auth.secrets: [\"***\"] -> [\"***\", \"***\"]"]
        );
        let hosts = ["a", "b"].map(|host| format!("auth.webhook.url = \"https://{host}.example/hidden\""));
        assert_eq!(
            told(&hosts[0], &hosts[1]),
            ["auth.webhook.url: \"https://a.example/***\" -> \"https://b.example/***\""]
        );
    }
}
