//! Our configuration file on the target: its name, its text, and reading it back.

use super::config::syntax::{self, Statement};
use super::{SETTING, config};
use crate::raw::HostPath;

/// Where it is. The name sorts last among `conf.d/*.conf`, and the last assignment wins.
pub const PATH: &str = "/etc/dovecot/conf.d/zz-reconcile-uidl.conf";

/// Its path on the target.
pub fn path() -> HostPath {
    HostPath::from(PATH)
}

/// Its text for a format in the target's own syntax. A value in `protocol pop3` beats every global
/// one, wherever it stands.
pub fn render(format: &str) -> String {
    let value = config::syntax::quote(format);
    format!(
        "# Written by reconcile; its next run writes it again.\n\
         # POP3 clients know their messages by UIDLs of this format. With another one every client\n\
         # downloads every message again.\n\
         protocol pop3 {{\n  {SETTING} = {value}\n}}\n"
    )
}

/// The format that such a file sets; `None` if it is not one that [`render`] wrote.
pub fn format_in(content: &str) -> Option<String> {
    let lines = syntax::parse(content).ok()?;
    lines.into_iter().find_map(|line| match line.statement {
        Statement::Assign { key, value } if key == SETTING => Some(value),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_survives_being_written_and_read() {
        for format in [
            "%08Xu%08Xv",
            "%{uid | hex(8)}%{uidvalidity | hex(8)}",
            "%{uid | lfill(8,\"0\")}",
            "\"%u\"",
            "%u#1",
            "'%u\\",
            "$%u",
            "<%u",
        ] {
            assert_eq!(format_in(&render(format)).as_deref(), Some(format));
        }
    }
}
