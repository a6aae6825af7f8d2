//! Decides whether a line of the configuration can be shown in an error, since errors end up in logs.

use super::private;

/// The text to show for `line` of `file` (from 1), and whether it is the whole line.
///
/// Anything that may be a secret is masked: a mistake such as a missing quote or a misspelt key leaves no structure
/// to tell secrets by, so in sections with secrets only the keys known to be harmless are shown.
pub(super) fn shown(file: &str, line: usize) -> (String, bool) {
    let mut section = String::new();
    let mut key = "";
    let mut text = "";
    for current in file.lines().take(line) {
        text = current;
        let trimmed = current.trim_start();
        if let Some(name) = section_of(trimmed) {
            section = name;
            key = "";
        }
        // A value may go on over several lines; it belongs to the key above.
        if let Some(name) = key_of(trimmed) {
            key = name;
        }
    }
    let in_secret = starts_secret_section(&section);
    let harmless = HARMLESS.contains(&key) && !text.contains('{');
    let tells = |text: &str| TELLING.iter().any(|word| text.to_lowercase().contains(word));
    // A value that goes on from a telling key, outside of the section (`auth.secrets = [`).
    let telling = tells(text) || tells(key) || OUTER.contains(&key) || text.contains("://");
    if is_header(text) || (in_secret && harmless) || !(in_secret || telling) {
        return (text.to_owned(), true);
    }
    match text.split_once('=').filter(|_| key_of(text).is_some()) {
        Some((key, _)) => (format!("{key}= ***"), false),
        None => ("***".to_owned(), false),
    }
}

/// Keys of sections with secrets that hold none.
const HARMLESS: [&str; 15] = [
    "batch",
    "ca_file",
    "cache_entries",
    "cache_refusals",
    "cache_ttl",
    "expiry",
    "flush",
    "in_flight",
    "max_ttl",
    "name",
    "queue",
    "scopes",
    "separator",
    "timeout",
    "when_down",
];
/// Words of keys that hold secrets, or sections with some.
const TELLING: [&str; 9] =
    ["secret", "password", "auth", "key", "hmac", "url", "endpoint", "webhook", "otlp"];
/// Sections of sections with secrets; what stands for a whole one may be what belongs into it.
const OUTER: [&str; 2] = ["accounting", "admin"];

/// The section that begins with a line. A list in a list looks the same when it is of text (`["hidden"]`), and begins
/// none.
fn section_of(line: &str) -> Option<String> {
    let inside = line.strip_prefix('[')?.trim_start_matches('[').trim_start();
    let name: String = inside.chars().filter(|char| !matches!(char, '"' | '\'' | ' ' | '\t')).collect();
    (!inside.starts_with(['"', '\'']) || starts_secret_section(&name)).then_some(name)
}

/// Whether it is one with secrets, for all that can be seen.
fn starts_secret_section(name: &str) -> bool {
    private::SECTIONS.iter().any(|section| name.starts_with(section))
}

/// The key that a line gives a value to. A secret may have `=` in it, and then stands in quotes that end behind it.
fn key_of(line: &str) -> Option<&str> {
    let (name, _) = line.split_once('=')?;
    let is_of_key =
        |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '.' | ' ' | '\t' | '"');
    (name.chars().all(is_of_key) && name.matches('"').count() % 2 == 0).then(|| name.trim())
}

/// Whether a line is a section's header and nothing else.
fn is_header(line: &str) -> bool {
    let inside = line.trim().trim_start_matches('[').trim_end_matches(']');
    line.trim_start().starts_with('[')
        && inside.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '.' | ' '))
        && line.trim_end().ends_with(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_behind_a_header_is_masked() {
        for line in [
            "[auth] secrets: [\"hidden\"]",
            "[[auth.user]] password: hidden",
            "[auth] \"hidden\"]",
            "[auth secret hidden",
        ] {
            assert_eq!(shown(line, 1), ("***".to_owned(), false), "{line}");
        }
    }

    #[test]
    fn sections_with_secrets_are_known_wherever_they_are() {
        let cases = [
            ("[accounting.webhook]\nsecert = \"hidden\"", "secert = ***"),
            ("[accounting.webhook]\nbatch = \"many\"", "batch = \"many\""),
            ("[accounting . \"webhook\"]\nsecert = \"hidden\"", "secert = ***"),
            ("[accounting.otlp]\nendpiont = \"hidden\"", "endpiont = ***"),
            ("accounting = \"hidden\"", "accounting = ***"),
            ("[accounting]\nwebhook = \"hidden\"", "webhook = ***"),
            ("[accounting]\nweb = \"https://a.example/hidden\"", "web = ***"),
            ("[admin]\nkey = [\n  \"hidden\"", "***"),
            ("[admin]\nlisten = [\n  \"loud\"", "  \"loud\""),
            ("[auth]\nsecrets = [\n  [\"hidden\"]", "***"),
            ("auth.secrets = [\n  \"base64=\",\n  \"hidden\"", "***"),
            ("auth.secrets = [\n  \"hidden=\",", "***"),
            ("[tls.acme]\neab_hmac = \"hidden\"", "eab_hmac = ***"),
        ];
        for (file, expected) in cases {
            assert_eq!(shown(file, file.lines().count()).0, expected, "{file}");
        }
    }

    #[test]
    fn a_line_that_may_hold_a_secret_is_masked() {
        let file = "\
[server]
realm = \"x\"
[auth]
separator = 7
secrets = [
  \"hidden-one\",
  'hidden-two
]
secert = \"hidden-three\"
[[auth.user]]
name = \"bob\"
password = \"hidden-four\"
user = [{ name = \"bob\", password = \"hidden-five\" }]
[log]
level = \"loud\"
auth.secrets = [
  \"hidden-six\",
]";
        let shown: Vec<String> = (1..=file.lines().count()).map(|line| shown(file, line).0).collect();
        let expected = [
            "[server]",
            "realm = \"x\"",
            "[auth]",
            "separator = 7",
            "secrets = ***",
            "***",
            "***",
            "***",
            "secert = ***",
            "[[auth.user]]",
            "name = \"bob\"",
            "password = ***",
            "user = ***",
            "[log]",
            "level = \"loud\"",
            "auth.secrets = ***",
            "***",
            "***",
        ];
        assert_eq!(shown, expected);
    }
}
