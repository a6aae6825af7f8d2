//! `turnbridge check`: whether a configuration is good, and what comes of it on this host.

use super::{
    exit::{Exit, Failure},
    output,
    settings::{self, SettingArgs},
};
use crate::{
    config::{
        Config, Loaded,
        admin::AdminAddress,
        checked::{Acme, AddressPair},
    },
    control::{
        advert::{Advert, advice_on_relays},
        certs::{Notice, Watch},
        state::{self, Surroundings},
        utc::{Utc, unix_now},
    },
    net,
};
use clap::Args;
use std::{fmt::Write, net::IpAddr, path::PathBuf};

/// Flags of `check`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Prints the effective configuration as TOML, with secrets masked, and the addresses that come of it.
Exits with 0 when the configuration is good and with 78 when it is not.

Example:
  turnbridge check /etc/turnbridge.toml")]
pub(super) struct CheckArgs {
    /// The configuration file; without one the defaults and the environment are checked
    #[arg(value_name = "FILE", env = "TURNBRIDGE_CONFIG")]
    file: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingArgs,
}

pub(super) fn run(args: &CheckArgs) -> Result<Exit, Failure> {
    report(&settings::load(args.file.as_deref(), &args.settings)?)
}

/// Prints what `loaded` means. The output is a configuration file again, which means the same but for the secrets.
pub(super) fn report(loaded: &Loaded) -> Result<Exit, Failure> {
    let effective =
        toml::to_string(&loaded.raw).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let (certificates, notices) = inspect_certificates(&loaded.config)?;
    let host = net::sys::interfaces::local_addresses()?;
    let advert = Advert::of(&loaded.config, &host);
    output::result(&format!("{effective}\n{}", describe(&loaded.config, &advert, certificates.as_ref())))?;
    let notices: Vec<String> = notices.iter().filter_map(Notice::complaint).collect();
    for warning in loaded
        .warnings
        .iter()
        .chain(&foreign_addresses(&advert, &host))
        .chain(&advice_on_relays(&advert))
        .chain(&notices)
    {
        output::warning(warning);
    }
    output::note("the configuration is good");
    Ok(Exit::Done)
}

/// Reads the certificates as a server would.
fn inspect_certificates(config: &Config) -> Result<(Option<Watch>, Vec<Notice>), Failure> {
    if config.tls.certificates.is_empty() && config.tls.acme.is_none() {
        return Ok((None, Vec::new()));
    }
    let (watch, notices) = Watch::start(&config.tls, unix_now())
        .map_err(|messages| Failure { exit: Exit::BadConfig, messages })?;
    Ok((Some(watch), notices))
}

/// A configuration may well be checked on another host than the one it is for, so this is no error here.
fn foreign_addresses(advert: &Advert, host: &[IpAddr]) -> Vec<String> {
    let listeners = advert.listeners.iter().map(|listener| listener.address.ip());
    let mut foreign: Vec<IpAddr> = listeners.chain(advert.relays.iter().map(|relay| relay.bind)).collect();
    // All of 127.0.0.0/8 is the host's own, though only one address of it is listed.
    foreign.retain(|ip| !host.contains(ip) && !ip.is_loopback());
    foreign.sort();
    foreign.dedup();
    foreign
        .iter()
        .map(|ip| format!("{ip} is not an address of this host; a server here could not use it"))
        .collect()
}

fn describe(config: &Config, advert: &Advert, certificates: Option<&Watch>) -> String {
    let mut text = "# On this host, this means:\n".to_owned();
    let relays = advert.relays.iter().map(|relay| format!("{}, bound to {}", relay.external, relay.bind));
    let name = certificates.and_then(Watch::name);
    let lines = [
        ("listens on", advert.listeners.iter().map(ToString::to_string).collect::<Vec<_>>()),
        ("relays from", relays.collect()),
        ("tells NATs", discoveries(config)),
        ("measured at", config.metrics.listen.iter().map(ToString::to_string).collect()),
        ("logs in", logins(config)),
        ("certificate", certificates.map(served).unwrap_or_default()),
        ("certificate", config.tls.acme.iter().map(ordered).collect()),
        ("managed at", managed(config)),
        ("clients use", advert.client_urls(&config.relay.external, name.as_deref())),
    ];
    for (name, values) in lines {
        for value in values {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "#   {name:<12}{value}");
        }
    }
    text.trim_end().to_owned()
}

/// Between which addresses, as clients see them, NAT discovery answers.
fn discoveries(config: &Config) -> Vec<String> {
    let describe = |pair: &AddressPair| {
        let [one, other] = pair.addresses.map(|ip| config.relay.external.advertised(ip));
        let [port, alternate] = pair.ports;
        format!("by answers from {one} and {other}, ports {port} and {alternate}")
    };
    config.nat_discovery.pairs.iter().map(describe).collect()
}

/// Where the admin server listens beside its default socket, and who may ask there.
fn managed(config: &Config) -> Vec<String> {
    let keys: Vec<_> = config.admin.keys.iter().map(|key| key.name.as_str()).collect();
    let shown = config.admin.listen.iter().filter_map(|address| match address {
        AdminAddress::Auto => None,
        AdminAddress::Unix(_) => Some(address.to_string()),
        AdminAddress::Tcp(_) if keys.is_empty() => {
            Some(format!("{address}, for health checks alone: no admin.key"))
        }
        AdminAddress::Tcp(_) => Some(format!("{address}, with the keys of {}", keys.join(", "))),
    });
    shown.collect()
}

fn served(certificates: &Watch) -> Vec<String> {
    let status = certificates.store().status();
    let described = status.iter().map(|it| {
        let until = Utc::new(it.not_after).map(|until| format!(" until {until}")).unwrap_or_default();
        format!("for {}{until}, from {}", it.names.join(", "), it.origin)
    });
    described.collect()
}

fn ordered(acme: &Acme) -> String {
    let Acme { names, challenge, directory, .. } = acme;
    format!("for {}, ordered from {directory} by {challenge}", names.join(", "))
}

fn logins(config: &Config) -> Vec<String> {
    if config.auth.is_empty() {
        return vec![match state::find_secret(&config.server.state_dir, &Surroundings::of_this_process()) {
            Ok(own) => format!("with time-limited credentials, by the secret in {}", own.path.display()),
            Err(_) => "with time-limited credentials, by a secret that is made at the first start".to_owned(),
        }];
    }
    let secrets = config.auth.secrets.iter().enumerate();
    let secrets = secrets
        .map(|(at, named)| format!("with time-limited credentials, by secret {} ({})", at + 1, named.name));
    let users = config.auth.users.iter().map(|user| format!("as the static user {}", user.name));
    secrets.chain(users).collect()
}
