//! Configuration text and environment: read, or refused with a message that can be shown and that never
//! shows a secret.

use std::path::PathBuf;

use turnbridge::config::{Inputs, Override, Place, env, load};

/// Stands where a secret is; nothing that is printed may contain it.
const SECRET: &str = "correct-horse-battery-staple";

/// Up to the first NUL it is a file, behind it lines of an environment.
pub fn text(bytes: &[u8]) {
    let (file, environment) = match bytes.iter().position(|byte| *byte == 0) {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &[][..]),
    };
    let lines = String::from_utf8_lossy(environment);
    let variables = lines.lines().filter_map(|line| line.split_once('='));
    let overrides = env::overrides(variables.map(|(name, value)| (name.into(), value.into())));
    let overrides = overrides.unwrap_or_else(|error| {
        assert!(!error.problems.is_empty() && !error.to_string().is_empty());
        Vec::new()
    });
    shown(file, overrides.clone());
    if !String::from_utf8_lossy(file).contains(SECRET) && !lines.contains(SECRET) {
        let head = format!("auth.secrets = [\"{SECRET}\"]\n");
        let shown = shown(&[head.as_bytes(), file].concat(), overrides);
        assert!(!shown.contains(SECRET), "{shown}");
    }
}

/// All that could be printed of a configuration, or of the reasons why it is none.
fn shown(text: &[u8], overrides: Vec<Override>) -> String {
    let file = Scratch::write(text);
    match load(Inputs { file: Some(file.0.clone()), overrides }) {
        Ok(loaded) => format!("{:?} {:?}", loaded, loaded.warnings),
        Err(error) => {
            assert!(!error.problems.is_empty());
            for problem in &error.problems {
                assert!(!problem.message.is_empty());
                if let Place::Line { line, column, .. } = &problem.place {
                    let lines = text.split(|byte| *byte == b'\n').count();
                    assert!((1..=lines).contains(line) && *column >= 1, "line {line} of {lines}");
                }
            }
            format!("{error} {error:?}")
        }
    }
}

/// A file that is gone when it has been read.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn write(text: &[u8]) -> Self {
        let name = format!("turnbridge-config-{}-{:?}", std::process::id(), std::thread::current().id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).expect("the temporary directory can be written to");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).expect("the file was written and is ours");
    }
}
