//! `[auth]`: secrets from wherever they are kept, and static users.

use super::{
    Findings,
    auth_webhook::{self, AuthWebhook},
};
use crate::{
    auth::{
        Authenticator, Key, PasswordAlgorithm, Secret, authenticator::Credentials, rest::Separator,
        users::User,
    },
    config::{choice::ExpiryRule, error::Place, raw, secret_file},
};

/// `[auth]`, checked.
#[derive(Clone, Debug)]
pub struct Auth {
    /// Secrets in the order they are tried, and by which messages number them.
    pub secrets: Vec<NamedSecret>,
    /// Between expiry and id in a time-limited user name.
    pub separator: Separator,
    /// How far ahead an expiry may lie, in seconds.
    pub max_ttl: Option<u64>,
    /// When a time-limited credential has to be good.
    pub expiry: ExpiryRule,
    /// Static users.
    pub users: Vec<User>,
    /// Who is asked about users before all that.
    pub webhook: Option<AuthWebhook>,
}

/// A shared secret and where it was found.
#[derive(Clone, Debug)]
pub struct NamedSecret {
    /// `auth.secrets[0]`, or the path of its file.
    pub name: String,
    /// The secret itself.
    pub secret: Secret,
}

impl Auth {
    /// Whether nobody could log in with this, so that the server has to use a secret of its own making.
    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty() && self.users.is_empty() && self.webhook.is_none()
    }

    /// The snapshot that requests are judged by.
    pub fn authenticator(&self, realm: &str) -> Authenticator {
        Authenticator::new(Credentials {
            realm: realm.to_owned(),
            separator: self.separator,
            max_ttl: self.max_ttl,
            secrets: self.secrets.iter().map(|named| named.secret.clone()).collect(),
            users: self.users.clone(),
        })
    }
}

pub(super) fn check(raw: &raw::Auth, realm: &str, findings: &mut Findings<'_>) -> Auth {
    warn_of_readable_file(raw, findings);
    let mut secrets = inline_secrets(raw);
    secrets.extend(secrets_from_files(raw, findings));
    check_secrets(&secrets, findings);
    let separator = Separator::new(raw.separator).unwrap_or_else(|| {
        findings.problem(
            "auth.separator",
            "expected one character that is neither a digit nor invisible, like \":\"",
        );
        Separator::default()
    });
    let has_own = !secrets.is_empty() || !raw.user.is_empty();
    Auth {
        webhook: auth_webhook::check(&raw.webhook, has_own, findings),
        secrets: secrets.into_iter().map(|(_, named)| named).collect(),
        separator,
        max_ttl: raw.max_ttl.bound().map(|ttl| ttl.0),
        expiry: raw.expiry,
        users: check_users(&raw.user, realm, findings),
    }
}

/// Each secret with the key path it comes from.
type Found = Vec<(String, NamedSecret)>;

fn inline_secrets(raw: &raw::Auth) -> Found {
    let named = raw.secrets.iter().enumerate().map(|(at, secret)| {
        let key = format!("auth.secrets[{at}]");
        (key.clone(), NamedSecret { name: key, secret: secret.0.clone() })
    });
    named.collect()
}

fn secrets_from_files(raw: &raw::Auth, findings: &mut Findings<'_>) -> Found {
    let mut found = Vec::new();
    for (at, path) in raw.secret_files.iter().enumerate() {
        let key = format!("auth.secret_files[{at}]");
        let Some(path) = findings.beside_the_file(path, &key) else { continue };
        let name = path.display().to_string();
        if let Some(secret) = findings.read_secret(path, &key) {
            found.push((key, NamedSecret { name, secret }));
        }
    }
    found
}

/// A secret that can be guessed lets everybody use the relay; HMAC-SHA1 itself needs no more than 20 bytes.
const SHORT_SECRET: usize = 16;

fn check_secrets(secrets: &Found, findings: &mut Findings<'_>) {
    for (at, (key, named)) in secrets.iter().enumerate() {
        if named.secret.expose().is_empty() {
            findings.problem(key, "the secret is empty");
        } else if named.secret.expose().len() < SHORT_SECRET {
            findings
                .warning(format!("{} is shorter than {SHORT_SECRET} bytes and could be guessed", named.name));
        }
        if let Some((_, earlier)) = secrets[..at].iter().find(|(_, earlier)| earlier.secret == named.secret) {
            findings.warning(format!("{} is the same secret as {}", named.name, earlier.name));
        }
    }
}

fn check_users(raw: &[raw::User], realm: &str, findings: &mut Findings<'_>) -> Vec<User> {
    let mut users: Vec<User> = Vec::new();
    for (at, user) in raw.iter().enumerate() {
        let key = format!("auth.user[{at}]");
        match check_user(user, realm) {
            Ok(user) if users.iter().any(|earlier| earlier.name == user.name) => {
                findings.problem(&format!("{key}.name"), format!("there is a user {:?} already", user.name));
            }
            Ok(user) => users.push(user),
            Err((part, message)) => findings.problem(&format!("{key}.{part}"), message),
        }
    }
    users
}

fn check_user(raw: &raw::User, realm: &str) -> Result<User, (&'static str, String)> {
    let unfit =
        |(part, bad): (&'static str, crate::auth::name::BadName)| (part, format!("not a {part}: {bad}"));
    match (&raw.password, &raw.key, &raw.key_sha256) {
        (Some(password), None, None) => User::with_password(&raw.name, &password.0).map_err(unfit),
        (None, None, None) => {
            Err(("name", format!("{:?} has neither `password` nor `key` (nor `key_sha256`)", raw.name)))
        }
        (None, md5, sha256) => {
            let md5 =
                md5.as_ref().map(|key| read_key("key", PasswordAlgorithm::Md5, &key.0, realm)).transpose()?;
            let sha256 = sha256
                .as_ref()
                .map(|key| read_key("key_sha256", PasswordAlgorithm::Sha256, &key.0, realm))
                .transpose()?;
            User::with_keys(&raw.name, md5, sha256).map_err(unfit)
        }
        (Some(_), _, _) => Err(("password", "a user has a password or keys, not both".to_owned())),
    }
}

fn read_key(
    part: &'static str,
    algorithm: PasswordAlgorithm,
    text: &Secret,
    realm: &str,
) -> Result<Key, (&'static str, String)> {
    let hash = match algorithm {
        PasswordAlgorithm::Md5 => "MD5",
        PasswordAlgorithm::Sha256 => "SHA-256",
    };
    Key::from_hex(algorithm, text.expose()).ok_or_else(|| {
        let digits = algorithm.key_len() * 2;
        (part, format!("expected {digits} hexadecimal digits, the {hash} of \"name:{realm}:password\""))
    })
}

fn warn_of_readable_file(raw: &raw::Auth, findings: &mut Findings<'_>) {
    let in_file = |key: &str| matches!(findings.source.place_of(key), Place::Line { .. });
    let private = (!raw.secrets.is_empty() && in_file("auth.secrets"))
        || (!raw.user.is_empty() && in_file("auth.user"));
    let Some(path) = findings.source.file_path().filter(|_| private) else { return };
    if std::fs::metadata(path).is_ok_and(|metadata| secret_file::world_readable(&metadata)) {
        let message = format!(
            "{} holds secrets and can be read by every user of this host; chmod o-r it, or use secret_files",
            path.display()
        );
        findings.warning(message);
    }
}
