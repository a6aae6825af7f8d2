//! `turnbridge healthcheck`: whether a server on this host answers, for containers and scripts.

use super::{
    exit::{Exit, Failure},
    output,
    settings::{self, SettingArgs},
};
use crate::{
    config::{choice::Transport, units::Seconds},
    control::{
        advert::Advert,
        probe::{Over, probe},
    },
    net,
};
use clap::Args;
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// Flags of `healthcheck`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Asks for a Binding, as any client may, where the configuration has the server listen: over UDP, or over TCP when there is
no UDP listener. Exits with 0 when the answer is right, and with 1 and a sentence when it is not.

Examples:
  turnbridge healthcheck --config /etc/turnbridge/turnbridge.toml
  turnbridge healthcheck --server 192.0.2.1:3478")]
pub(super) struct HealthcheckArgs {
    /// The configuration of the server
    #[arg(long, value_name = "FILE", env = "TURNBRIDGE_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingArgs,
    /// Ask here, over UDP, whatever the configuration says
    #[arg(long, value_name = "ADDRESS")]
    server: Option<SocketAddr>,
    /// How long the answer may take
    #[arg(long, value_name = "TIME", default_value = "3s")]
    timeout: Seconds,
}

pub(super) fn run(args: &HealthcheckArgs) -> Result<Exit, Failure> {
    let (server, over) = match args.server {
        Some(server) => (server, Over::Udp),
        None => configured(args)?,
    };
    let name = match over {
        Over::Udp => "udp",
        Over::Tcp => "tcp",
    };
    let took = probe(server, over, Duration::from_secs(args.timeout.0))
        .map_err(|error| Failure::new(Exit::Failed, format!("{name}:{server}: {error}")))?;
    output::result(&format!("{name}:{server} answers after {:.1} ms", took.as_secs_f64() * 1000.0))?;
    Ok(Exit::Done)
}

/// Where the server that has this configuration listens on this host.
fn configured(args: &HealthcheckArgs) -> Result<(SocketAddr, Over), Failure> {
    let loaded = settings::load(args.config.as_deref(), &args.settings)?;
    let advert = Advert::of(&loaded.config, &net::sys::interfaces::local_addresses()?);
    let find = |over: Over, fits: fn(Transport) -> bool| {
        let listening = advert.listeners.iter().find(|it| fits(it.transport) && it.address.port() != 0)?;
        Some((listening.address, over))
    };
    let plain = |transport| matches!(transport, Transport::Tcp | Transport::Auto);
    find(Over::Udp, |transport| transport == Transport::Udp).or_else(|| find(Over::Tcp, plain)).ok_or_else(|| {
        let message = "the configuration has no listener for UDP or plain TCP on a known port; name one with --server";
        Failure::new(Exit::Usage, message)
    })
}
