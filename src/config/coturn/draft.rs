//! The configuration that is being written, with a comment at each key that says where it comes from.

use std::fmt::Write;
use toml::Value;
use zeroize::Zeroizing;

/// Sections in the order of config/turnbridge.toml, whatever order they are made in.
#[derive(Default)]
pub(super) struct Draft {
    sections: Vec<Section>,
}

/// A section, or one element of a list of sections.
pub(super) struct Section {
    kind: SectionKind,
    comments: Vec<String>,
    keys: Vec<Key>,
    /// Written as a comment: there for whoever wants it.
    is_asleep: bool,
}

/// The sections that something of coturn's goes into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SectionKind {
    Server,
    Listener,
    Tls,
    Certificate,
    Relay,
    Auth,
    User,
    Limits,
    Peers,
    Turn,
    NatDiscovery,
    Drain,
    Metrics,
    Log,
}

struct Key {
    comments: Vec<String>,
    name: &'static str,
    value: Value,
    is_asleep: bool,
}

impl SectionKind {
    fn header(self) -> &'static str {
        match self {
            Self::Server => "[server]",
            Self::Listener => "[[listener]]",
            Self::Tls => "[tls]",
            Self::Certificate => "[[tls.certificate]]",
            Self::Relay => "[relay]",
            Self::Auth => "[auth]",
            Self::User => "[[auth.user]]",
            Self::Limits => "[limits]",
            Self::Peers => "[peers]",
            Self::Turn => "[turn]",
            Self::NatDiscovery => "[nat_discovery]",
            Self::Drain => "[drain]",
            Self::Metrics => "[metrics]",
            Self::Log => "[log]",
        }
    }
}

impl Draft {
    /// The one section of its kind.
    pub(super) fn section(&mut self, kind: SectionKind) -> &mut Section {
        match self.sections.iter().position(|section| section.kind == kind) {
            Some(at) => &mut self.sections[at],
            None => self.add(kind),
        }
    }

    /// One more section of its kind.
    pub(super) fn add(&mut self, kind: SectionKind) -> &mut Section {
        let section = Section { kind, comments: Vec::new(), keys: Vec::new(), is_asleep: false };
        self.sections.push(section);
        self.sections.last_mut().expect("one was pushed")
    }

    /// The text, below a comment.
    pub(super) fn text(mut self, head: &str) -> Zeroizing<String> {
        self.sections.sort_by_key(|section| section.kind);
        let mut text = Zeroizing::new(String::new());
        comment(&mut text, head);
        for section in &self.sections {
            section.write(&mut text);
        }
        text
    }
}

impl Section {
    pub(super) fn comment(&mut self, text: impl Into<String>) -> &mut Self {
        self.comments.push(text.into());
        self
    }

    /// Sets a key, with a comment that says where it comes from.
    pub(super) fn set(
        &mut self,
        name: &'static str,
        value: impl Into<Value>,
        comment: impl Into<String>,
    ) -> &mut Self {
        self.key(name, value.into(), vec![comment.into()], false)
    }

    /// Sets a key that the section's comment says all about.
    pub(super) fn set_plain(&mut self, name: &'static str, value: impl Into<Value>) -> &mut Self {
        self.key(name, value.into(), Vec::new(), false)
    }

    /// Writes a key as a comment.
    pub(super) fn offer(
        &mut self,
        name: &'static str,
        value: impl Into<Value>,
        comment: impl Into<String>,
    ) -> &mut Self {
        self.key(name, value.into(), vec![comment.into()], true)
    }

    /// The whole section becomes a comment.
    pub(super) fn put_to_sleep(&mut self) -> &mut Self {
        self.is_asleep = true;
        self
    }

    fn key(&mut self, name: &'static str, value: Value, comments: Vec<String>, is_asleep: bool) -> &mut Self {
        self.keys.push(Key { comments, name, value, is_asleep });
        self
    }

    fn write(&self, to: &mut String) {
        to.push('\n');
        for line in &self.comments {
            comment(to, line);
        }
        let hash = if self.is_asleep { "# " } else { "" };
        // Writing to a String cannot fail.
        let _ = writeln!(to, "{hash}{}", self.kind.header());
        for key in &self.keys {
            for line in &key.comments {
                comment(to, line);
            }
            let hash = if self.is_asleep || key.is_asleep { "# " } else { "" };
            write_value(to, hash, key.name, &key.value);
        }
    }
}

/// As wide as comments get.
const WIDTH: usize = 118;

fn comment(to: &mut String, text: &str) {
    let mut length = WIDTH;
    for word in text.split(' ') {
        if length + word.len() + 1 > WIDTH {
            to.push_str(if length == WIDTH { "#" } else { "\n#" });
            length = 1;
        }
        to.push(' ');
        to.push_str(word);
        length += word.len() + 1;
    }
    to.push('\n');
}

/// A list gets a line for each item, so that people can see and change them one by one.
fn write_value(to: &mut String, hash: &str, name: &str, value: &Value) {
    let _ = match value.as_array() {
        Some(items) if items.len() > 1 => {
            let _ = writeln!(to, "{hash}{name} = [");
            for item in items {
                let _ = writeln!(to, "{hash}    {},", on_one_line(item));
            }
            writeln!(to, "{hash}]")
        }
        _ => writeln!(to, "{hash}{name} = {}", on_one_line(value)),
    };
}

/// A value that fits behind the sign of a comment.
fn on_one_line(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", items.iter().map(on_one_line).collect::<Vec<_>>().join(", ")),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) | Value::Table(_) => {
            value.to_string()
        }
    }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            _ if char.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(char));
            }
            _ => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_come_in_the_usual_order_with_their_comments() {
        let mut draft = Draft::default();
        draft.section(SectionKind::Peers).set("deny", vec!["10.0.0.0/8", "192.0.2.1"], "from here");
        let user = draft.add(SectionKind::User).comment("sleeps").put_to_sleep();
        user.set_plain("name", "a\"b\nc");
        draft.section(SectionKind::Auth).offer("secrets", vec!["s"], "offered");
        draft.section(SectionKind::Peers).set("ports", "1-2", "from there");
        let expected = "\
# Head.

[auth]
# offered
# secrets = [\"s\"]

# sleeps
# [[auth.user]]
# name = \"a\\\"b\\u000Ac\"

[peers]
# from here
deny = [
    \"10.0.0.0/8\",
    \"192.0.2.1\",
]
# from there
ports = \"1-2\"
";
        assert_eq!(*draft.text("Head."), expected);
    }

    #[test]
    fn long_comments_are_folded() {
        let mut text = String::new();
        comment(&mut text, &"word ".repeat(40));
        assert!(text.lines().count() == 2 && text.lines().all(|line| line.len() <= WIDTH), "{text}");
    }
}
