//! What has become of each option: nothing of a foreign configuration gets lost without a word.

use serde::{Serialize, Serializer, ser::SerializeMap};
use std::fmt::{self, Write};

/// All that is to be said about a conversion. Nothing in it is a secret.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// In the order of the file, then what the database holds, then what is about the whole.
    pub entries: Vec<Entry>,
}

/// What has become of one line, of one table of the database, or what is to be known besides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Where it was found.
    #[serde(flatten)]
    pub place: Place,
    /// The name of the option, as far as it can be shown.
    pub option: String,
    /// In a word.
    pub verdict: Verdict,
    /// The keys that hold it here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<&'static str>,
    /// What is different and why, or what to do instead. Empty for what needs no word.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// Where something was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A line of the file, from 1.
    Line(usize),
    /// A table of the user database.
    Table(&'static str),
    /// It follows from what is not there.
    Note,
}

/// What has become of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It means the same here.
    Mapped,
    /// It is in the result, and means something else than it did.
    Changed,
    /// Nothing had to be written: it is so anyway.
    Default,
    /// It is not in the result.
    Dropped,
    /// Its value could not be understood, so it is not in the result.
    Invalid,
    /// There is no such option.
    Unknown,
    /// Something that the file does not say.
    Note,
}

impl Report {
    /// How many entries have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.entries.iter().filter(|entry| entry.verdict == verdict).count()
    }

    /// Everything but what means the same, for people.
    pub fn text(&self) -> String {
        let groups = [
            (Verdict::Unknown, "Unknown, and ignored by coturn too"),
            (Verdict::Invalid, "Not understood, and not carried over"),
            (Verdict::Dropped, "Dropped"),
            (Verdict::Changed, "Carried over, but not the same"),
            (Verdict::Note, "Good to know"),
            (Verdict::Default, "Nothing to do"),
        ];
        let mut text = self.summary();
        for (verdict, title) in groups {
            let of_group = self.entries.iter().filter(|entry| entry.verdict == verdict);
            for (at, entry) in of_group.enumerate() {
                if at == 0 {
                    let _ = write!(text, "\n\n{title}:");
                }
                let _ = write!(text, "\n  {entry}");
            }
        }
        text
    }

    fn summary(&self) -> String {
        let words = [
            (Verdict::Mapped, "the same"),
            (Verdict::Changed, "not the same"),
            (Verdict::Default, "nothing to do"),
            (Verdict::Dropped, "dropped"),
            (Verdict::Invalid, "not understood"),
            (Verdict::Unknown, "unknown"),
        ];
        words.map(|(verdict, word)| format!("{} {word}", self.count(verdict))).join(", ")
    }
}

/// As a field beside the others of its entry.
impl Serialize for Place {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        match self {
            Self::Line(number) => map.serialize_entry("line", number)?,
            Self::Table(table) => map.serialize_entry("table", table)?,
            Self::Note => {}
        }
        map.end()
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Place::Line(number) => write!(f, "line {number}, {}", self.option)?,
            Place::Table(table) => write!(f, "table {table}")?,
            Place::Note => f.write_str(&self.option)?,
        }
        match self.message.is_empty() {
            true => Ok(()),
            false => write!(f, ": {}", self.message),
        }
    }
}
