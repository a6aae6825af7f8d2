//! What the documentation leads to is there: files, headings, commands and keys.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use turnbridge::config::{Inputs, load};

/// A document that people read.
struct Document {
    /// From the root of the repository.
    path: PathBuf,
    text: String,
}

/// A line of a document.
enum Line<'a> {
    /// Of a block in a fence, and the language the fence names.
    Code(&'a str, &'a str),
    Prose(&'a str),
}

impl Document {
    fn all() -> Vec<Self> {
        let guides = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
        let guides = guides.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
        let guides = guides.map(|path| path.strip_prefix(root()).unwrap().to_owned());
        let mut paths: Vec<_> =
            ["README.md", "CHANGELOG.md"].map(PathBuf::from).into_iter().chain(guides).collect();
        paths.sort();
        assert!(paths.len() > 10, "{paths:?}");
        paths.into_iter().map(Self::read).collect()
    }

    fn read(path: PathBuf) -> Self {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        Self { path, text }
    }

    /// Its lines with their numbers, and without the fences.
    fn lines(&self) -> impl Iterator<Item = (usize, Line<'_>)> {
        let mut language = None;
        self.text.lines().enumerate().filter_map(move |(at, line)| {
            let fence = line.trim_start().strip_prefix("```");
            let sort = match (fence, language) {
                (Some(named), None) => {
                    language = Some(named);
                    return None;
                }
                (Some(_), Some(_)) => {
                    language = None;
                    return None;
                }
                (None, Some(language)) => Line::Code(language, line),
                (None, None) => Line::Prose(line),
            };
            Some((at + 1, sort))
        })
    }

    /// The names by which a link can lead to its headings, as GitHub makes them.
    fn anchors(&self) -> BTreeSet<String> {
        let headings = self.lines().filter_map(|(_, line)| match line {
            Line::Prose(line) => {
                line.strip_prefix('#').map(|rest| rest.trim_start_matches('#').trim().to_lowercase())
            }
            Line::Code(..) => None,
        });
        let kept = |letter: &char| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_');
        headings.map(|heading| heading.chars().filter(kept).collect::<String>().replace(' ', "-")).collect()
    }

