//! How a report leaves the program: lines for people, or one JSON object for scripts.

use std::fmt::Display;
use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::process::{Processes, own_cpu};

/// Prints a report to stdout.
pub(super) fn print(report: &(impl Serialize + Display), json: bool) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let written = if json {
        serde_json::to_string(report)
            .context("cannot write the report as JSON")
            .map(|text| writeln!(out, "{text}"))?
    } else {
        write!(out, "{report}")
    };
    written.context("cannot write to stdout")
}

/// CPU time at one moment: the server's, where it is known, and the own.
pub(super) struct CpuMark {
    server: Option<Duration>,
    own: Duration,
}

/// CPU time per unit of work, in nanoseconds.
#[derive(Debug, Serialize)]
pub(super) struct CpuCost {
    /// The server's, if its process is known.
    pub(super) server_ns: Option<f64>,
    /// This program's, all clients and all peers together.
    pub(super) generator_ns: f64,
}

impl CpuMark {
    pub(super) fn now(processes: &Processes) -> Result<Self> {
        let server = if processes.is_empty() { None } else { Some(processes.cpu()?) };
        Ok(Self { server, own: own_cpu()? })
    }

    /// What was spent since then for each of `units`.
    pub(super) fn cost_since(&self, processes: &Processes, units: u64) -> Result<CpuCost> {
        let now = Self::now(processes)?;
        let per_unit = |spent: Duration| spent.as_secs_f64() * 1e9 / units.max(1) as f64;
        let server = now.server.zip(self.server);
        Ok(CpuCost {
            server_ns: server.map(|(now, before)| per_unit(now.saturating_sub(before))),
            generator_ns: per_unit(now.own.saturating_sub(self.own)),
        })
    }
}

impl Display for CpuCost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.server_ns {
            Some(server) => write!(f, "server {:.2} us, ", server / 1e3)?,
            None => write!(f, "server unknown (no --server-pid), ")?,
        }
        write!(f, "generator {:.2} us", self.generator_ns / 1e3)
    }
}
