//! `turnbridge credential verify`: what the server would say to a credential, and why.

use super::secret::SecretArgs;
use crate::{
    auth::{
        Authenticator, Candidate, CredentialSource, Key, PasswordAlgorithm, Refused, name, rest::RestName,
    },
    cli::{
        exit::{Exit, Failure},
        output,
    },
    config::Config,
    control::utc::{Utc, unix_now},
};
use clap::Args;
use std::io::BufRead;

/// Flags of `credential verify`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Prints a verdict and exits with 0 when the credential is good now, with 1 when it is not.

Example:
  turnbridge credential verify --config /etc/turnbridge.toml 1760000000:alice zJPXkwuqCr56jVDlqk1KOUl6mGM=")]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    secret: SecretArgs,
    /// The user name, as a client sends it
    username: String,
    /// The password; - reads it from standard input
    password: String,
}

pub(super) fn run(args: &VerifyArgs) -> Result<Exit, Failure> {
    let config = args.secret.config()?;
    let password = match args.password.as_str() {
        "-" => std::io::stdin().lock().lines().next().transpose()?.unwrap_or_default(),
        password => password.to_owned(),
    };
    let verdict = judge(&config, &args.username, &password, unix_now());
    output::result(&verdict.text)?;
    Ok(if verdict.good { Exit::Done } else { Exit::Failed })
}

#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    good: bool,
    text: String,
}

fn judge(config: &Config, username: &str, password: &str, now: u64) -> Verdict {
    let authenticator = config.auth.authenticator(&config.server.realm);
    let verdict = match authenticator.find(username.as_bytes(), now) {
        Ok(mut candidates) => {
            match candidates.find(|candidate| matches(candidate, &authenticator, username, password)) {
                Some(candidate) => return accepted(config, &candidate, now),
                None => mismatch(config, &authenticator, username, now),
            }
        }
        Err(Refused::UnknownUser) => unknown(config),
        Err(refused @ (Refused::Expired { .. } | Refused::TooFarAhead { .. })) => {
            format!("{refused}; {}", even_so(config, &authenticator, username, password))
        }
        Err(refused @ (Refused::NotAUserName(_) | Refused::Revoked)) => refused.to_string(),
    };
    Verdict { good: false, text: format!("refused: {verdict}{}", milliseconds(config, username, now)) }
}

fn accepted(config: &Config, candidate: &Candidate<'_>, now: u64) -> Verdict {
    let expiry = match candidate.expiry() {
        Some(expiry) => {
            let moment = Utc::new(expiry).map(|moment| format!(" ({moment})")).unwrap_or_default();
            format!("expires in {} s{moment}", expiry - now)
        }
        None => "does not expire".to_owned(),
    };
    let text = format!(
        "good: matches {}, user {:?}, realm {:?}, {expiry}",
        named(config, candidate.source()),
        candidate.user_id(),
        config.server.realm
    );
    Verdict { good: true, text }
}

/// Nothing that was tried gives this password.
fn mismatch(config: &Config, authenticator: &Authenticator, username: &str, now: u64) -> String {
    let sources: Vec<_> =
        authenticator.find(username.as_bytes(), now).into_iter().flatten().map(|it| it.source()).collect();
    let secrets = sources.iter().filter(|source| matches!(source, CredentialSource::Secret { .. })).count();
    let user = format!(
        "the static user {username:?} has another password (or its key was not hashed for realm {:?})",
        config.server.realm
    );
    match (sources.contains(&CredentialSource::User), secrets) {
        (true, 0) => user,
        (true, _) => format!("{user}, and as a time-limited credential the {}", no_secret(secrets)),
        (false, _) => format!("the {}", no_secret(secrets)),
    }
}

fn no_secret(secrets: usize) -> String {
    match secrets {
        1 => "password does not match the one secret".to_owned(),
        _ => format!("password does not match any of the {secrets} secrets"),
    }
}

fn unknown(config: &Config) -> String {
    if config.auth.secrets.is_empty() {
        return "unknown user, and no secret is configured for time-limited credentials".to_owned();
    }
    let colon = config.auth.separator.as_char();
    format!(
        "unknown user: neither a static user nor a time-limited name (\"expiry{colon}id\", \"id{colon}expiry\" or \"expiry\" in Unix seconds)"
    )
}

/// A credential that is refused for its time: whether the password would have been right.
fn even_so(config: &Config, authenticator: &Authenticator, username: &str, password: &str) -> String {
    let expiry = RestName::parse(username, config.auth.separator).map_or(0, |name| name.expiry);
    let candidates = || authenticator.find(username.as_bytes(), expiry).into_iter().flatten();
    match candidates().find(|candidate| matches(candidate, authenticator, username, password)) {
        Some(candidate) => format!("the password matches {}", named(config, candidate.source())),
        None => format!("besides, the {}", no_secret(candidates().count())),
    }
}

fn matches(candidate: &Candidate<'_>, authenticator: &Authenticator, username: &str, password: &str) -> bool {
    // A client prepares its password before it hashes it (RFC 8489 §9.2.2).
    let password = name::opaque_string(password).unwrap_or(password.into());
    [PasswordAlgorithm::Md5, PasswordAlgorithm::Sha256].into_iter().any(|algorithm| {
        let presented = Key::derive(algorithm, username, authenticator.realm(), password.as_bytes());
        candidate.key(algorithm).is_some_and(|key| key == presented)
    })
}

