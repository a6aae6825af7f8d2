//! A child process, what it prints, and how it ends.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longer than anything takes that is going to happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running process. It ends with its owner.
pub(crate) struct Process {
    child: Child,
    pub(crate) out: Printed,
    pub(crate) err: Printed,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    pub(crate) fn start(command: Command) -> Self {
        Self::spawn(command, Stdio::null())
    }

    /// One whose input stays open as long as the test has it.
    pub(crate) fn start_with_input(command: Command) -> Self {
        Self::spawn(command, Stdio::piped())
    }

    fn spawn(mut command: Command, input: Stdio) -> Self {
        let started = command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = started.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (out, err) = (Printed::default(), Printed::default());
        let readers = vec![
            out.clone().follow(child.stdout.take().unwrap()),
            err.clone().follow(child.stderr.take().unwrap()),
        ];
        Self { child, out, err, readers }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop, as a service manager does.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Asks it to read again what may have changed.
    pub(crate) fn reload(&self) {
        self.signal("HUP");
    }

    /// Sends it the signal of this name.
    pub(crate) fn signal(&self, name: &str) {
        let script = format!("kill -s {name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
    }

    /// Waits for its end and for all it has printed.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end; it said: {}", self.err.text());
            self.out.wait_a_moment();
        };
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        status
    }

    /// Ends it if it still runs.
    pub(crate) fn kill(&mut self) {
        // An error means that it has ended by itself.
        let _ = self.child.kill();
        self.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.readers.is_empty() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Lines that a process has printed so far.
#[derive(Clone, Default)]
pub(crate) struct Printed(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Printed {
    fn follow(self, pipe: impl Read + Send + 'static) -> JoinHandle<()> {
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                self.locked().push(String::from_utf8_lossy(&line).into_owned());
                self.0.1.notify_all();
            }
        })
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.locked().clone()
    }

    /// Also after a test has failed with the lock in its hand: what was printed is then wanted most.
    fn locked(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// Waits for a line that `wanted` makes something of.
    #[track_caller]
    pub(crate) fn wait_for<T>(&self, what: &str, wanted: impl Fn(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.locked();
        let mut seen = 0;
        loop {
            if let Some(found) = lines[seen..].iter().find_map(|line| wanted(line)) {
                return found;
            }
            seen = lines.len();
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {what} in: {}", lines.join("\n"));
            lines = self.0.1.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Until the next line, or a hundredth of a second.
    fn wait_a_moment(&self) {
        drop(self.0.1.wait_timeout(self.locked(), Duration::from_millis(10)));
    }
}
