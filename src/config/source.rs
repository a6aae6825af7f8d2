//! Remembers where each value was written, to say so when it is wrong.

use super::{
    error::{ConfigError, Place},
    masked_line,
    nearest::nearest,
    private,
};
use std::{ops::Range, path::PathBuf};
use toml::de::{DeTable, DeValue};

/// The file and the overrides that a configuration came from.
#[derive(Clone, Debug, Default)]
pub(super) struct Source {
    file: Option<(PathBuf, String)>,
    /// Key path, and the variable or flag that set it; a later one wins.
    overrides: Vec<(String, String)>,
}

impl Source {
    pub(super) fn set_file(&mut self, path: PathBuf, text: String) {
        self.file = Some((path, text));
    }

    pub(super) fn text(&self) -> &str {
        self.file.as_ref().map_or("", |(_, text)| text)
    }

    pub(super) fn file_path(&self) -> Option<&std::path::Path> {
        self.file.as_ref().map(|(path, _)| path.as_path())
    }

    pub(super) fn add_override(&mut self, key: String, origin: String) {
        self.overrides.push((key, origin));
    }

    /// The text is not TOML at all.
    pub(super) fn not_toml(&self, error: &toml::de::Error) -> ConfigError {
        // What the reader makes of a word without quotes depends on its first letter; what to do about it does not.
        let unquoted =
            error.message().contains("must be quoted") || error.message().contains("invalid boolean");
        let message = if unquoted { "text must be in quotes" } else { error.message().trim() };
        ConfigError::one(self.line_of(error.span()), "", message)
    }

    /// It is TOML, but not a configuration.
    pub(super) fn not_understood(&self, error: &serde_path_to_error::Error<toml::de::Error>) -> ConfigError {
        let key = match error.path().to_string() {
            key if key == "." => String::new(),
            key => key,
        };
        let place = match error.inner().span() {
            Some(span) => self.line_of(Some(span)),
            None => self.place_of(&key),
        };
        ConfigError::one(place, key.clone(), in_our_words(&key, error.inner().message()))
    }

    /// Where the value of `key` (a path like `peers.deny[2]`) was written.
    pub(super) fn place_of(&self, key: &str) -> Place {
        let inside = |outer: &str| {
            key.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        if let Some((_, origin)) = self.overrides.iter().rev().find(|(overridden, _)| inside(overridden)) {
            return Place::Override(origin.clone());
        }
        match DeTable::parse(self.text()).ok().and_then(|root| span_of(root.get_ref(), key)) {
            Some(span) => self.line_of(Some(span)),
            None => Place::Default,
        }
    }

    fn line_of(&self, span: Option<Range<usize>>) -> Place {
        let Some((path, text)) = &self.file else { return Place::Default };
        let Some(span) = span else { return Place::File(path.clone()) };
        // A mistake at the very end is shown on the last line that has text.
        let start = span.start.min(text.trim_end().len());
        let before = text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.matches('\n').count() + 1;
        let column = before[line_start..].chars().count() + 1;
        let (shown, whole) = masked_line::shown(text, line);
        let marked = text.get(start..span.end).unwrap_or_default().lines().next().unwrap_or_default();
        let width = if whole { marked.chars().count().max(1) } else { 0 };
        Place::Line { file: path.clone(), line, column, text: shown, width }
    }
}

/// Follows a key path as far as the file goes: a section's missing key is shown at the section.
fn span_of(root: &DeTable<'_>, key: &str) -> Option<Range<usize>> {
    let mut steps = key.split('.').flat_map(|part| {
        let (name, indexes) = part.split_once('[').unwrap_or((part, ""));
        std::iter::once(name)
            .chain(indexes.split('[').map(|index| index.trim_end_matches(']')).filter(|it| !it.is_empty()))
    });
    let (_, mut value) = root.get_key_value(steps.next()?)?;
    for step in steps {
        let inner = match value.get_ref() {
            DeValue::Table(table) => table.get(step),
            DeValue::Array(array) => step.parse::<usize>().ok().and_then(|index| array.get(index)),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => None,
        };
        match inner {
            Some(inner) => value = inner,
            None => break,
        }
    }
    Some(value.span())
}

/// The TOML reader's message, said for somebody who has never seen a parser.
fn in_our_words(key: &str, message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    if let (true, [written, known @ ..]) = (message.starts_with("unknown field"), quoted.as_slice()) {
        let hint = nearest(written, known.iter().copied()).map(|name| format!("; did you mean `{name}`?"));
        let known = known.join(", ");
        return format!("`{written}` is not a known key{}\n  known here: {known}", hint.unwrap_or_default());
    }
    if let (true, [missing]) = (message.starts_with("missing field"), quoted.as_slice()) {
        return format!("the key `{missing}` is missing");
    }
    // "invalid type: string "the secret", expected a sequence" must not tell the secret.
    match message.rsplit_once(", expected ") {
        // What stands for a whole section may be what belongs somewhere in it.
        Some((_, expected))
            if message.starts_with("invalid")
                && (private::may_be_secret(key) || expected.starts_with("struct ")) =>
        {
            format!("expected {}", plain(expected))
        }
        Some((found, expected)) => format!("{}, expected {}", plain(found), plain(expected)),
        None => message.to_owned(),
    }
}

/// TOML's own names instead of the parser's.
fn plain(words: &str) -> String {
    let words = words.strip_prefix("invalid type: ").unwrap_or(words);
    words
        .replace("a sequence", "a list in brackets")
        .replace("sequence", "a list")
        .replace("struct ", "the section ")
}
