//! The staging directory.

const STAGING: &[u8] = b".reconcile-staging";

/// Whether a name in a home or a spool directory is that of our staging directory, which is never
/// anybody's mail.
pub fn is_staging(name: &[u8]) -> bool {
    name.starts_with(STAGING)
}
