//! The machine that this runs on as the target of a migration: found by its receipt, without a manifest.

use super::Task;
use crate::cli::Failure;
use crate::error::{Error, Exit, Kind, Result};
use crate::host::DirHost;
use crate::manifest::{MigrationName, Spool};
use crate::names::Side;
use crate::receipt::Receipt;
use crate::resource::accounts;

/// Does something with the mail of this machine.
///
/// # Errors
///
/// [`Kind::Blocked`] while the source's mail counts; [`Kind::Usage`] on another machine than the target.
pub(super) fn with(
    migration: &MigrationName,
    limits: Spool,
    then: impl FnOnce(&Task<'_>) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    let host = DirHost::live(Side::Target, "this machine".to_owned())?;
    let receipt = receipt(&host, migration)?;
    let known = accounts::observe(None, &host)?.target.users;
    let users = receipt.accounts.into_iter();
    then(&Task {
        migration,
        serving: &host,
        target: &host,
        users: users.filter(|name| known.contains_key(name)).collect(),
        limits,
    })
}

fn receipt(host: &DirHost, migration: &MigrationName) -> Result<Receipt> {
    let another = |why: &str| {
        let what = format!("this machine is not the target of a migration {migration}: {why}");
        Error::new(Kind::Usage, what)
            .hint("run `reconcile spool -f MANIFEST` where the manifest is")
    };
    let receipt = Receipt::read(host, migration)?.ok_or_else(|| {
        another(&format!(
            "there is no receipt in {}",
            Receipt::directory(migration)
        ))
    })?;
    // From a cutover on the source has one, too.
    let known = receipt.machines.get(&Side::Target);
    if known.is_some() && Receipt::machine(host, migration)?.as_ref() != known {
        return Err(another("its receipt names another one"));
    }
    if receipt.authority == Side::Source {
        let what = "the source's mail counts: here are copies of it, which nothing opens";
        return Err(Error::new(Kind::Blocked, what).hint(
            "measure it with `reconcile spool -f MANIFEST`; a timer that `reconcile apply` set up is \
             removed by the next one",
        ));
    }
    Ok(receipt)
}
