//! How a command ends: the exit codes, which scripts and service managers rely on.

use crate::{
    config::ConfigError,
    control::{server::ServeError, state::StateError},
    net::listener::ListenFailure,
};
use std::{fmt, process::ExitCode};

/// The exit codes. 75, 77 and 78 are those of sysexits.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, or stopped as asked.
    Done = 0,
    /// It failed while running; for `credential verify`: the credential is not good.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Another process has the port; trying again later may help.
    PortBusy = 75,
    /// The system does not permit it.
    NoPermission = 77,
    /// The configuration is wrong.
    BadConfig = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command could not be done: what to print, and what to exit with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    /// Each is shown behind "error: ".
    pub(super) messages: Vec<String>,
}

impl Failure {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, messages: vec![message.into()] }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for message in &self.messages {
            writeln!(f, "error: {message}")?;
        }
        Ok(())
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self { exit: Exit::BadConfig, messages: error.problems.iter().map(ToString::to_string).collect() }
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        Self::new(if error.no_permission { Exit::NoPermission } else { Exit::Failed }, error.to_string())
    }
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        let exit = match error.listen_failure() {
            Some(ListenFailure::PortBusy) => Exit::PortBusy,
            Some(ListenFailure::NoPermission) => Exit::NoPermission,
            None if matches!(error, ServeError::Counterpart(_)) => Exit::BadConfig,
            Some(ListenFailure::TooManySockets) => Exit::BadConfig,
            Some(ListenFailure::AddressUnknown | ListenFailure::Other) | None => Exit::Failed,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(Exit::Failed, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::listener::ListenError;

    #[test]
    fn each_failure_has_its_documented_code() {
        let listen = |errno| {
            let address = "192.0.2.1:53".parse().unwrap();
            Failure::from(ServeError::Listen(ListenError::new(
                crate::turn::Transport::Udp,
                address,
                std::io::Error::from_raw_os_error(errno),
            )))
        };
        let cases = [
            (
                listen(libc::EADDRINUSE),
                75,
                "error: cannot listen on udp 192.0.2.1:53: another program uses port 53 (Address already in use (os error 98))\n",
            ),
            (
                listen(libc::EACCES),
                77,
                "error: cannot listen on udp 192.0.2.1:53: no permission for port 53; ports below 1024 need CAP_NET_BIND_SERVICE (Permission denied (os error 13))\n",
            ),
            (
                Failure::from(ServeError::WorkerEnded),
                1,
                "error: a worker has ended by itself; its log line says why\n",
            ),
            (Failure::new(Exit::Usage, "x"), 2, "error: x\n"),
        ];
        for (failure, code, text) in cases {
            assert_eq!((failure.exit as u8, failure.to_string().as_str()), (code, text));
        }
        assert_eq!([Exit::Done as u8, Exit::BadConfig as u8], [0, 78]);
    }
}
