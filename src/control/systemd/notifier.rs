//! Tells the service manager how the service is.

use std::ffi::OsStr;
use std::io;
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt;
use std::os::unix::{
    ffi::OsStrExt,
    net::{SocketAddr, UnixDatagram},
};
use std::sync::Arc;
use std::time::Duration;

use crate::net::sys::clock;

/// The way to the service manager. Copies lead to the same one; without a manager nothing is said.
#[derive(Clone, Debug, Default)]
pub struct Notifier {
    line: Option<Arc<Line>>,
}

#[derive(Debug)]
struct Line {
    socket: UnixDatagram,
    manager: SocketAddr,
}

/// A manager that does not read must not hold up the server for longer.
const PATIENCE: Duration = Duration::from_secs(2);

impl Notifier {
    /// The way that `$NOTIFY_SOCKET` names.
    pub fn of_this_process() -> Self {
        match std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) {
            Some(name) => Self::to(&name).unwrap_or_else(|error| {
                tracing::warn!(%error, name = %name.display(), "NOTIFY_SOCKET cannot be used; the service manager is told nothing");
                Self::default()
            }),
            None => Self::default(),
        }
    }

    /// The way to the socket with this name: a path, or behind `@` a name in the abstract namespace.
    pub(super) fn to(name: &OsStr) -> io::Result<Self> {
        let manager = match name.as_bytes() {
            #[cfg(target_os = "linux")]
            [b'@', abstract_name @ ..] => SocketAddr::from_abstract_name(abstract_name)?,
            [b'/', ..] => SocketAddr::from_pathname(name)?,
            _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "expected a path or @NAME")),
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { line: Some(Arc::new(Line { socket, manager })) })
    }

    /// All that was asked for is up: at first after the start, and again after a reload.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nMAINPID={}\n{}", std::process::id(), status_line(status)));
    }

    /// A reload has begun; [`Self::ready`] ends it. The time is what tells this reload from an earlier one.
    pub fn reloading(&self, status: &str) {
        let now = clock::monotonic_micros();
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={now}\n{}", status_line(status)));
    }

    /// The end has begun.
    pub fn stopping(&self, status: &str) {
        self.tell(&format!("STOPPING=1\n{}", status_line(status)));
    }

    /// One sentence for `systemctl status`.
    pub fn status(&self, status: &str) {
        self.tell(&status_line(status));
    }

    /// Whatever is under way, be it the start or the end, takes up to this long from now: the manager must not lose
    /// patience sooner. To be repeated while it goes on.
    pub fn extend(&self, patience: Duration) {
        self.tell(&format!("EXTEND_TIMEOUT_USEC={}", patience.as_micros()));
    }

    /// A sign of life, for a manager that has asked for them.
    pub(super) fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    fn tell(&self, state: &str) {
        let Some(line) = &self.line else { return };
        if let Err(error) = line.socket.send_to_addr(state.as_bytes(), &line.manager) {
            tracing::warn!(%error, "the service manager cannot be told");
        }
    }
}

/// A line end would begin another message.
fn status_line(status: &str) -> String {
    format!("STATUS={}", status.replace(['\r', '\n'], " "))
}

#[cfg(test)]
#[cfg(target_os = "linux")]
pub(super) mod tests {
    use super::*;

    /// A service manager, as far as notifications go.
    pub(in super::super) struct Manager {
        socket: UnixDatagram,
        pub(in super::super) notifier: Notifier,
    }

    impl Manager {
        pub(in super::super) fn new(name: &str) -> Self {
            let name = format!("turnbridge-test-{}-{name}", std::process::id());
            let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            Self { socket, notifier: Notifier::to(OsStr::new(&format!("@{name}"))).unwrap() }
        }

        /// The next thing it is told.
        pub(in super::super) fn heard(&self) -> String {
            let mut buffer = [0; 512];
            let length = self.socket.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..length].to_vec()).unwrap()
        }

        /// Whether it has been told nothing more.
        pub(in super::super) fn heard_nothing_more(&self) -> bool {
            self.socket.set_nonblocking(true).unwrap();
            let silent = self.socket.recv(&mut [0; 512]).is_err();
            self.socket.set_nonblocking(false).unwrap();
            silent
        }
    }

    #[test]
    fn each_message_has_the_words_of_sd_notify() {
        let manager = Manager::new("words");
        let notifier = &manager.notifier;
        let pid = std::process::id();
        notifier.ready("serving udp:192.0.2.1:3478");
        assert_eq!(manager.heard(), format!("READY=1\nMAINPID={pid}\nSTATUS=serving udp:192.0.2.1:3478"));
        notifier.status("two\nlines");
        assert_eq!(manager.heard(), "STATUS=two lines");
        notifier.extend(Duration::from_millis(1500));
        assert_eq!(manager.heard(), "EXTEND_TIMEOUT_USEC=1500000");
        notifier.stopping("stopping");
        assert_eq!(manager.heard(), "STOPPING=1\nSTATUS=stopping");
        notifier.alive();
        assert_eq!(manager.heard(), "WATCHDOG=1");

        let before = clock::monotonic_micros();
        notifier.reloading("reloading");
        let heard = manager.heard();
        let time = heard
            .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
            .and_then(|rest| rest.strip_suffix("\nSTATUS=reloading"))
            .unwrap_or_else(|| panic!("{heard}"));
        assert!((before..=clock::monotonic_micros()).contains(&time.parse().unwrap()), "{heard}");
    }

    #[test]
    fn a_socket_can_have_a_path_and_must_have_one_that_is_whole() {
        let path = std::env::temp_dir().join(format!("turnbridge-notify-{}", std::process::id()));
        let socket = UnixDatagram::bind(&path).unwrap();
        Notifier::to(path.as_os_str()).unwrap().status("here");
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"STATUS=here");
        std::fs::remove_file(&path).unwrap();
        // Nobody is there any more: the server goes on.
        Notifier::to(path.as_os_str()).unwrap().status("gone");
        Notifier::default().ready("nobody has asked");
        assert!(Notifier::to(OsStr::new("relative/path")).is_err());
    }
}
