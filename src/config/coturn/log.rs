//! What is told to the operator: `[log]`.

use super::{
    conversion::{Conversion, origin},
    draft::SectionKind,
    line::Line,
    option::{Kind, KnownOption, mapped},
};

pub(super) const OPTIONS: &[KnownOption] = &[
    mapped("verbose", Kind::Switch),
    mapped("Verbose", Kind::Switch),
    mapped("log-min-level", Kind::Value),
    mapped("log-file", Kind::Value),
];

pub(super) fn convert(it: &mut Conversion<'_>) {
    if let Some(line) = it.switch("verbose") {
        it.default(&line, "\"info\", the usual level, has a line for each allocation that ends");
    }
    let very_verbose = it.switch("Verbose");
    let least = it.last("log-min-level");
    match (least, very_verbose) {
        (Some(line), also) => {
            minimum(it, &line);
            if let Some(also) = also {
                it.default(&also, "log-min-level says what is logged");
            }
        }
        (None, Some(line)) => set(it, &line, "debug"),
        (None, None) => {}
    }
    if let Some(line) = it.last("log-file") {
        match line.value {
            "stdout" | "-" | "syslog" => {
                it.default(&line, "lines go to standard error, from where journald or a container's runtime takes them");
            }
            _ => it.dropped(
                &line,
                "lines go to standard error: journald keeps them, or with systemd's StandardError=append:FILE a file",
            ),
        }
    }
}

fn minimum(it: &mut Conversion<'_>, line: &Line<'_>) {
    let level = match line.value.to_ascii_lowercase().as_str() {
        "debug" => "debug",
        "info" | "notice" | "control" => "info",
        "warning" | "warn" => "warn",
        "error" => "error",
        _ => return it.invalid_line(line, "expected debug, info, warning or error"),
    };
    set(it, line, level);
}

fn set(it: &mut Conversion<'_>, line: &Line<'_>, level: &str) {
    it.draft.section(SectionKind::Log).set("level", level, format!("From {}.", origin(&[*line])));
    it.mapped(line, "log.level");
}
