//! A directory of its own for each test: the home, and the only environment, of the processes it starts.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The built program.
pub(crate) const TURNBRIDGE: &str = env!("CARGO_BIN_EXE_turnbridge");

/// The directory; gone with the test.
pub(crate) struct Home(PathBuf);

impl Home {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("turnbridge-e2e-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file that only its owner can read.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Where the server keeps the secret it makes.
    pub(crate) fn secret_file(&self) -> PathBuf {
        self.0.join("turnbridge/secret")
    }

    /// The secret, if the server has made one.
    pub(crate) fn secret(&self) -> Option<String> {
        fs::read_to_string(self.secret_file()).ok().map(|text| text.trim_end().to_owned())
    }

    /// A command that knows nothing of the tester's environment.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("XDG_STATE_HOME", &self.0)
            .current_dir(&self.0);
        command
    }

    /// The program with these arguments.
    pub(crate) fn turnbridge(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(TURNBRIDGE);
        command.args(arguments);
        command
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // A directory that somebody else's process still writes to is no failure of the test.
        let _ = fs::remove_dir_all(&self.0);
    }
}
