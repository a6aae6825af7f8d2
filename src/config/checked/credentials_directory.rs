//! Paths below the directory in which systemd hands credentials over (`LoadCredential=`).

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// The variable that names the directory, and what stands for it in a path.
pub(super) const VARIABLE: &str = "CREDENTIALS_DIRECTORY";
const PLACEHOLDER: &str = "${CREDENTIALS_DIRECTORY}";

/// The real path, if this one begins with the placeholder. `directory` is what the environment says.
pub(super) fn expand(path: &Path, directory: Option<OsString>) -> Option<Result<PathBuf, String>> {
    let below = path.strip_prefix(PLACEHOLDER).ok()?;
    let directory = directory.filter(|directory| !directory.is_empty());
    Some(directory.map(|directory| Path::new(&directory).join(below)).ok_or_else(|| {
        format!(
            "{VARIABLE} is not set: systemd sets it for a unit with LoadCredential=; to check by hand what the running \
             service has, set it to /run/credentials/turnbridge.service"
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_stands_at_the_beginning_of_a_path_and_must_be_known() {
        let expand =
            |path: &str, directory: Option<&str>| expand(Path::new(path), directory.map(OsString::from));
        let set = Some("/run/credentials/turnbridge.service");
        let whole = PathBuf::from("/run/credentials/turnbridge.service/turnbridge.secret");
        assert_eq!(expand("${CREDENTIALS_DIRECTORY}/turnbridge.secret", set), Some(Ok(whole)));
        for path in
            ["secret", "/etc/${CREDENTIALS_DIRECTORY}/secret", "${CREDENTIALS_DIRECTORY}secret", "$HOME/x"]
        {
            assert_eq!(expand(path, set), None, "{path}");
        }
        for unset in [None, Some("")] {
            let message = expand("${CREDENTIALS_DIRECTORY}/x", unset).unwrap().unwrap_err();
            assert!(message.starts_with("CREDENTIALS_DIRECTORY is not set"), "{message}");
        }
    }
}
