//! What a setting is where nothing sets it: `doveconf -a` on an empty configuration.

use super::Version;

/// What 2.4.1 prints the same for whatever format the mail is in (seen: `fs` for a Maildir, which is
/// `maildir++`): only what is written counts.
pub(super) const MISTOLD: &[&str] = &["mailbox_list_layout"];

/// Settings whose default depends on another one, or which 2.4.1 prints empty where it is not.
pub(super) const DEPENDENT: &[&str] = &[
    "auth_mechanisms",
    "listen",
    "mail_inbox_path",
    "mbox_md5",
    "mbox_read_locks",
    "mbox_write_locks",
];

/// The default; empty for what is empty, and for what is not asked here.
pub(super) fn of(key: &str, version: Version) -> &'static str {
    match (key, version) {
        ("auth_mechanisms", _) => "plain",
        ("auth_username_format", Version::V2_4) => "%{user | lower}",
        ("auth_username_format", _) => "%Lu",
        (
            "disable_plaintext_auth"
            | "mailbox_list_index"
            | "maildir_copy_with_hardlinks"
            | "mbox_dirty_syncs"
            | "mbox_lazy_writes"
            | "ssl",
            _,
        ) => "yes",
        ("first_valid_gid", _) => "1",
        ("first_valid_uid", _) => "500",
        ("last_valid_gid" | "last_valid_uid", _) => "0",
        ("listen", _) => "* ::",
        ("lock_method" | "mbox_read_locks", _) => "fcntl",
        ("mail_max_userip_connections", _) => "10",
        ("mbox_md5", _) => "apop3d",
        // Debian's 2.3 has it the other way round (README.Debian); other builds are as 2.4.
        ("mbox_write_locks", Version::V2_3) => "fcntl dotlock",
        ("mbox_write_locks", _) => "dotlock fcntl",
        ("pop3_delete_type", _) => "default",
        ("pop3_uidl_duplicates", _) => "allow",
        (
            "auth_allow_cleartext"
            | "maildir_broken_filename_sizes"
            | "maildir_empty_new"
            | "maildir_stat_dirs"
            | "maildir_very_dirty_syncs"
            | "mbox_very_dirty_syncs"
            | "pop3_enable_last"
            | "pop3_fast_size_lookups"
            | "pop3_lock_session"
            | "pop3_no_flag_updates"
            | "pop3_reuse_xuidl"
            | "pop3_save_uidl",
            _,
        ) => "no",
        _ => "",
    }
}
