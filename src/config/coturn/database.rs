//! A user database of coturn's, as far as it was read, and the options that name one.

use super::{
    conversion::Conversion,
    option::{Kind, KnownOption, mapped},
    report::{Place, Verdict},
};
use crate::auth::Secret;

pub(super) const OPTIONS: &[KnownOption] = &[mapped("userdb", Kind::Value), mapped("db", Kind::Value)];

/// What the tables hold, row by row.
#[derive(Clone, Debug, Default)]
pub struct Database {
    /// `turnusers_lt`.
    pub users: Vec<UserRow>,
    /// `turn_secret`.
    pub secrets: Vec<SecretRow>,
    /// `allowed_peer_ip`.
    pub allowed_peers: Vec<RealmRow>,
    /// `denied_peer_ip`.
    pub denied_peers: Vec<RealmRow>,
    /// `turn_realm_option`, with the name of the option and its value as "name=value".
    pub realm_options: Vec<RealmRow>,
    /// How many rows there are in `turn_origin_to_realm`.
    pub origins: usize,
    /// How many there are in `oauth_key`.
    pub oauth_keys: usize,
    /// How many there are in `admin_user`.
    pub admins: usize,
}

/// A user with a key that was hashed from the password.
#[derive(Clone, Debug)]
pub struct UserRow {
    /// The realm that the key is for.
    pub realm: String,
    /// What the client sends.
    pub name: String,
    /// In hexadecimal.
    pub key: Secret,
}

/// A shared secret.
#[derive(Clone, Debug)]
pub struct SecretRow {
    /// Whose users it is for.
    pub realm: String,
    /// The secret itself.
    pub value: Secret,
}

/// Anything else that belongs to a realm.
#[derive(Clone, Debug)]
pub struct RealmRow {
    /// Empty: for all realms.
    pub realm: String,
    /// What is said of it.
    pub value: String,
}

impl Database {
    /// Whether there is nothing in it, as after the installation.
    pub fn is_empty(&self) -> bool {
        let Self { users, secrets, allowed_peers, denied_peers, realm_options, origins, oauth_keys, admins } =
            self;
        users.is_empty()
            && secrets.is_empty()
            && [allowed_peers, denied_peers, realm_options].iter().all(|rows| rows.is_empty())
            && [origins, oauth_keys, admins].iter().all(|count| **count == 0)
    }

    /// The realm of all users and secrets, if it is one.
    pub(super) fn only_realm(&self) -> Option<&str> {
        let users = self.users.iter().map(|row| row.realm.as_str());
        let mut realms = users.chain(self.secrets.iter().map(|row| row.realm.as_str()));
        let first = realms.next().filter(|realm| !realm.is_empty())?;
        realms.all(|realm| realm == first).then_some(first)
    }
}

/// Whether a row of this realm counts for the realm that is served.
pub(super) fn is_for(realm: &str, served: &str) -> bool {
    realm.is_empty() || realm == served
}

/// Says what became of the database as a whole.
pub(super) fn convert(it: &mut Conversion<'_>) {
    // Two names of one option.
    for name in ["userdb", "db"] {
        let Some(line) = it.last(name) else { continue };
        match it.database {
            Some(_) => it.changed(
                &line,
                "auth",
                "its users and secrets are in this configuration as they are now; coturn looks them up each time",
            ),
            None => it.dropped(
                &line,
                "the database was not read, so its users and secrets are missing: run this where it is, or with \
                 --userdb and a copy of it",
            ),
        }
    }
    let Some(database) = it.database else { return };
    let counts = [
        ("turn_origin_to_realm", database.origins, "one realm is served, whatever ORIGIN a client sends"),
        (
            "oauth_key",
            database.oauth_keys,
            "tokens of OAuth (RFC 7635) are not accepted; use time-limited credentials",
        ),
        ("admin_user", database.admins, "there is no web page for administrators"),
    ];
    for (table, count, why) in counts.into_iter().filter(|(_, count, _)| *count > 0) {
        let rows = if count == 1 { "row" } else { "rows" };
        it.say(Place::Table(table), table, Verdict::Dropped, Vec::new(), format!("{count} {rows}: {why}"));
    }
}
