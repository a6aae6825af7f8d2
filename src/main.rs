//! The `turnbridge` command.

fn main() {}
