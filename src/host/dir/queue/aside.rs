//! Messages that another host has by now leave the queue, and are kept.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::Path;

use super::{flush, make_dir, real, rename_new};
use crate::error::{Error, Kind, Result};
use crate::host::queue::{Carried, QueueAside};
use crate::host::{DirHost, Host as _, ReadHost as _, failed};

pub(super) fn set_aside(host: &DirHost, aside: &QueueAside) -> Result<()> {
    let Some(json) = host.read(&aside.list)? else {
        return Ok(());
    };
    let what = || format!("{} on {} is no list of queue files", aside.list, host.label);
    let carried: Carried = serde_json::from_slice(&json)
        .map_err(|error| Error::caused(Kind::Malformed, what(), error))?;
    let kept = real(host, &aside.kept);
    let fail = |error| failed(&host.label, "put a queue aside in", &aside.kept, error);
    make_dir(&kept).map_err(fail)?;
    for file in &carried.files {
        let inside = aside.queues.iter().any(|queue| {
            let rest = file.as_path().strip_prefix(queue.path.as_path());
            rest.is_ok_and(|rest| {
                rest.components()
                    .all(|part| matches!(part, std::path::Component::Normal(_)))
            })
        });
        if !inside {
            return Err(Error::new(Kind::Malformed, format!("{}: {file}", what())));
        }
        let to = kept.join(file.relative());
        move_away(&real(host, file), &to)
            .map_err(|error| failed(&host.label, "put aside", file, error))?;
    }
    flush(&kept).map_err(fail)?;
    for queue in &aside.queues {
        let dir = real(host, &queue.path);
        if fs::symlink_metadata(&dir).is_ok() {
            flush(&dir).map_err(fail)?;
        }
    }
    host.remove_file(&aside.list)
}

/// Also to another file system; what is there already is kept beside it.
fn move_away(from: &Path, to: &Path) -> io::Result<()> {
    let meta = match fs::symlink_metadata(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        meta => meta?,
    };
    if let Some(dir) = to.parent() {
        make_dir(dir)?;
    }
    let mut to = to.as_os_str().to_owned();
    while fs::symlink_metadata(&to).is_ok() {
        to.push("+");
    }
    let to = Path::new(&to);
    match rename_new(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {}
        moved => return moved,
    }
    let mut temporary = to.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = Path::new(&temporary);
    remove(temporary)?;
    let mut copy = super::create(temporary)?;
    io::copy(&mut File::open(from)?, &mut copy)?;
    fchown(&copy, Some(meta.uid()), Some(meta.gid()))?;
    copy.set_permissions(meta.permissions())?;
    copy.sync_all()?;
    rename_new(temporary, to)?;
    remove(from)
}

fn remove(path: &Path) -> io::Result<()> {
    #[expect(
        clippy::disallowed_methods,
        reason = "host/ is where files are removed"
    )]
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
