//! Where the commands that need a secret take it from.

use crate::{
    auth::Secret,
    cli::{
        exit::{Exit, Failure},
        output, settings,
    },
    config::{Config, checked::NamedSecret, secret_file},
    control::state::{self, Surroundings},
};
use clap::Args;
use std::path::{Path, PathBuf};

/// Which secret to use; nothing given means what the server on this host would use.
#[derive(Args, Clone, Debug)]
pub(super) struct SecretArgs {
    /// The configuration of the server
    #[arg(long, value_name = "FILE", env = "TURNBRIDGE_CONFIG")]
    config: Option<PathBuf>,
    /// Where a server without a configured secret keeps its own
    #[arg(long, value_name = "DIRECTORY")]
    state_dir: Option<PathBuf>,
    /// Use the secret in this file; - is standard input
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Use this secret; others on this host can see it in the process list, so prefer a file
    #[arg(long, value_name = "TEXT", conflicts_with = "secret_file")]
    secret: Option<String>,
}

impl SecretArgs {
    /// The configuration, with the secret of the flags or of the state directory in it.
    pub(super) fn config(&self) -> Result<Config, Failure> {
        let flags = self.state_dir.as_deref().map(settings::state_dir);
        let mut config = settings::load_with(self.config.as_deref(), flags.into_iter().collect())?.config;
        if let Some(named) = self.explicit()? {
            config.auth.secrets = vec![named];
        } else if config.auth.is_empty() {
            let own = state::find_secret(&config.server.state_dir, &Surroundings::of_this_process())?;
            config.auth.secrets =
                vec![NamedSecret { name: own.path.display().to_string(), secret: own.secret }];
        }
        Ok(config)
    }

    fn explicit(&self) -> Result<Option<NamedSecret>, Failure> {
        let (name, secret) = match (&self.secret_file, &self.secret) {
            (Some(path), _) => (path.display().to_string(), read(path)?),
            (None, Some(text)) => {
                output::warning(
                    "--secret can be seen in the process list of this host; --secret-file cannot",
                );
                ("--secret".to_owned(), Secret::new(text))
            }
            (None, None) => return Ok(None),
        };
        match secret.expose().is_empty() {
            true => Err(Failure::new(Exit::Usage, format!("{name}: the secret is empty"))),
            false => Ok(Some(NamedSecret { name, secret })),
        }
    }
}

fn read(path: &Path) -> Result<Secret, Failure> {
    let unusable = |message: String| Failure::new(Exit::Failed, message);
    if path == Path::new("-") {
        return secret_file::read_from(std::io::stdin().lock())
            .map_err(|message| unusable(format!("standard input {message}")));
    }
    let file = secret_file::read(path).map_err(unusable)?;
    if file.world_readable {
        output::warning(&format!("{} can be read by every user of this host; chmod o-r it", path.display()));
    }
    Ok(file.secret)
}
