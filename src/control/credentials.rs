//! Who may log in where the configuration names nobody.

use super::state::{self, OwnSecret, StateError, Surroundings};
use crate::config::{Config, checked::NamedSecret};

/// Puts the secret that the server keeps for itself into a configuration that would let nobody in.
pub fn complete(config: &mut Config) -> Result<Option<OwnSecret>, StateError> {
    if !config.auth.is_empty() {
        return Ok(None);
    }
    let own = state::keep_secret(&config.server.state_dir, &Surroundings::of_this_process())?;
    let path = own.path.display().to_string();
    match own.is_new {
        true => tracing::info!(path, "secret made"),
        false => tracing::info!(path, "secret kept from an earlier start"),
    }
    for note in &own.notes {
        tracing::warn!(detail = %note, "secret needs attention");
    }
    config.auth.secrets.push(NamedSecret { name: path, secret: own.secret.clone() });
    Ok(Some(own))
}