    /// Where its links lead, with the numbers of their lines.
    fn links(&self) -> Vec<(usize, &str)> {
        let prose = self.lines().filter_map(|(at, line)| match line {
            Line::Prose(line) => Some((at, line)),
            Line::Code(..) => None,
        });
        let targets = |line| str::split(line, "](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
        prose.flat_map(|(at, line)| targets(line).map(move |target| (at, target))).collect()
    }

    /// What is shown as a configuration, with the number of its first line.
    fn configurations(&self) -> Vec<(usize, String)> {
        let mut found: Vec<(usize, String)> = Vec::new();
        let mut next = 0;
        for (at, line) in self.lines() {
            let Line::Code("toml", line) = line else { continue };
            if at != next || found.is_empty() {
                found.push((at, String::new()));
            }
            next = at + 1;
            let (_, text) = found.last_mut().unwrap();
            text.push_str(line);
            text.push('\n');
        }
        found
    }

    /// The command lines of this program, with the numbers of their lines.
    fn commands(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        let mut begun = String::new();
        for (at, line) in self.lines() {
            match line {
                Line::Code("sh" | "", line) => {
                    let line = line.strip_prefix("$ ").unwrap_or(line);
                    if let Some(part) = line.strip_suffix('\\') {
                        begun.push_str(part);
                        continue;
                    }
                    let line = std::mem::take(&mut begun) + line;
                    found.extend(simple_commands(&line).map(|command| (at, command)));
                }
                Line::Prose(line) => {
                    let quoted = line.split('`').skip(1).step_by(2);
                    found.extend(quoted.flat_map(simple_commands).map(|command| (at, command)));
                }
                Line::Code(..) => {}
            }
        }
        found
    }

    fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The parts of a shell's line that run this program, without what comes before its name.
fn simple_commands(line: &str) -> impl Iterator<Item = String> {
    let line = line.split(" #").next().unwrap_or_default();
    let parts = line.split("&&").flat_map(|part| part.split(" | ")).flat_map(|part| part.split(" > "));
    parts.filter_map(|part| {
        let part = part.split(" < ").next().unwrap_or_default().trim();
        let part = part.strip_prefix("sudo ").unwrap_or(part);
        (part == "turnbridge" || part.starts_with("turnbridge ")).then(|| part.to_owned())
    })
}

/// The words of a command, as a shell takes them apart.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for letter in command.chars() {
        match (letter, quote) {
            ('"' | '\'', None) => quote = Some(letter),
            (_, Some(mark)) if letter == mark => quote = None,
            (' ', None) => words.push(String::new()),
            _ => words.last_mut().unwrap().push(letter),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut dead = Vec::new();
    let mut count = 0;
    for document in Document::all() {
        for (line, target) in document.links() {
            if target.starts_with("https://") {
                continue;
            }
            count += 1;
            let (file, heading) =
                target.split_once('#').map_or((target, None), |(file, name)| (file, Some(name)));
            let path = match file {
                "" => document.path.clone(),
                file => document.path.parent().unwrap().join(file),
            };
            let is_there = root().join(&path).exists()
                && heading.is_none_or(|heading| Document::read(path).anchors().contains(heading));
            if !is_there {
                dead.push(format!("{}: {target}", document.at(line)));
            }
        }
    }
    assert!(count > 40, "{count} links");
    assert!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
}

#[test]
fn every_guide_is_in_the_index() {
    let index = Document::read("docs/README.md".into());
    let linked: BTreeSet<_> = index.links().into_iter().map(|(_, target)| target.to_owned()).collect();
    for Document { path, .. } in Document::all() {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(
            !path.starts_with("docs") || name == "README.md" || linked.contains(name),
            "docs/README.md leads to no {name}"
        );
    }
}

/// With `--help` behind it a command does nothing, but what stands before must be known.
#[test]
fn every_command_is_one_that_the_program_takes() {
    let mut wrong = Vec::new();
    let mut tried = BTreeSet::new();
    for document in Document::all() {
        for (line, command) in document.commands() {
            // What stands for the rest, or for a word of many.
            let command = command.replace(" …", "").replace(" SHELL", " bash");
            if !tried.insert(command.clone()) {
                continue;
            }
            let mut program = Command::new(env!("CARGO_BIN_EXE_turnbridge"));
            program.args(words(&command).split_off(1)).arg("--help").env_clear();
            let output = program.output().unwrap();
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                wrong.push(format!("{}: {command}\n{said}", document.at(line)));
            }
        }
    }
    assert!(tried.len() > 40, "{} commands", tried.len());
    assert!(wrong.is_empty(), "no such commands:\n{}", wrong.join("\n"));
}

#[test]
fn every_configuration_is_good_as_it_stands() {
    let folder = std::env::temp_dir().join(format!("turnbridge-docs-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let secret = folder.join("secret");
    fs::write(&secret, "0123456789abcdef0123456789abcdef").unwrap();
    let file = folder.join("turnbridge.toml");
    let mut wrong = Vec::new();
    let mut count = 0;
    for document in Document::all() {
        for (line, text) in document.configurations() {
            count += 1;
            let text = text.replace("${CREDENTIALS_DIRECTORY}", folder.to_str().unwrap());
            fs::write(&file, with_secrets_in(&secret, &text)).unwrap();
            if let Err(error) = load(Inputs { file: Some(file.clone()), overrides: Vec::new() }) {
                wrong.push(format!("{}: {error}", document.at(line)));
            }
        }
    }
    fs::remove_dir_all(&folder).unwrap();
    assert!(count > 15, "{count} configurations");
    assert!(wrong.is_empty(), "configurations that are not accepted:\n{}", wrong.join("\n"));
}

/// The text with a file that is there in place of each one that has a secret.
fn with_secrets_in(file: &Path, text: &str) -> String {
    let line = |line: &str| {
        let is_file = ["secret_file", "key_file"].iter().any(|key| line.starts_with(key));
        let mut parts: Vec<_> = line.split('"').collect();
        if is_file && parts.len() > 2 {
            parts[1] = file.to_str().unwrap();
        }
        parts.join("\"")
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// What the guide says that `explain` says. `…` stands for what varies.
#[test]
fn explain_says_what_the_guide_has_it_say() {
    let sources = ["src/control/explain/words.rs", "src/control/events/tls.rs"];
    let words: String = sources.iter().map(|path| fs::read_to_string(root().join(path)).unwrap()).collect();
    // Texts that go over several lines.
    let words = words.split("\\\n").map(str::trim_start).collect::<String>();
    let guide = Document::read("docs/when-a-user-cannot-connect.md".into());
    let table = guide.text.lines().skip_while(|line| !line.starts_with("| `explain` says"));
    let rows: Vec<_> = table.take_while(|line| line.starts_with('|')).skip(2).collect();
    assert!(rows.len() > 20, "{} rows", rows.len());
    for row in rows.iter().filter(|row| !row.starts_with("| the same")) {
        let said = row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2);
        for part in said.flat_map(|text| text.split('…')).map(str::trim) {
            assert!(words.contains(part), "explain does not say: {part}");
        }
    }
}
