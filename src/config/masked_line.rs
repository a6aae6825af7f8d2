//! Decides whether a line of the configuration can be shown in an error, since errors end up in logs.

/// The text to show for `line` of `file` (from 1), and whether it is the whole line.
///
/// Anything that may be a secret is masked: a mistake such as a missing quote or a misspelt key leaves no structure
/// to tell secrets by, so in `[auth]` only the keys known to be harmless are shown.
pub(super) fn shown(file: &str, line: usize) -> (String, bool) {
    let mut section = "";
    let mut key = "";
    let mut text = "";
    for current in file.lines().take(line) {
        text = current;
        let trimmed = current.trim_start();
        if trimmed.starts_with('[') {
            section = trimmed.trim_start_matches('[').trim_start();
            key = "";
        }
        // A value may go on over several lines; it belongs to the key above.
        if let Some((name, _)) = trimmed.split_once('=') {
            key = name.trim();
        }
    }
    let in_auth =
        ["auth", "admin.key"].iter().any(|secret| section.trim_start_matches('"').starts_with(secret));
    let harmless = [
        "separator",
        "max_ttl",
        "expiry",
        "name",
        "scopes",
        "timeout",
        "when_down",
        "in_flight",
        "cache_entries",
        "cache_ttl",
        "cache_refusals",
    ]
    .contains(&key)
        && !text.contains('{');
    let telling =
        ["secret", "password", "auth", "key", "url"].iter().any(|word| text.to_lowercase().contains(word));
    // A value that goes on from a telling key, outside of the section (`auth.secrets = [`).
    let continued = ["secret", "password", "auth"].iter().any(|word| key.to_lowercase().contains(word));
    if is_header(text) || (in_auth && harmless) || !(in_auth || telling || continued) {
        return (text.to_owned(), true);
    }
    match text.split_once('=') {
        Some((key, _)) => (format!("{key}= ***"), false),
        None => ("***".to_owned(), false),
    }
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
