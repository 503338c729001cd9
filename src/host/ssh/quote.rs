//! A command line that a login shell takes apart into the arguments that it was made of.

/// Joins arguments, each in single quotes, which no shell looks into. A login shell that is neither
/// POSIX nor csh may disagree about an argument with a quote in it; root's is never one.
pub(super) fn command(argv: &[&[u8]]) -> Vec<u8> {
    let mut line = Vec::new();
    for argument in argv {
        if !line.is_empty() {
            line.push(b' ');
        }
        line.push(b'\'');
        for &byte in *argument {
            match byte {
                b'\'' => line.extend_from_slice(b"'\\''"),
                _ => line.push(byte),
            }
        }
        line.push(b'\'');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a shell hands to a program for this line.
    fn taken_apart(line: &[u8]) -> Vec<u8> {
        use std::os::unix::ffi::OsStrExt as _;
        let script = [b"printf '%s\\0' ".as_slice(), line].concat();
        #[expect(clippy::disallowed_methods, reason = "the shell is the judge")]
        let output = std::process::Command::new("/bin/sh")
            .arg("-c")
            .arg(std::ffi::OsStr::from_bytes(&script))
            .output()
            .unwrap();
        output.stdout
    }

    #[test]
    fn a_shell_gets_every_argument_as_it_is() {
        let argv: [&[u8]; 8] = [
            b"plain",
            b"",
            b"two words",
            b"it's '' quoted'",
            b"$HOME `id` $(id) \\ \\n !! ~ *",
            b"line\nbreak",
            b"Latin-1 \xE9",
            b"-n; true & | > <",
        ];
        let expected: Vec<u8> = argv.iter().flat_map(|a| [a, &b"\0"[..]].concat()).collect();
        assert_eq!(taken_apart(&command(&argv)), expected);
    }
}
