//! The lines of a turnserver.conf, read the way coturn reads them.

/// A line that is not a comment. Without `Debug`: the value may be a secret.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    /// From 1.
    pub(super) number: usize,
    /// Up to the first space, tab or equals sign.
    pub(super) name: &'a str,
    /// What follows these, without quotes around it; empty when there is nothing.
    pub(super) value: &'a str,
}

impl Line<'_> {
    /// What coturn makes of the value of a switch: `None` when it would refuse to start with it.
    pub(super) fn is_on(&self) -> Option<bool> {
        match self.value.chars().next() {
            None | Some('1'..='9' | 'y' | 'Y' | 't' | 'T') => Some(true),
            Some('0' | 'n' | 'N' | 'f' | 'F') => Some(false),
            Some(_) if self.value.eq_ignore_ascii_case("on") => Some(true),
            Some(_) if self.value.eq_ignore_ascii_case("off") => Some(false),
            Some(_) => None,
        }
    }

    /// The number that the value begins with, and whether that is all there is.
    pub(super) fn number(&self) -> Option<(u64, bool)> {
        let end = self.value.find(|char: char| !char.is_ascii_digit()).unwrap_or(self.value.len());
        let (digits, rest) = self.value.split_at(end);
        digits.parse().ok().map(|number| (number, rest.is_empty()))
    }

    /// Whether bytes of the file were lost because they are not UTF-8.
    pub(super) fn is_damaged(&self) -> bool {
        [self.name, self.value].iter().any(|part| part.contains(char::REPLACEMENT_CHARACTER))
    }
}

/// All lines that set something.
pub(super) fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    text.split('\n').enumerate().filter_map(|(at, line)| {
        let line = line.trim_matches(|char: char| char.is_ascii_whitespace() || char == '\u{B}');
        let is_empty = line.is_empty() || line.starts_with('#');
        (!is_empty).then(|| split(at + 1, line))
    })
}

fn split(number: usize, line: &str) -> Line<'_> {
    let is_separator = |char: char| matches!(char, ' ' | '\t' | '=');
    let end = line.find(is_separator).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    let value = rest.trim_start_matches(is_separator);
    let value = match value.strip_prefix('"') {
        // The closing quote may be missing, and the last one is the closing one.
        Some(inside) => inside.strip_suffix('"').unwrap_or(inside),
        None => value,
    };
    Line { number, name, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(usize, &str, &str)> {
        lines(text).map(|line| (line.number, line.name, line.value)).collect()
    }

    #[test]
    fn names_and_values_are_separated_as_coturn_does_it() {
        let cases: &[(&str, &str, &str)] = &[
            ("realm=example.org", "realm", "example.org"),
            ("realm example.org", "realm", "example.org"),
            ("  realm\t= \t example.org \t\r", "realm", "example.org"),
            ("realm==example.org", "realm", "example.org"),
            ("no-tls", "no-tls", ""),
            ("no-tls=", "no-tls", ""),
            ("realm=\"example.org\"", "realm", "example.org"),
            ("realm=\"example.org", "realm", "example.org"),
            ("realm=example.org\"", "realm", "example.org\""),
            ("psql-userdb=\"host=a dbname=b\"", "psql-userdb", "host=a dbname=b"),
            ("static-auth-secret=a=b#c;", "static-auth-secret", "a=b#c;"),
            ("user=bob:se cret", "user", "bob:se cret"),
            ("=x", "", "x"),
            ("\u{FEFF}realm=x", "realm", "x"),
        ];
        for (text, name, value) in cases {
            assert_eq!(read(text), [(1, *name, *value)], "{text}");
        }
    }

    #[test]
    fn comments_and_empty_lines_count_and_say_nothing() {
        assert_eq!(
            read("# a\n\n \t\r\n  # no-tls\nno-tcp\n\nno-udp"),
            [(5, "no-tcp", ""), (7, "no-udp", "")]
        );
    }

    #[test]
    fn switches_are_what_their_first_letter_says() {
        let line = |value| Line { number: 1, name: "x", value };
        for on in ["", "1", "yes", "true", "T", "on", "ON", "9", "yellow"] {
            assert_eq!(line(on).is_on(), Some(true), "{on}");
        }
        for off in ["0", "no", "false", "F", "off", "Off", "never"] {
            assert_eq!(line(off).is_on(), Some(false), "{off}");
        }
        for neither in ["maybe", "offline", "-"] {
            assert_eq!(line(neither).is_on(), None, "{neither}");
        }
    }

    #[test]
    fn a_number_is_what_a_value_begins_with() {
        let number = |value| Line { number: 1, name: "x", value }.number();
        assert_eq!(number("3478"), Some((3478, true)));
        assert_eq!(number("3478 # the usual"), Some((3478, false)));
        assert_eq!([number("many"), number(""), number("-1"), number("99999999999999999999")], [None; 4]);
    }
}
