//! The `turnbridge` command.

use clap::Parser;

#[derive(Parser)]
enum Cli {
    /// Loads a TURN server
    Bench(turnbridge::cli::bench::BenchArgs),
}

fn main() -> anyhow::Result<()> {
    let Cli::Bench(args) = Cli::parse();
    turnbridge::cli::bench::run(&args)
}
