//! One file or folder per subcommand of `turnbridge`.

pub mod bench;
