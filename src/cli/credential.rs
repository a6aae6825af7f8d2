//! `turnbridge credential`: makes time-limited credentials, as an application would.

mod secret;
mod verify;

use super::{
    exit::{Exit, Failure},
    output,
};
use crate::{
    auth::{name, rest::RestSecret},
    config::{Config, units::Seconds},
    control::{
        advert::Advert,
        certs::Watch,
        ice_servers::IceServers,
        utc::{Utc, unix_now},
    },
    net,
};
use clap::{Args, Subcommand};
use secret::SecretArgs;

/// Flags of `credential`.
#[derive(Args, Clone, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
The secret is, in this order: --secret-file or --secret, the first one of the configuration (file or environment), the
one that the server made for itself and keeps in its state directory.

Examples:
  turnbridge credential --user alice
  turnbridge credential --user alice --ttl 1h --json
  turnbridge credential --secret-file - < secret
  turnbridge credential verify 1760000000:alice zJPXkwuqCr56jVDlqk1KOUl6mGM="
)]
pub(super) struct CredentialArgs {
    #[command(subcommand)]
    command: Option<CredentialCommand>,
    #[command(flatten)]
    mint: MintArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum CredentialCommand {
    /// Say whether the server would accept a credential, and if not, exactly why
    Verify(verify::VerifyArgs),
}

#[derive(Args, Clone, Debug)]
struct MintArgs {
    #[command(flatten)]
    secret: SecretArgs,
    /// Whom the credential is for; quotas count by this
    #[arg(long, value_name = "ID", default_value = "")]
    user: String,
    /// How long it is good for, like 10m, 12h or 1d
    #[arg(long, value_name = "TIME", default_value = "1d")]
    ttl: Seconds,
    /// Where the server is; can be repeated. Without it the addresses of this host are used
    #[arg(long, value_name = "URL", value_parser = turn_or_turns)]
    url: Vec<String>,
    /// Print the iceServers JSON that a browser takes
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &CredentialArgs) -> Result<Exit, Failure> {
    match &args.command {
        Some(CredentialCommand::Verify(args)) => verify::run(args),
        None => mint(&args.mint),
    }
}

fn mint(args: &MintArgs) -> Result<Exit, Failure> {
    let config = args.secret.config()?;
    let Some(newest) = config.auth.secrets.first() else {
        let message =
            "the configuration has static users and no secret to make credentials with; see --secret-file";
        return Err(Failure::new(Exit::Failed, message));
    };
    if config.auth.max_ttl.is_some_and(|max_ttl| args.ttl.0 > max_ttl) {
        output::warning(
            "the server will refuse this credential until it is nearer to its end: auth.max_ttl is shorter",
        );
    }
    let expiry = unix_now().saturating_add(args.ttl.0);
    let (username, password) =
        RestSecret::new(&newest.secret).mint(&args.user, expiry, config.auth.separator);
    name::check_username(username.as_bytes())
        .map_err(|bad| Failure::new(Exit::Usage, format!("--user makes no user name: {bad}")))?;
    let urls = if args.url.is_empty() { own_urls(&config)? } else { args.url.clone() };
    let credential = password.expose();
    if args.json {
        output::result(&IceServers { urls: &urls, username: &username, credential }.to_string())?;
        return Ok(Exit::Done);
    }
    let expires = Utc::new(expiry).map_or_else(|| format!("{expiry}"), |expiry| expiry.to_string());
    let urls: String = urls.iter().map(|url| format!("\nurl:      {url}")).collect();
    output::result(&format!("username: {username}\npassword: {credential}\nexpires:  {expires}{urls}"))?;
    Ok(Exit::Done)
}

fn own_urls(config: &Config) -> Result<Vec<String>, Failure> {
    let advert = Advert::of(config, &net::sys::interfaces::local_addresses()?);
    // A certificate that cannot be read here may well be readable for the server.
    let name = match Watch::start(&config.tls, unix_now()) {
        Ok((watch, _)) => watch.name(),
        Err(_) => config.tls.names.first().cloned(),
    };
    Ok(advert.client_urls(&config.relay.external, name.as_deref()))
}

fn turn_or_turns(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("turn:").or_else(|| text.strip_prefix("turns:"));
    match host.is_some_and(|host| !host.is_empty() && !host.starts_with('/')) {
        true => Ok(text.to_owned()),
        false => Err("expected \"turn:host:port\" or \"turns:host:port\", with \"?transport=udp\" or \"tcp\" behind it if need be".to_owned()),
    }
}
