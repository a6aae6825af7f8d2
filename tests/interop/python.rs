//! Python, and what of PyPI it has.

use crate::home::Home;
use crate::tools::skip_for_want_of;

/// The interpreter, if it has this module; if not, that is said. `tests/run` makes a virtual environment with all that
/// is needed, where it may.
pub(crate) fn python(home: &Home, module: &str) -> Option<String> {
    let python = std::env::var("TURNBRIDGE_TESTS_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut probe = home.command(&python);
    probe.args(["-c", &format!("import {module}")]);
    let is_there = probe.output().is_ok_and(|output| output.status.success());
    if !is_there {
        skip_for_want_of(&format!("Python's {module}"));
    }
    is_there.then_some(python)
}
