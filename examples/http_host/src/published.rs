//! The published calls as they are printed, for this host and this sandbox.

use std::io::Write as _;

use crate::Failure;
use crate::sandbox::{MERCHANT, Sandbox};

/// The calls, with a place for what differs.
const CALLS: &str = include_str!("published.txt");

/// Prints where the host is, its keys, and the published calls.
pub(crate) fn show(base: &str, sandbox: &Sandbox) -> Result<(), Failure> {
    let Sandbox { api_key, admin_key, spare } = sandbox;
    let calls = CALLS.replace("{base}", base).replace("{key}", api_key).replace("{spare}", spare.as_str());
    let mut out = std::io::stdout().lock();
    writeln!(out, "# A sandbox at {base} with account {MERCHANT}")?;
    writeln!(out, "# api-key: {api_key}")?;
    writeln!(out, "# admin key, for /accounts and /organization/{{id}}: {admin_key}\n")?;
    writeln!(out, "{calls}")?;
    writeln!(
        out,
        "# Each of these works once; what names an object that is made or removed is refused the second time."
    )?;
    Ok(out.flush()?)
}
