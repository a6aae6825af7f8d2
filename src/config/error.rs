//! What is wrong with a configuration, and where it was written.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// Why a configuration is refused; everything that was found, so that it can be mended in one go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Never empty.
    pub problems: Vec<Problem>,
    /// The files that it names for secrets, as far as that is known: a change of one may mend it.
    pub secret_files: Vec<PathBuf>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it was written.
    pub place: Place,
    /// The key path, like `peers.deny[2]`; empty when it is about the text as a whole.
    pub key: String,
    /// What is wrong and what would be right. Never contains a secret.
    pub message: String,
}

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On this line.
    Line {
        /// The file as it was named.
        file: PathBuf,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// The text of the line; what may be a secret is masked.
        text: String,
        /// How many characters the caret line marks; 0 when the text is masked.
        width: usize,
    },
    /// The file, nowhere in particular.
    File(PathBuf),
    /// An environment variable or a flag, by name.
    Override(String),
    /// Nowhere: it follows from the defaults.
    Default,
}

impl ConfigError {
    pub(crate) fn one(place: Place, key: impl Into<String>, message: impl Into<String>) -> Self {
        Self::many(vec![Problem { place, key: key.into(), message: message.into() }])
    }

    pub(super) fn many(problems: Vec<Problem>) -> Self {
        Self { problems, secret_files: Vec::new() }
    }

    pub(super) fn whole_file(path: &Path, message: String) -> Self {
        Self::one(Place::File(path.to_owned()), "", message)
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Line { file, line, column, .. } => write!(f, "{}:{line}:{column}: ", file.display())?,
            Place::File(file) => write!(f, "{}: ", file.display())?,
            Place::Override(name) => write!(f, "{name}: ")?,
            Place::Default => {}
        }
        // A variable or a flag already names the key.
        if !self.key.is_empty() && !matches!(self.place, Place::Override(_)) {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        if let Place::Line { line, column, text, width, .. } = &self.place {
            let number = line.to_string();
            let margin = " ".repeat(number.len());
            write!(f, "\n{margin} |\n{number} | {text}")?;
            if *width > 0 {
                let indent: String =
                    text.chars().take(column - 1).map(|char| if char == '\t' { '\t' } else { ' ' }).collect();
                write!(f, "\n{margin} | {indent}{}", "^".repeat(*width))?;
            }
        }
        Ok(())
    }
}
