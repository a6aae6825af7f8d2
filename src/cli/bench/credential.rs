//! With which name and password the clients of the load generator log in.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::auth::rest::RestSecret;
use crate::auth::{Key, PasswordAlgorithm, Secret};

/// Either a name and its password, or the secret that the server's time-limited credentials are made from.
#[derive(Args, Debug)]
pub(super) struct CredentialArgs {
    /// Log in as this user; with a secret it becomes the id behind the expiry time
    #[arg(long, env = "TURNBRIDGE_BENCH_USER")]
    user: Option<String>,
    /// The user's password
    #[arg(long, env = "TURNBRIDGE_BENCH_PASSWORD", hide_env_values = true, requires = "user")]
    password: Option<String>,
    /// A file with the secret of the server's time-limited credentials, to mint one for this run
    #[arg(long, conflicts_with_all = ["password", "secret"])]
    secret_file: Option<PathBuf>,
    /// That secret itself, from the environment only
    #[arg(
        long,
        env = "TURNBRIDGE_BENCH_SECRET",
        hide = true,
        hide_env_values = true,
        conflicts_with = "password"
    )]
    secret: Option<String>,
}

/// A name and its password.
pub(super) struct Credential {
    pub(super) user: String,
    password: Secret,
}

impl CredentialArgs {
    /// The credential to use; none if none was given, for servers that ask for none.
    pub(super) fn resolve(&self) -> Result<Option<Credential>> {
        let secret = match (&self.secret_file, &self.secret) {
            (Some(path), _) => Some(
                std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read the secret from {}", path.display()))?,
            ),
            (None, secret) => secret.clone(),
        };
        match (secret, &self.user, &self.password) {
            (Some(secret), user, _) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
                let id = user.as_deref().unwrap_or("bench");
                Ok(Some(Credential::minted(secret.trim_end(), id, now.as_secs() + VALID_FOR)))
            }
            (None, Some(user), Some(password)) => Ok(Some(Credential::plain(user, password))),
            (None, Some(_), None) => bail!("--user needs --password, or --secret-file to mint one"),
            (None, None, _) => Ok(None),
        }
    }
}

impl Credential {
    /// A user with a password of its own.
    pub(super) fn plain(user: &str, password: &str) -> Self {
        Self { user: user.to_owned(), password: Secret::new(password) }
    }

    /// A time-limited credential for `id`.
    fn minted(secret: &str, id: &str, expires: u64) -> Self {
        let user = format!("{expires}:{id}");
        let password = Secret::new(RestSecret::new(&Secret::new(secret)).password(&user).expose());
        Self { user, password }
    }

    /// The long-term key, by the algorithm that every server knows (RFC 8489 §9.2.2).
    pub(super) fn key(&self, realm: &str) -> Key {
        Key::derive(PasswordAlgorithm::Md5, &self.user, realm, self.password.expose().as_bytes())
    }
}

/// Longer than any run.
const VALID_FOR: u64 = 2 * 3600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minted_password_is_the_known_one() {
        let credential = Credential::minted("north", "mbzrxpgjys", 1_266_890_800);
        assert_eq!(credential.user, "1266890800:mbzrxpgjys");
        assert_eq!(credential.password.expose(), "nbRcrnq5h6xXhyNhlwk+lDLvVVo=");
    }
}
