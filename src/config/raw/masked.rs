//! Values that are read as text and shown as a mask, and where in a configuration they are.

use super::Config;
use crate::auth::Secret;
use http::Uri;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A secret that is read as text and written as a mask.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskedSecret(pub Secret);

/// A URL that is read as text and written without its path, query and user: others put secrets there.
#[derive(Clone, Default, PartialEq)]
pub struct MaskedUrl(pub String);

/// One value that is not shown as it is.
#[derive(Debug)]
pub(crate) struct Masked<'a> {
    /// Its path, like `auth.user[0].password`.
    pub(crate) key: String,
    value: Value<'a>,
}

#[derive(Debug)]
enum Value<'a> {
    Secret(&'a MaskedSecret),
    /// They have no names, and an order that changes when one goes.
    Secrets(&'a [MaskedSecret]),
    Url(&'a MaskedUrl),
}

impl Masked<'_> {
    /// What the reader of a list of changes learns of it.
    pub(crate) fn shown(&self) -> String {
        match self.value {
            Value::Secret(_) | Value::Secrets(_) => "***".to_owned(),
            Value::Url(url) => format!("{:?}", url.to_string()),
        }
    }

    /// What differs in one that looks the same.
    pub(crate) fn what_is_masked(&self) -> &'static str {
        match self.value {
            Value::Secret(_) | Value::Secrets(_) => "another secret",
            Value::Url(_) => "another path",
        }
    }

    /// Whether it is the same value behind the mask.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (&self.value, &other.value) {
            (Value::Secret(one), Value::Secret(other)) => one == other,
            (Value::Secrets(one), Value::Secrets(other)) => one == other,
            (Value::Url(one), Value::Url(other)) => one == other,
            (Value::Secret(_) | Value::Secrets(_) | Value::Url(_), _) => false,
        }
    }
}

impl Config {
    /// All values that serialising masks.
    pub(crate) fn masked(&self) -> Vec<Masked<'_>> {
        let Self { auth, accounting, admin, tls, .. } = self;
        let secret = |key: &str, secret| Masked { key: key.to_owned(), value: Value::Secret(secret) };
        let url = |key: &str, url| Masked { key: key.to_owned(), value: Value::Url(url) };
        let mut all = vec![
            Masked { key: "auth.secrets".to_owned(), value: Value::Secrets(&auth.secrets) },
            url("auth.webhook.url", &auth.webhook.url),
            secret("auth.webhook.secret", &auth.webhook.secret),
            url("accounting.webhook.url", &accounting.webhook.url),
            secret("accounting.webhook.secret", &accounting.webhook.secret),
            url("accounting.otlp.endpoint", &accounting.otlp.endpoint),
            secret("tls.acme.eab_hmac_key", &tls.acme.eab_hmac_key),
        ];
        for (at, user) in auth.user.iter().enumerate() {
            let parts = [("password", &user.password), ("key", &user.key), ("key_sha256", &user.key_sha256)];
            for (part, value) in parts {
                all.extend(value.iter().map(|value| secret(&format!("auth.user[{at}].{part}"), value)));
            }
        }
        for (at, key) in admin.key.iter().enumerate() {
            all.extend(key.key.iter().map(|value| secret(&format!("admin.key[{at}].key"), value)));
        }
        all
    }
}

impl<'de> Deserialize<'de> for MaskedSecret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|text| Self(Secret::new(text)))
    }
}

impl Serialize for MaskedSecret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        // Nothing hides nothing, and must not be read back as a secret.
        if self.0.expose().is_empty() { to.serialize_str("") } else { to.collect_str(&self.0) }
    }
}

impl<'de> Deserialize<'de> for MaskedUrl {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Self)
    }
}

impl Serialize for MaskedUrl {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl fmt::Display for MaskedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        match server_of(&self.0) {
            Some(server) if self.0.strip_suffix('/').unwrap_or(&self.0) == server => f.write_str(&self.0),
            Some(server) => write!(f, "{server}/***"),
            None => f.write_str("***"),
        }
    }
}

impl fmt::Debug for MaskedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The part of a URL that everybody on the way sees.
fn server_of(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{}://{}{port}", uri.scheme_str()?, uri.host()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_url_the_server_is_shown_and_what_may_be_secret_is_not() {
        for (text, shown) in [
            ("", ""),
            ("https://hooks.example.org", "https://hooks.example.org"),
            ("https://hooks.example.org:8443/", "https://hooks.example.org:8443/"),
            ("https://hooks.example.org/hidden?token=hidden", "https://hooks.example.org/***"),
            ("https://hooks.example.org?token=hidden", "https://hooks.example.org/***"),
            ("https://hooks.example.org/#hidden", "https://hooks.example.org/***"),
            ("https://hidden:hidden@hooks.example.org:8443/", "https://hooks.example.org:8443/***"),
            ("http://[::1]:8080/hidden", "http://[::1]:8080/***"),
            ("hooks.example.org/hidden", "***"),
            ("hidden", "***"),
        ] {
            let url = MaskedUrl(text.to_owned());
            assert_eq!((url.to_string(), format!("{url:?}")), (shown.to_owned(), shown.to_owned()), "{text}");
        }
    }

    /// The paths of all that is shown with a mask in it; those of a list's items are the list's.
    fn shown_masked(key: &str, value: &toml::Value, found: &mut Vec<String>) {
        if let Some(table) = value.as_table() {
            for (name, value) in table {
                shown_masked(format!("{key}.{name}").trim_start_matches('.'), value, found);
            }
        } else if let Some(sections) = value.as_array().filter(|list| list.iter().any(toml::Value::is_table))
        {
            for (at, section) in sections.iter().enumerate() {
                shown_masked(&format!("{key}[{at}]"), section, found);
            }
        } else if value.to_string().contains("***") {
            found.push(key.to_owned());
        }
    }

    #[test]
    fn no_masked_value_is_forgotten() {
        let hook = "url = \"https://a.example/hidden\"\nsecret = \"hidden\"\n";
        let text = format!(
            "[auth]\nsecrets = [\"hidden\"]\n[auth.webhook]\n{hook}[accounting.webhook]\n{hook}\
             [accounting.otlp]\nendpoint = \"https://a.example/hidden\"\n[tls.acme]\neab_hmac_key = \"hidden\"\n\
             [[auth.user]]\nname = \"bob\"\npassword = \"hidden\"\nkey = \"hidden\"\nkey_sha256 = \"hidden\"\n\
             [[admin.key]]\nname = \"app\"\nkey = \"hidden\"\nscopes = []\n"
        );
        let config: Config = toml::from_str(&text).unwrap();
        let table = toml::Value::try_from(&config).unwrap();
        assert!(!table.to_string().contains("hidden") && !format!("{config:?}").contains("hidden"));
        let mut shown = Vec::new();
        shown_masked("", &table, &mut shown);
        let mut listed: Vec<String> = config.masked().into_iter().map(|masked| masked.key).collect();
        shown.sort();
        listed.sort();
        assert_eq!(listed, shown);
        assert_eq!(listed.len(), text.matches("hidden").count());
    }
}
