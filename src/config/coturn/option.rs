//! The options that coturn has had, from 4.5 to 4.17, and what is known about each without looking at its value.

use super::{
    auth, database, limits, listeners, log, metrics, nat_discovery, peers, process, redirect, relay, tls,
    unneeded, unserved,
};
use crate::config::nearest::nearest;

/// An option by its long name, which is the only one that a configuration file can use.
#[derive(Clone, Copy, Debug)]
pub(super) struct KnownOption {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) fate: Fate,
}

/// What may stand behind the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Yes or no, or nothing, which is yes.
    Switch,
    /// Anything else.
    Value,
}

/// What becomes of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The file that lists it makes something of it.
    Mapped,
    /// It is so anyway, for this reason.
    Default(&'static str),
    /// There is nothing like it here, for this reason; what to do instead.
    Dropped(&'static str),
}

/// The options of this name that a file of this folder looks at.
pub(super) const fn mapped(name: &'static str, kind: Kind) -> KnownOption {
    KnownOption { name, kind, fate: Fate::Mapped }
}

/// All known options, each once.
pub(super) fn known() -> impl Iterator<Item = &'static KnownOption> {
    let tables: [&'static [KnownOption]; 14] = [
        listeners::OPTIONS,
        tls::OPTIONS,
        relay::OPTIONS,
        auth::OPTIONS,
        database::OPTIONS,
        limits::OPTIONS,
        peers::OPTIONS,
        nat_discovery::OPTIONS,
        process::OPTIONS,
        redirect::OPTIONS,
        log::OPTIONS,
        metrics::OPTIONS,
        unneeded::OPTIONS,
        unserved::OPTIONS,
    ];
    tables.into_iter().flatten()
}

/// The option of this name.
pub(super) fn find(name: &str) -> Option<&'static KnownOption> {
    known().find(|option| option.name == name)
}

/// What may have been meant by a name that is none.
pub(super) fn meant(name: &str) -> Option<&'static str> {
    nearest(name.trim_start_matches('-'), known().map(|option| option.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_option_has_two_fates() {
        let mut seen = HashSet::new();
        for option in known() {
            assert!(seen.insert(option.name), "{}", option.name);
        }
        assert!(seen.len() > 150, "{}", seen.len());
    }

    #[test]
    fn slips_and_options_of_a_command_line_are_recognised() {
        assert_eq!(meant("listning-port"), Some("listening-port"));
        assert_eq!(meant("--no-tls"), Some("no-tls"));
        assert_eq!(meant("denied_peer_ip"), Some("denied-peer-ip"));
        assert_eq!(meant("something-else"), None);
    }
}
