//! Whom the server talks to by itself, beside clients: those who take records, and those who decide about users.

use std::io;
use std::sync::Arc;

use super::accounting::{self, Bookkeeper, Outlets};
use super::auth_webhook::{self, Clerk, Counterpart};
use super::plane::Plane;
use crate::config::Config;

/// The threads that talk to them.
#[derive(Debug)]
pub(super) struct Counterparts {
    books: Bookkeeper,
    clerk: Clerk,
}

/// All that a configuration needs for that, opened.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) outlets: Outlets,
    asked: Option<Counterpart>,
}

/// What is different in another configuration, opened.
#[derive(Debug)]
pub(super) struct Difference {
    outlets: Option<Outlets>,
    asked: Option<Option<Counterpart>>,
}

impl Ready {
    pub(super) fn of(config: &Config) -> Result<Self, String> {
        Ok(Self { outlets: Outlets::prepare(&config.accounting)?, asked: asked(config)? })
    }
}

impl Difference {
    /// From `old` to `new`. What is in the way says which key it is about.
    pub(super) fn between(old: &Config, new: &Config) -> Result<Self, String> {
        let is_same_realm = old.server.realm == new.server.realm;
        let outlets = (old.accounting != new.accounting).then(|| Outlets::prepare(&new.accounting));
        // Answers are remembered as keys, and every key is of its realm.
        let asked = (old.auth.webhook != new.auth.webhook || !is_same_realm).then(|| asked(new));
        Ok(Self { outlets: outlets.transpose()?, asked: asked.transpose()? })
    }
}

fn asked(config: &Config) -> Result<Option<Counterpart>, String> {
    config.auth.webhook.as_ref().map(Counterpart::prepare).transpose()
}

impl Counterparts {
    /// Begins to serve the workers behind `plane`, in the name of `server`.
    pub(super) fn start(
        ready: Ready,
        (notes, questions): (accounting::Inbox, auth_webhook::Inbox),
        plane: &Arc<Plane>,
        server: &str,
    ) -> io::Result<Self> {
        let Ready { outlets, asked } = ready;
        Ok(Self {
            books: notes.start(plane.clone(), server, outlets)?,
            clerk: questions.start(plane.clone(), server, asked)?,
        })
    }

    /// Opens the file of records again, which somebody may have moved away, whatever there is to say of the
    /// configuration.
    pub(super) fn reopen(&self) {
        self.books.reopen();
    }

    /// Takes another configuration into use.
    pub(super) fn apply(&self, difference: Difference) {
        let Difference { outlets, asked } = difference;
        if let Some(outlets) = outlets {
            self.books.apply(outlets);
        }
        if let Some(asked) = asked {
            self.clerk.apply(asked);
        }
    }

    /// Waits until all is delivered, but not for long. All workers have ended.
    pub(super) fn finish(self) {
        drop(self.clerk);
        self.books.finish();
    }
}
