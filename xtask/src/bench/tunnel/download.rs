//! Large downloads through a tunnel.

use std::fs::File;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Result, bail};

use super::super::lab::{LOAD_CORE, Lab};
use super::super::peers::pinned;
use super::Sample;
use super::road::Tunnel;

pub const GIB: u64 = 1 << 30;

/// The file of 1 GiB: a hole, so that no disk takes part.
///
/// # Errors
/// When it cannot be made.
pub fn make_file(lab: &Lab) -> Result<()> {
    Ok(File::create(lab.folder.join("files/1g.bin"))?.set_len(GIB)?)
}

/// So many downloads at once, of the first `size` bytes each.
///
/// # Errors
/// When one does not bring all of it, or an end of the tunnel has ended.
pub fn download(tunnel: &Tunnel, lab: &Lab, at_once: usize, size: u64) -> Result<Sample> {
    let before = tunnel.cpu_time()?;
    let began = Instant::now();
    let mut running = Vec::new();
    for _ in 0..at_once {
        let mut curl = pinned(LOAD_CORE, "curl");
        curl.args(["-sSfk", "--http1.1", "--max-time", "120", "--noproxy", "*", "-o", "/dev/null"]);
        curl.args(["-w", "%{size_download}", "--range", &format!("0-{}", size - 1), "--resolve"]);
        curl.arg(format!("{}:{}:127.0.0.1", tunnel.door.host, tunnel.door.port)).arg(tunnel.door.url("1g.bin"));
        running.push(curl.current_dir(&lab.folder).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
    }
    let mut got = 0;
    for curl in running {
        let done = curl.wait_with_output()?;
        let brought: u64 = String::from_utf8_lossy(&done.stdout).trim().parse()?;
        if !done.status.success() || brought != size {
            bail!("{}: {brought} of {size} bytes", tunnel.road.name());
        }
        got += brought;
    }
    let seconds = began.elapsed().as_secs_f64();
    let cpu = tunnel.cpu_time()?.saturating_sub(before).as_secs_f64() / (got as f64 / GIB as f64);
    Ok(Sample { rate: got as f64 / 1e6 / seconds, cpu, p50_ms: 0.0, p99_ms: 0.0, errors: 0 })
}
