//! Units of systemd, and init scripts seen the same way.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::raw::HostPath;

/// What starts and stops services.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    /// systemd, as process 1: `/run/systemd/system` is there, `sd_booted`(3).
    #[default]
    Systemd,
    /// Init scripts, and Debian's update-rc.d(8) for those that start at boot.
    UpdateRcD,
    /// Init scripts, and Red Hat's chkconfig(8).
    Chkconfig,
    /// Something else, or nothing that can be told.
    Other,
}

/// A unit, or an init script.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// `dovecot.service`; an init script has no suffix.
    pub name: String,
    /// Its other names, symbolic links to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// Whether it can be started.
    #[serde(default)]
    pub load: Load,
    /// Whether it runs.
    pub active: Active,
    /// The same in the terms of its kind: `running`, `exited`, `listening`, `waiting`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sub: String,
    /// Whether it starts at boot, systemctl(1) `is-enabled`: `enabled`, `disabled`, `generated`, ...
    pub enabled: String,
    /// Its file. Of a masked one it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<HostPath>,
    /// Sockets, timers and paths that start it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggered_by: Vec<String>,
}

/// `LoadState=`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Load {
    /// It can be started.
    #[default]
    Loaded,
    /// It cannot be started by anyone until it is unmasked.
    Masked,
    /// Its file has errors.
    Broken,
}

/// `ActiveState=`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Active {
    /// It runs.
    Active,
    /// It starts, stops or reloads.
    Changing,
    /// It does not run.
    Inactive,
    /// It does not run because it failed.
    Failed,
}

impl Unit {
    /// Whether a name of the manifest means it; `postfix` means `postfix.service`.
    pub fn is(&self, name: &str) -> bool {
        let is = |own: &str| own == name || own.strip_suffix(".service") == Some(name);
        let script = name.strip_suffix(".service") == Some(self.name.as_str());
        script || is(&self.name) || self.also.iter().any(|also| is(also))
    }

    /// Whether something of it runs, or is about to.
    pub fn runs(&self) -> bool {
        matches!(self.active, Active::Active | Active::Changing)
    }

    /// Whether it can be started, or starts by itself.
    pub fn is_at_large(&self, init: Init) -> bool {
        match init {
            Init::Systemd => self.load != Load::Masked,
            Init::UpdateRcD | Init::Chkconfig | Init::Other => self.enabled == ENABLED,
        }
    }

    /// What is masked so that it cannot be started: an instance is masked by way of its template.
    pub fn mask_name(&self) -> String {
        match (self.name.split_once('@'), self.name.rsplit_once('.')) {
            (Some((template, _)), Some((_, suffix))) => format!("{template}@.{suffix}"),
            _ => self.name.clone(),
        }
    }

    /// An instance of a template that nobody asked for: systemd answers for every name.
    pub(super) fn is_phantom(&self) -> bool {
        let own = |file: &HostPath| file.file_name() == self.name.as_bytes();
        let instance = self.name.contains('@') && !self.file.as_ref().is_some_and(own);
        instance && self.load == Load::Loaded && !self.runs() && !self.enabled.starts_with(ENABLED)
    }
}

/// Of a unit or script that starts at boot.
pub(super) const ENABLED: &str = "enabled";

impl fmt::Display for Unit {
    /// `dovecot.service is active (running), enabled`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let active = match self.active {
            Active::Active => "active",
            Active::Changing => "changing",
            Active::Inactive => "inactive",
            Active::Failed => "failed",
        };
        write!(f, "{} is ", self.name)?;
        match (self.load, self.runs()) {
            (Load::Masked, false) => return f.write_str("masked"),
            (Load::Masked, true) => f.write_str("masked, but ")?,
            (Load::Broken, _) => f.write_str("broken, ")?,
            (Load::Loaded, _) => {}
        }
        f.write_str(active)?;
        if self.runs() && !self.sub.is_empty() {
            write!(f, " ({})", self.sub)?;
        }
        match (self.load, self.enabled.as_str()) {
            (Load::Masked, _) | (_, "") => Ok(()),
            (_, enabled) => write!(f, ", {enabled}"),
        }
    }
}
