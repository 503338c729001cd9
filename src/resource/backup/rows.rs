//! A backup's changes for people, and what they will have done.

use super::{Actual, directory};
use crate::manifest::MigrationName;
use crate::plan::Resource;
use crate::plan::backup::{BackupAsking, BackupDrain, BackupSetup, BackupState};
use crate::plan::render::{Row, Sign};
use crate::raw::escape;

/// The row of a setup.
pub fn row(setup: &BackupSetup) -> Row {
    let (sign, title) = match setup.to {
        BackupState::SetUp => (
            Sign::Update,
            format!("{} queues for the domain", setup.host.host),
        ),
        BackupState::Removed => (
            Sign::Remove,
            format!("{} queues for it no more", setup.host.host),
        ),
    };
    let edits = setup.files.iter().flat_map(|edit| edit.diff.lines());
    let mut details: Vec<String> = edits.map(str::to_owned).collect();
    details.extend(setup.parameters.iter().map(ToString::to_string));
    details.push("postfix check && postfix reload".to_owned());
    let gone = setup.remove.iter();
    details.extend(gone.map(|path| format!("rm {}", escape(path.as_bytes()))));
    Row {
        sign,
        resource: Resource::Backup,
        title,
        details,
    }
}

/// The row of a question before the freeze.
pub fn asking_row(asking: &BackupAsking) -> Row {
    Row {
        sign: Sign::Run,
        resource: Resource::Backup,
        title: format!(
            "{} takes mail for {}@{}, and for nobody whom nobody knows",
            asking.host, asking.known, asking.domain
        ),
        details: Vec::new(),
    }
}

/// The row of a drain.
pub fn drain_row(drain: &BackupDrain) -> Row {
    Row {
        sign: Sign::Run,
        resource: Resource::Backup,
        title: format!(
            "{} delivers what waits for {}, {} s are waited for it at most",
            drain.host, drain.domain, drain.within
        ),
        details: vec![format!("postqueue -s {}", drain.domain)],
    }
}

/// What will be there.
pub fn predict(actual: &mut Actual, setup: &BackupSetup, name: &MigrationName) {
    let Some(seen) = &mut actual.host else {
        return;
    };
    for edit in &setup.files {
        let file = escape(edit.path.file_name());
        let before = seen.files.get(&file).map(String::as_str);
        if let Ok(after) = crate::resource::edit::apply(edit, before) {
            seen.files.insert(file, after);
        }
    }
    for path in &setup.remove {
        seen.files.remove(&escape(path.file_name()));
    }
    seen.files.remove(super::observe::UNREAD);
    let directory = directory(name).to_string();
    match setup.to {
        BackupState::SetUp => {
            let files: Vec<String> = seen.files.keys().cloned().collect();
            let files: Vec<&str> = files.iter().map(String::as_str).collect();
            let after = super::parameters::with(&seen.written, &seen.defaults, &directory, &files);
            seen.written.extend(after);
        }
        BackupState::Removed => {
            for (parameter, value) in
                super::parameters::without(&seen.written, &seen.defaults, &directory)
            {
                match value {
                    Some(value) => seen.written.insert(parameter, value),
                    None => seen.written.remove(&parameter),
                };
            }
        }
    }
}
