//! Who may use the relay: `server.realm`, `[auth]` and `[[auth.user]]`.

mod users;

use super::{
    conversion::{Conversion, origin},
    database,
    draft::SectionKind,
    line::Line,
    option::{Kind, KnownOption, mapped},
    report::{Place, Verdict},
};
use crate::{
    auth::{Secret, name, rest::Separator},
    config::{checked, raw},
};

pub(super) const OPTIONS: &[KnownOption] = &[
    mapped("realm", Kind::Value),
    mapped("lt-cred-mech", Kind::Switch),
    mapped("no-auth", Kind::Switch),
    mapped("use-auth-secret", Kind::Switch),
    mapped("static-auth-secret", Kind::Value),
    mapped("rest-api-separator", Kind::Value),
    mapped("user", Kind::Value),
];

/// Which of the two kinds of credentials coturn would accept. It never accepts both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    TimeLimited,
    Static,
    /// Neither is named.
    Open,
}

/// Writes the sections, and returns the realm that is served.
pub(super) fn convert(it: &mut Conversion<'_>) -> String {
    let realm = realm(it);
    let (secret_lines, user_lines) = (it.every("static-auth-secret"), it.every("user"));
    let scheme = scheme(it, !secret_lines.is_empty(), !user_lines.is_empty());
    let has_secrets = secrets(it, &secret_lines, &realm, scheme);
    separator(it);
    let has_users = users::convert(it, user_lines, &realm, scheme);
    if !has_secrets && !has_users {
        it.note(
            "auth",
            "there is no secret and no user that can log in, so the server will make a secret of its own; see \
             auth.secrets",
        );
    }
    realm
}

fn realm(it: &mut Conversion<'_>) -> String {
    let default = raw::Server::default().realm;
    let line = it.last("realm");
    if let Some(line) = line {
        let chars = name::opaque_string(line.value).map(|realm| realm.chars().count());
        match chars {
            Ok(chars) if chars <= checked::MAX_REALM_CHARS => {
                it.draft.section(SectionKind::Server).set(
                    "realm",
                    line.value,
                    format!("From {}.", origin(&[line])),
                );
                it.mapped(&line, "server.realm");
                return line.value.to_owned();
            }
            Ok(_) => {
                it.invalid_line(
                    &line,
                    format!("a realm has at most {} characters", checked::MAX_REALM_CHARS),
                );
            }
            Err(bad) => it.invalid_line(&line, format!("not a realm: {bad}")),
        }
        return default;
    }
    let of_database = it.database.and_then(database::Database::only_realm).filter(|realm| is_realm(realm));
    if let Some(realm) = of_database {
        let realm = realm.to_owned();
        let comment = "The realm of all users and secrets in the database; the file names none.";
        it.draft.section(SectionKind::Server).set("realm", realm.as_str(), comment);
        it.note("realm", "the file names none; that of the database is taken");
        return realm;
    }
    it.note(
        "realm",
        format!("the file names none, and coturn takes the domain of its host then; here it is {default:?}: see server.realm. A key \
             (0x…) of a user is good in the realm that it was made for"),
    );
    default
}

fn is_realm(text: &str) -> bool {
    name::opaque_string(text).is_ok_and(|realm| realm.chars().count() <= checked::MAX_REALM_CHARS)
}

/// A secret or a user in the file is as good as the switch.
fn scheme(it: &mut Conversion<'_>, has_secrets: bool, has_users: bool) -> Scheme {
    let time_limited = it.switch("use-auth-secret");
    let statics = it.switch("lt-cred-mech");
    for line in [time_limited, statics].into_iter().flatten() {
        it.default(&line, "both kinds of credentials are accepted, as soon as there are secrets or users");
    }
    if let Some(line) = it.switch("no-auth") {
        it.dropped(
            &line,
            "nobody relays without a credential: an open relay is used for attacks within hours",
        );
    }
    match (time_limited.is_some() || has_secrets, statics.is_some() || has_users) {
        (true, _) => Scheme::TimeLimited,
        (false, true) => Scheme::Static,
        (false, false) => Scheme::Open,
    }
}

