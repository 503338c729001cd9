//! Whether the chosen accounts' passwords can be carried over.

use super::super::actual::{Presence, User};
use super::super::conflict::Conflict;
use super::super::scheme::{Crypt, Scheme};
use super::super::select::Patterns;
use super::Staging;
use crate::names::UserName;
use crate::plan::{Level, Resource};

impl Staging<'_> {
    /// Refuses what nobody could log in with on the target, and what everybody could.
    pub(super) fn passwords(&mut self, users: &[(&UserName, &User)]) {
        let mut bad = Vec::new();
        let list = "users.allow_empty_password";
        let allowed = Patterns::new(list, &self.manifest.allow_empty_password, &mut bad);
        for conflict in bad {
            self.resolved.block(Resource::Accounts, conflict);
        }
        if self.target.shadow == Presence::Absent {
            self.resolved
                .block(Resource::Accounts, Conflict::NoShadowFile);
            for (name, _) in users {
                self.resolved.hold(name);
            }
        }
        for &(name, user) in users {
            let Some(password) = &user.password else {
                let text =
                    format!("{name} has no password on the source: the account stays locked");
                self.resolved
                    .note(Resource::Account(name.clone()), Level::Warning, text);
                continue;
            };
            let user = name.clone();
            if password.scheme == Scheme::EMPTY && !allowed.fit(name) {
                self.resolved
                    .block_user(name, Conflict::EmptyPassword { user });
            } else if !password.locked && !self.crypt.accepts(&password.scheme) {
                let conflict = Conflict::UncheckablePassword {
                    user,
                    scheme: password.scheme.clone(),
                    crypt: self.crypt,
                };
                self.resolved.block_user(name, conflict);
            }
        }
        if self.crypt == Crypt::Unknown {
            let text = "no libcrypt was found on the target: whether it can check the source's \
                        password hashes is not known";
            self.resolved
                .note(Resource::Accounts, Level::Warning, text.to_owned());
        }
    }
}
