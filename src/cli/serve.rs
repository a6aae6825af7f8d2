//! `turnbridge serve`: everything up to the moment when sockets are opened, and what is told once they are.

use super::{
    check,
    exit::{Exit, Failure},
    output,
    settings::{self, SettingArgs},
};
use crate::{
    config::{self, Config, Loaded},
    control::{
        acme,
        advert::{Advert, advice_on_relays},
        certs::Watch,
        config_files::ConfigFiles,
        credentials,
        first_minute::first_minute,
        logging::{self, Style},
        reload::Load,
        server::{self, Start},
        state::OwnSecret,
        utc::unix_now,
    },
    net,
};
use clap::Args;
use std::path::PathBuf;

/// Flags of `serve`.
#[derive(Args, Clone, Debug)]
pub(super) struct ServeArgs {
    /// Read this configuration file
    #[arg(long, value_name = "FILE", env = "TURNBRIDGE_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingArgs,
    /// Check the configuration and exit, as `turnbridge check` does
    #[arg(long, visible_alias = "check-config")]
    check: bool,
}

pub(super) fn run(args: &ServeArgs) -> Result<Exit, Failure> {
    let (file, flags) = (args.config.clone(), args.settings.clone());
    let files = file.iter().cloned().chain(config::env::files(std::env::vars_os())).collect();
    let load = Box::new(move || settings::load_config(file.as_deref(), &flags));
    let (files, loaded) = ConfigFiles::load(files, &load)?;
    if args.check {
        return check::report(&loaded);
    }
    // From here on there are secrets in memory.
    let hidden = net::sys::process::hide_memory();
    let style = Style::choose(loaded.config.log_format);
    logging::start(loaded.config.log_level, style);
    if let Err(error) = hidden {
        tracing::warn!(%error, "a core dump of this process would contain its secrets");
    }
    for warning in &loaded.warnings {
        tracing::warn!(detail = %warning, "configuration can be improved");
    }
    // From here on there is a log, and it is where an operator looks.
    let served = serve(loaded, (load, files), args.config.is_none(), style);
    Ok(served.map_or_else(
        |failure| {
            tracing::error!(reason = %failure.messages.join("\n"), "server stopped");
            failure.exit
        },
        |()| Exit::Done,
    ))
}

fn serve(
    loaded: Loaded,
    (load, files): (Load, ConfigFiles),
    is_first_try: bool,
    style: Style,
) -> Result<(), Failure> {
    let Loaded { raw, mut config, warnings: _, secret_files: _ } = loaded;
    let own_secret = credentials::complete(&mut config)?;
    let host = net::sys::interfaces::local_addresses()?;
    let certificates = load_certificates(&config)?;
    let tls_name = certificates.as_ref().and_then(Watch::name);
    let acme = match &certificates {
        Some(watch) => acme::Setup::of(&config, watch.store())?,
        None => None,
    };
    let start = Start {
        load,
        files,
        advert: Advert::of(&config, &host),
        config: config.clone(),
        raw,
        host,
        certificates,
        acme,
    };
    let ready = |advert: &Advert| {
        tracing::info!(
            listeners = %joined(&advert.listeners),
            relays = %joined(advert.relays.iter().map(|relay| relay.external)),
            ports = %config.relay.ports,
            "serving"
        );
        if let Some(detail) = advice_on_relays(advert) {
            tracing::warn!(detail, "relay addresses need attention");
        }
        // Whoever has written a configuration makes credentials with `turnbridge credential`; the log of a service
        // is no place for one.
        if let Some(own) = own_secret.filter(|_| is_first_try) {
            tell(&config, advert, tls_name.as_deref(), &own, style);
        }
    };
    Ok(server::run(start, ready)?)
}

/// The certificates for TLS listeners, if there are any.
fn load_certificates(config: &Config) -> Result<Option<Watch>, Failure> {
    if !config.listeners.iter().any(|listener| listener.transport.is_tls()) {
        return Ok(None);
    }
    let (watch, notices) = Watch::start(&config.tls, unix_now())
        .map_err(|messages| Failure { exit: Exit::BadConfig, messages })?;
    for notice in &notices {
        notice.log();
    }
    Ok(Some(watch))
}

fn tell(config: &Config, advert: &Advert, tls_name: Option<&str>, own: &OwnSecret, style: Style) {
    let told = first_minute(config, advert, tls_name, (&own.path, &own.secret), unix_now());
    // Among JSON lines the text would only be in the way of the programs that read them.
    if style == Style::Text {
        output::note(&told.text);
    }
    if let Err(failure) = output::result(&told.ice_servers) {
        tracing::warn!(reason = %failure.messages.join("\n"), "cannot print the first credential");
    }
}

fn joined<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(",")
}