/// Writes the secrets, and says whether there are any to log in with.
fn secrets(it: &mut Conversion<'_>, lines: &[Line<'_>], realm: &str, scheme: Scheme) -> bool {
    let mut secrets: Vec<Secret> = Vec::new();
    let mut sources: Vec<Line<'_>> = Vec::new();
    for line in lines {
        let secret = Secret::new(line.value);
        if line.value.is_empty() {
            it.invalid_line(line, "the secret is empty");
        } else if secrets.contains(&secret) {
            it.default(line, "the same secret as one before");
        } else {
            let ends_oddly = line.value.ends_with(';') || line.value.contains(" #");
            match ends_oddly {
                true => it.changed(
                    line,
                    "auth.secrets",
                    "it ends with a semicolon or a comment, which is part of the secret here as it is for coturn",
                ),
                false => it.mapped(line, "auth.secrets"),
            }
            secrets.push(secret);
            sources.push(*line);
        }
    }
    let from_table = secrets_of_database(it, realm, scheme, &mut secrets);
    if secrets.is_empty() {
        return false;
    }
    let mut comment = Vec::new();
    if !sources.is_empty() {
        comment.push(origin(&sources));
    }
    if from_table {
        comment.push("the table turn_secret".to_owned());
    }
    let comment = format!(
        "From {}. They can be kept in files of their own as well: secret_files.",
        comment.join(" and ")
    );
    let values: Vec<&str> = secrets.iter().map(Secret::expose).collect();
    let section = it.draft.section(SectionKind::Auth);
    match scheme {
        Scheme::TimeLimited | Scheme::Open => section.set("secrets", values, comment),
        // coturn does not accept them, and whoever knows one would get in.
        Scheme::Static => {
            section.offer("secrets", values, format!("{comment} coturn does not use them with lt-cred-mech."))
        }
    };
    if scheme != Scheme::Static {
        it.note(
            "auth.expiry",
            "an expired credential is refused at each request; coturn looks at the expiry of a new allocation only, which \
             is \"at-allocation\"",
        );
    }
    scheme != Scheme::Static
}

fn secrets_of_database(
    it: &mut Conversion<'_>,
    realm: &str,
    scheme: Scheme,
    secrets: &mut Vec<Secret>,
) -> bool {
    let Some(database) = it.database else { return false };
    const TABLE: &str = "turn_secret";
    let of_realm = database.secrets.iter().filter(|row| row.realm == realm);
    let found: Vec<Secret> =
        of_realm.map(|row| row.value.clone()).filter(|it| !it.expose().is_empty()).collect();
    let others = database.secrets.len() - found.len();
    if others > 0 {
        let message = format!("{others} of other realms than {realm:?}, or empty; a server has one realm");
        it.say(Place::Table(TABLE), TABLE, Verdict::Dropped, Vec::new(), message);
    }
    let before = secrets.len();
    for secret in found {
        if !secrets.contains(&secret) {
            secrets.push(secret);
        }
    }
    let count = secrets.len() - before;
    if count == 0 {
        return false;
    }
    let (verdict, message) = match scheme {
        Scheme::TimeLimited | Scheme::Open => (Verdict::Mapped, String::new()),
        Scheme::Static => (
            Verdict::Changed,
            format!("{count} as a comment, since coturn does not use them with lt-cred-mech"),
        ),
    };
    it.say(Place::Table(TABLE), TABLE, verdict, vec!["auth.secrets"], message);
    true
}

fn separator(it: &mut Conversion<'_>) {
    let Some(line) = it.last("rest-api-separator") else { return };
    let separator = line.value.chars().next();
    match separator.and_then(Separator::new) {
        Some(separator) => {
            let comment = format!("From {}.", origin(&[line]));
            it.draft.section(SectionKind::Auth).set("separator", separator.as_char().to_string(), comment);
            it.mapped(&line, "auth.separator");
        }
        None => it.invalid_line(&line, "expected one character that is neither a digit nor invisible"),
    }
}
