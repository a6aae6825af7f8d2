//! `[metrics]`: whether the server tells its figures, where and under which names.

use super::Findings;
use crate::config::{address::ListenAddress, raw};

/// `[metrics]`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Whether there are any.
    pub enabled: bool,
    /// Where nothing else is told, beside the admin server.
    pub listen: Vec<ListenAddress>,
    /// Whether coturn's names are there too.
    pub coturn_names: bool,
}

const LISTEN: &str = "metrics.listen";

pub(super) fn check(raw: &raw::Config, findings: &mut Findings<'_>) -> Metrics {
    let raw::Metrics { enabled, ref listen, coturn_names } = raw.metrics;
    if !enabled && (!listen.is_empty() || coturn_names) {
        let message = "nothing is told with metrics.enabled = false: leave out the other keys of [metrics], or set it \
                       to true";
        findings.problem("metrics.enabled", message);
    }
    for (at, address) in listen.iter().enumerate() {
        if let Some(message) = opened_twice(*address, &listen[..at], &raw.listener) {
            findings.problem(&format!("{LISTEN}[{at}]"), message);
        }
        if !matches!(address, ListenAddress::One(_)) {
            findings.warning(format!(
                "{LISTEN} has \"{address}\": whoever reaches this host there can read the figures, without a password; \
                 name an address of an inner network, or let a firewall keep others out"
            ));
        }
    }
    Metrics { enabled, listen: listen.clone(), coturn_names }
}

/// Metrics are on a TCP port, and that must be nobody else's.
fn opened_twice(
    address: ListenAddress,
    earlier: &[ListenAddress],
    listeners: &[raw::Listener],
) -> Option<String> {
    let overlaps = |other: ListenAddress| other.covers(address) || address.covers(other);
    if let Some(other) = earlier.iter().copied().find(|other| overlaps(*other)) {
        return Some(format!("\"{address}\" would be opened twice: \"{other}\" is listed before"));
    }
    let is_in_the_way = |it: &&raw::Listener| it.transport.is_stream() && overlaps(it.address);
    let listener = listeners.iter().find(is_in_the_way)?;
    let raw::Listener { address: taken, transport, .. } = listener;
    Some(format!(
        "\"{address}\" is taken: clients are heard at \"{taken}\" over {transport}; choose another port"
    ))
}
