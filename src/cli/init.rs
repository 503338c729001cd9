//! `reconcile init SOURCE TARGET`: drafts the manifest that the other commands read.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Failure, local, reporter};
use crate::error::{Doing as _, Error, Exit, Kind, Result};
use crate::host::{Operator, reach_source, reach_target, refuse_one_host};
use crate::init::{self, Draft, Place};
use crate::manifest::{Become, HostAddress, MigrationName, Source, TWO_HOSTS, load, not_two};
use crate::raw::HostPath;
use crate::report::{Event, counted};

#[derive(Args, Debug)]
pub(super) struct Options {
    /// The old host: `ssh://[USER@]HOST[:PORT]`, or `dir:PATH` for a mounted disk or a backup.
    source: HostAddress,
    /// The new host, likewise.
    target: HostAddress,
    /// Name of the migration; made from the hosts' names if absent.
    #[arg(long)]
    name: Option<MigrationName>,
    /// Replace the file if there is one.
    #[arg(long)]
    force: bool,
}

/// The name of a file that stands for standard output.
const STDOUT: &str = "-";

pub(super) fn run(path: &Path, options: &Options, operator: &Operator) -> Result<Exit, Failure> {
    let to_stdout = path == Path::new(STDOUT);
    if !to_stdout && !options.force {
        refuse_existing(path)?;
    }
    let (source, target) = (
        written(&options.source, path)?,
        written(&options.target, path)?,
    );
    if let Some(problem) = not_two(&source, &target) {
        return Err(Error::new(Kind::Usage, problem).hint(TWO_HOSTS).into());
    }
    let old = reach_source(&described(&options.source), operator)?;
    let new = reach_target(&described(&options.target), operator)?;
    refuse_one_host(old.read(), new.as_ref())?;
    let what = "Looking at both hosts".to_owned();
    reporter(false).event(&Event::Observing { what });
    let findings = init::observe(
        options.name.as_ref(),
        Place {
            address: &source,
            host: old.read(),
        },
        Place {
            address: &target,
            host: new.as_ref(),
        },
    )?;
    let draft = init::render(&findings);
    loads(&draft)?;
    let bytes = draft.text.as_bytes();
    match (to_stdout, options.force) {
        (true, _) => {
            return local::print(&draft.text)
                .map(|()| Exit::Done)
                .map_err(Into::into);
        }
        (false, true) => local::write(path, bytes)?,
        (false, false) => local::write_new(path, bytes)?,
    }
    local::say(&summary(path, &draft));
    Ok(Exit::Done)
}

/// A host that no manifest names yet, as it is given: relative roots start at the working directory. A
/// login that is not root may become it.
fn described(address: &HostAddress) -> Source {
    Source {
        host: address.clone(),
        host_key: None,
        become_root: Some(Become::Sudo),
    }
}

fn refuse_existing(path: &Path) -> Result<()> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).doing(Kind::Usage, || format!("cannot write {}", path.display())),
        Ok(_) => {
            let what = format!("{} is there already", path.display());
            Err(Error::new(Kind::Usage, what).hint(
                "-f FILE writes another file, `-f -` to standard output, --force replaces it",
            ))
        }
    }
}

/// The address as the manifest has it: there, a relative root counts from the manifest's directory.
fn written(address: &HostAddress, manifest: &Path) -> Result<HostAddress> {
    let directory = manifest.parent().unwrap_or(Path::new(""));
    let here = [Path::new(""), Path::new(".")].contains(&directory);
    match address {
        HostAddress::Dir(root) if !here => {
            let absolute: PathBuf = std::path::absolute(OsStr::from_bytes(root.as_bytes()))
                .doing(Kind::Usage, || format!("cannot tell where {address} is"))?;
            let bytes = absolute.as_os_str().as_bytes();
            Ok(HostAddress::Dir(HostPath::from(bytes)))
        }
        other => Ok(other.clone()),
    }
}

/// A draft that does not load is a defect, to be known here and not by the next command.
fn loads(draft: &Draft) -> Result<(), Failure> {
    match load::parse("the drafted manifest", &draft.text) {
        Ok(_) => Ok(()),
        Err(invalid) => Err(Failure::Manifest(Box::new(invalid))),
    }
}

fn summary(path: &Path, draft: &Draft) -> String {
    let mut remarks = Vec::new();
    if draft.blocked > 0 {
        remarks.push(format!("{} blocked", draft.blocked));
    }
    if draft.warnings > 0 {
        remarks.push(counted(draft.warnings as u64, "warning", "warnings"));
    }
    let remarks = if remarks.is_empty() {
        String::new()
    } else {
        format!(" Its comments say: {}.", remarks.join(", "))
    };
    let plan = if path == Path::new("migration.yaml") {
        "reconcile plan".to_owned()
    } else {
        format!("reconcile -f {} plan", path.display())
    };
    let path = path.display();
    format!("Wrote {path}.{remarks} Read it, then run `{plan}`.\n")
}
