//! What `sendmail.cf` tells: sendmail's Operations Guide, section 5.

use std::collections::BTreeSet;

/// Names in class `w`, for which mail is local, and files with more.
pub(super) fn local_names(cf: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    class(cf, 'w')
}

/// Names in class `R`, which are relayed to, and files with more.
pub(super) fn relay_names(cf: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    class(cf, 'R')
}

/// `Cw NAME...` and `Fw-o FILE %[^\#]`.
fn class(cf: &str, name: char) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut names, mut files) = (BTreeSet::new(), BTreeSet::new());
    for line in cf.lines() {
        if let Some(words) = line
            .strip_prefix('C')
            .and_then(|rest| rest.strip_prefix(name))
        {
            let words = words.split_whitespace().filter(|word| !word.contains('$'));
            names.extend(words.map(str::to_ascii_lowercase));
        } else if let Some(file) = line
            .strip_prefix('F')
            .and_then(|rest| rest.strip_prefix(name))
        {
            let file = file.trim_start().trim_start_matches("-o").trim_start();
            files.extend(file.split_whitespace().next().map(str::to_owned));
        }
    }
    (names, files)
}

/// The lines of such a file; what follows `#` is a remark.
pub(super) fn names(text: &str) -> BTreeSet<String> {
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim());
    lines
        .filter(|line| !line.is_empty())
        .map(str::to_ascii_lowercase)
        .collect()
}

/// `O MaxMessageSize=` in bytes; 0 is none.
pub(super) fn message_limit(cf: &str) -> Option<u64> {
    let value = cf
        .lines()
        .find_map(|line| line.strip_prefix("O MaxMessageSize="))?;
    value.trim().parse().ok().filter(|&limit| limit > 0)
}

/// The program of the local mailer, `P=` of `Mlocal`.
pub(super) fn local_mailer(cf: &str) -> Option<&str> {
    let line = cf.lines().find_map(|line| line.strip_prefix("Mlocal,"))?;
    let parts = line.split(',').map(str::trim);
    parts.into_iter().find_map(|part| part.strip_prefix("P="))
}