fn named(config: &Config, source: CredentialSource) -> String {
    match source {
        CredentialSource::User => source.to_string(),
        CredentialSource::Secret { position } => match config.auth.secrets.get(position - 1) {
            Some(secret) => format!("{source} ({})", secret.name),
            None => source.to_string(),
        },
    }
}

/// The commonest mistake of applications: JavaScript counts milliseconds.
fn milliseconds(config: &Config, username: &str, now: u64) -> &'static str {
    let looks_like_it =
        |name: RestName<'_>| name.expiry / 1000 > now / 2 && name.expiry / 1000 < now.saturating_mul(2);
    match RestName::parse(username, config.auth.separator).is_some_and(looks_like_it) {
        true => "; the expiry looks like milliseconds, it has to be in seconds",
        false => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Inputs, Override, load};

    const NOW: u64 = 1_760_000_000;

    fn config(auth: &str) -> Config {
        let mut table: toml::Table = toml::from_str(auth).unwrap();
        let overrides = std::mem::take(&mut table).into_iter().map(|(key, value)| Override {
            key: format!("auth.{key}"),
            value,
            origin: "test".into(),
        });
        load(Inputs { file: None, overrides: overrides.collect() }).unwrap().config
    }

    const SECRETS: &str = r#"secrets = ["another-secret-xx", "rest-secret"]"#;
    const GOOD: &str = "zJPXkwuqCr56jVDlqk1KOUl6mGM=";

    #[test]
    fn every_verdict_says_exactly_what_is_wrong() {
        let users = format!("{SECRETS}\nuser = [{{ name = \"bob\", password = \"builder\" }}]");
        let short = format!("{SECRETS}\nmax_ttl = \"1h\"");
        let only_users = r#"user = [{ name = "bob", password = "builder" }]"#;
        let cases: &[(&str, u64, &str, &str, bool, &str)] = &[
            (
                SECRETS,
                NOW,
                "1760000000:alice",
                GOOD,
                true,
                "good: matches secret 2 (auth.secrets[1]), user \"alice\", realm \"turn\", expires in 0 s (2025-10-09T08:53:20Z)",
            ),
            (
                SECRETS,
                NOW + 73,
                "1760000000:alice",
                GOOD,
                false,
                "refused: expired 73 s ago; the password matches secret 2 (auth.secrets[1])",
            ),
            (
                SECRETS,
                NOW + 73,
                "1760000000:alice",
                "x",
                false,
                "refused: expired 73 s ago; besides, the password does not match any of the 2 secrets",
            ),
            (
                SECRETS,
                NOW,
                "1760000000:alice",
                "x",
                false,
                "refused: the password does not match any of the 2 secrets",
            ),
            (
                SECRETS,
                NOW,
                "1760000000:bob",
                GOOD,
                false,
                "refused: the password does not match any of the 2 secrets",
            ),
            (
                &short,
                NOW - 7200,
                "1760000000:alice",
                GOOD,
                false,
                "refused: expires 7200 s from now, more than the 3600 s of max_ttl; the password matches secret 2 (auth.secrets[1])",
            ),
            (
                &short,
                NOW,
                "1760000000000:alice",
                "x",
                false,
                "refused: expires 1758240000000 s from now, more than the 3600 s of max_ttl; besides, the password does not match any of the 2 secrets; the expiry looks like milliseconds, it has to be in seconds",
            ),
            (
                SECRETS,
                NOW,
                "alice",
                "x",
                false,
                "refused: unknown user: neither a static user nor a time-limited name (\"expiry:id\", \"id:expiry\" or \"expiry\" in Unix seconds)",
            ),
            (
                only_users,
                NOW,
                "alice",
                "x",
                false,
                "refused: unknown user, and no secret is configured for time-limited credentials",
            ),
            (
                &users,
                NOW,
                "bob",
                "builder",
                true,
                "good: matches static user, user \"bob\", realm \"turn\", does not expire",
            ),
            (
                &users,
                NOW,
                "bob",
                "x",
                false,
                "refused: the static user \"bob\" has another password (or its key was not hashed for realm \"turn\")",
            ),
            (
                SECRETS,
                NOW,
                "1760000000:a\nb",
                "x",
                false,
                "refused: not a user name: it contains a control or invisible character",
            ),
        ];
        for (auth, now, username, password, good, text) in cases {
            let verdict = judge(&config(auth), username, password, *now);
            assert_eq!(verdict, Verdict { good: *good, text: (*text).to_owned() });
        }
    }

    #[test]
    fn a_pre_hashed_user_is_verified_by_its_key() {
        // MD5 of user:turn:pass.
        let config = config("user = [{ name = \"user\", key = \"2685746a2539a29ad9052d2273211fd6\" }]");
        assert!(judge(&config, "user", "pass", NOW).good);
        assert!(!judge(&config, "user", "Pass", NOW).good);
    }
}
