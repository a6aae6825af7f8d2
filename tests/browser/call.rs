//! Browsers in a call, driven by a Python program.

use std::path::Path;

use serde_json::{Value, json};

use crate::home::Home;
use crate::process::Process;
use crate::server::Credential;
use crate::tools::{find, skip_for_want_of};

/// What the tests know how to drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Browser {
    Chromium,
    Firefox,
}

impl Browser {
    fn name(self) -> &'static str {
        match self {
            Self::Chromium => "chromium",
            Self::Firefox => "firefox",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Chromium => "chromium",
            Self::Firefox => "firefox-esr",
        }
    }
}

/// What peers do with the server.
pub(super) enum Task {
    /// Two of them connect and use what they have.
    Talk,
    /// Each of any number asks for candidates in vain.
    Fail,
    /// The page of the documentation is given the servers of all of them.
    Show,
}

/// A WebRTC peer and its way to the TURN server.
pub(super) struct Peer {
    pub(super) browser: Browser,
    pub(super) url: String,
    pub(super) credential: Credential,
}

impl Peer {
    fn plan(&self) -> Value {
        let Credential { username, password } = &self.credential;
        json!({
            "browser": self.browser.name(),
            "iceServer": { "urls": [self.url], "username": username, "credential": password },
        })
    }
}

/// Whether these browsers, and what is needed to drive them, are here; if not, that is said.
pub(super) fn is_possible(browsers: &[Browser]) -> bool {
    let programs = browsers.iter().map(|browser| browser.program());
    let missing = programs.chain(["certutil", "setpriv", "python3"]).find(|program| find(program).is_none());
    missing.inspect(|program| skip_for_want_of(program)).is_none()
}

/// The running program.
pub(super) struct Call(Process);

impl Call {
    /// Starts the browsers, which may trust an authority beside the usual ones, and gives the peers their task.
    pub(super) fn start(home: &Home, authority: Option<&Path>, task: &Task, peers: &[Peer]) -> Self {
        let plan = json!({
            "task": match task {
                Task::Talk => "talk",
                Task::Fail => "fail",
                Task::Show => "show",
            },
            "home": home.path(),
            "authority": authority,
            "peers": peers.iter().map(Peer::plan).collect::<Vec<_>>(),
        });
        let plan = home.file("plan.json", &plan.to_string());
        let mut command = home.command("python3");
        // -B: nothing is written to where the program lies.
        command.arg("-B").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/call.py")).arg(plan);
        let call = Self(Process::start(command));
        call.reported("browsers");
        call
    }

    /// What each of the peers has seen, once they are through and have closed.
    #[track_caller]
    pub(super) fn seen(&self) -> Vec<Value> {
        self.reported("peers")
    }

    #[track_caller]
    fn reported(&self, what: &str) -> Vec<Value> {
        let report = self.0.out.wait_for(what, |line| {
            let report: Value = serde_json::from_str(line).ok()?;
            (report[what].is_array() || report["failure"].is_string()).then_some(report)
        });
        report[what].as_array().unwrap_or_else(|| panic!("{}", report["failure"].as_str().unwrap())).clone()
    }

    /// Lets the browsers go, which have been there until now.
    #[track_caller]
    pub(super) fn end(&mut self) {
        self.0.terminate();
        assert_eq!(self.0.wait().code(), Some(0), "{}", self.0.err.text());
    }
}
