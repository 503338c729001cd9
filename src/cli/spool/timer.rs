//! `reconcile spool --install-timer`: apply with `spool.timer`, whatever the manifest says, and nothing else.

use std::path::Path;

use crate::cli::{Failure, apply, session};
use crate::error::Exit;
use crate::host::Operator;
use crate::manifest::Every;
use crate::report::terminal::tell;

pub(super) fn install(path: &Path, yes: bool, operator: &Operator) -> Result<Exit, Failure> {
    let mut manifest = session::manifest(path)?;
    let spool = manifest.spool.get_or_insert_default();
    let differs = spool.timer.is_none();
    spool.timer.get_or_insert_default();
    let manner = apply::Manner { yes, json: false };
    let exit = apply::timer(&manifest, path, manner, operator)?;
    if differs && exit == Exit::Done {
        tell(&format!(
            "The mail on the target is measured {}. Commit `spool: {{ timer: {{ every: {} }} }}` in {} now: \
             as it stands, the next apply would remove the timer.\n",
            Every::default().calendar(),
            Every::default().calendar(),
            path.display()
        ));
    }
    Ok(exit)
}
