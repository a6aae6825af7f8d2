//! A conversion that is under way: the lines that are read, and what has been said and written so far.

use super::{
    database::Database,
    draft::Draft,
    line::{self, Line},
    option::{self, Fate, Kind, KnownOption},
    report::{Entry, Place, Report, Verdict},
};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

/// The state that the files of this folder share.
pub(super) struct Conversion<'a> {
    by_name: HashMap<&'static str, Vec<Line<'a>>>,
    directory: &'a Path,
    pub(super) database: Option<&'a Database>,
    pub(super) draft: Draft,
    report: Report,
}

impl<'a> Conversion<'a> {
    /// Reads the file, and settles all options that nothing has to be made of.
    pub(super) fn begin(text: &'a str, directory: &'a Path, database: Option<&'a Database>) -> Self {
        let mut it = Self {
            by_name: HashMap::new(),
            directory,
            database,
            draft: Draft::default(),
            report: Report::default(),
        };
        for line in line::lines(text) {
            match option::find(line.name) {
                _ if line.is_damaged() => it.invalid_line(&line, "the line is not UTF-8"),
                Some(option) => it.sort(line, option),
                None => it.unknown(&line),
            }
        }
        it
    }

    fn sort(&mut self, line: Line<'a>, option: &'static KnownOption) {
        match option.fate {
            Fate::Mapped => self.by_name.entry(option.name).or_default().push(line),
            Fate::Default(why) => self.default(&line, why),
            Fate::Dropped(why) => match option.kind {
                Kind::Switch if line.is_on() == Some(false) => self.default(&line, "it is off"),
                Kind::Switch | Kind::Value => self.dropped(&line, why),
            },
        }
    }

    /// A name that is no option is shown only if it looks like one: it may be the rest of a secret.
    fn unknown(&mut self, line: &Line<'_>) {
        let meant = option::meant(line.name);
        let is_word =
            |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || matches!(char, '-' | '_');
        let looks_like_one =
            line.name.len() <= 40 && line.name.chars().all(is_word) && !line.value.is_empty();
        let (name, message) = match meant {
            Some(meant) => (line.name, format!("not an option of coturn; did you mean {meant}?")),
            None if looks_like_one => (line.name, "not an option of coturn".to_owned()),
            None => {
                ("***", "not an option of coturn, and not shown, since it may be part of a secret".to_owned())
            }
        };
        self.say(Place::Line(line.number), name, Verdict::Unknown, Vec::new(), message);
    }

    /// All lines with this option, in their order. Each of them has to get a verdict.
    pub(super) fn every(&mut self, name: &'static str) -> Vec<Line<'a>> {
        debug_assert!(option::find(name).is_some_and(|option| option.fate == Fate::Mapped), "{name}");
        self.by_name.remove(name).unwrap_or_default()
    }

    /// The line that counts of several with this option: the last one.
    pub(super) fn last(&mut self, name: &'static str) -> Option<Line<'a>> {
        let mut lines = self.every(name);
        let last = lines.pop()?;
        for line in lines {
            self.default(&line, format!("line {} says it again, and the last one counts", last.number));
        }
        Some(last)
    }

    /// The line that switches this on, if one does.
    pub(super) fn switch(&mut self, name: &'static str) -> Option<Line<'a>> {
        let line = self.last(name)?;
        match line.is_on() {
            Some(true) => return Some(line),
            Some(false) => self.default(&line, "it is off"),
            None => self.invalid_line(&line, "expected yes or no"),
        }
        None
    }

    /// The line with this option and the number in it.
    pub(super) fn number(&mut self, name: &'static str) -> Option<(Line<'a>, u64)> {
        let line = self.last(name)?;
        match line.number() {
            Some((number, true)) => Some((line, number)),
            Some((number, false)) => {
                let message =
                    format!("the line goes on behind the number; {number} is taken, as coturn does");
                self.say(Place::Line(line.number), name, Verdict::Note, Vec::new(), message);
                Some((line, number))
            }
            None => {
                self.invalid_line(&line, "expected a number");
                None
            }
        }
    }

    /// A path as it can be opened from anywhere.
    pub(super) fn path(&self, line: &Line<'_>) -> PathBuf {
        self.directory.join(line.value)
    }

    pub(super) fn mapped(&mut self, line: &Line<'_>, key: &'static str) {
        self.say(Place::Line(line.number), line.name, Verdict::Mapped, vec![key], "");
    }

    pub(super) fn changed(&mut self, line: &Line<'_>, key: &'static str, why: impl Into<String>) {
        self.say(Place::Line(line.number), line.name, Verdict::Changed, vec![key], why);
    }

    pub(super) fn default(&mut self, line: &Line<'_>, why: impl Into<String>) {
        self.say(Place::Line(line.number), line.name, Verdict::Default, Vec::new(), why);
    }

    pub(super) fn dropped(&mut self, line: &Line<'_>, why: impl Into<String>) {
        self.say(Place::Line(line.number), line.name, Verdict::Dropped, Vec::new(), why);
    }

    /// The message must not repeat the value where that may be a secret.
    pub(super) fn invalid_line(&mut self, line: &Line<'_>, why: impl Into<String>) {
        let name = option::find(line.name).map_or("***", |option| option.name);
        self.say(Place::Line(line.number), name, Verdict::Invalid, Vec::new(), why);
    }

    /// What is to be known of something that is not in the file.
    pub(super) fn note(&mut self, about: &str, message: impl Into<String>) {
        self.say(Place::Note, about, Verdict::Note, Vec::new(), message);
    }

    pub(super) fn say(
        &mut self,
        place: Place,
        option: &str,
        verdict: Verdict,
        keys: Vec<&'static str>,
        message: impl Into<String>,
    ) {
        let option = option.to_owned();
        self.report.entries.push(Entry { place, option, verdict, keys, message: message.into() });
    }

    /// Everything has been looked at.
    pub(super) fn end(self) -> (Draft, Report) {
        let mut report = self.report;
        debug_assert!(self.by_name.is_empty(), "nothing has looked at {:?}", self.by_name.keys());
        report.entries.sort_by_key(|entry| entry.place);
        (self.draft, report)
    }
}

/// "realm (line 3)", "user (lines 4, 7)": where something comes from, for a comment.
pub(super) fn origin(lines: &[Line<'_>]) -> String {
    let mut names: Vec<&str> = lines.iter().map(|line| line.name).collect();
    names.dedup();
    let parts = names.iter().map(|name| {
        let numbers: Vec<String> =
            lines.iter().filter(|line| line.name == *name).map(|line| line.number.to_string()).collect();
        let plural = if numbers.len() == 1 { "" } else { "s" };
        format!("{name} (line{plural} {})", numbers.join(", "))
    });
    parts.collect::<Vec<_>>().join(", ")
}
