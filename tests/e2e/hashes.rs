//! Password hashes for the accounts of the tests, and the search for them in whatever a run leaves
//! behind. All are of one password, made by libxcrypt 4.4.33's `crypt`.

/// crypt(5): descrypt.
pub(crate) const DES: &str = "abhfCpXqd4GrI";
/// md5crypt.
pub(crate) const MD5: &str = "$1$Zx81kqPz$nZ3Gmylh7VeavSCJsgmd0/";
/// sha256crypt.
pub(crate) const SHA256: &str = "$5$e2eSaltFiveAA$IDpFkBCpc12.9nuIQYkFfZAVi/AINIC5NND4YWSlLb/";
/// sha512crypt.
pub(crate) const SHA512: &str = "$6$e2eSaltSixBBBB$VdF62wcp5BVfhfdGMVFT2.KXdbUA/xHJd/KFBtINFFhitEzIUO2U87OehsUVAClf9YoEbHfWgwcU4DqP4CHU9.";
/// sha512crypt with a cost.
pub(crate) const SHA512_ROUNDS: &str = "$6$rounds=5000$e2eSaltRnd$opPVlkoi9W6vkL3a5Vzg5gUQdXLEVL4qsjjXMr.Uw9SmixmR3AVCwTuXNv7UWUv.S0Dk4VMFSsGUbGFCgFGye1";
/// bcrypt.
pub(crate) const BCRYPT: &str = "$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2";
/// yescrypt.
pub(crate) const YESCRYPT: &str =
    "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$zwtVrjrUCmXcyLTs6oxLTQlzifSUkF8RHJ./tK5KU79";

/// All of them.
pub(crate) const ALL: [&str; 7] = [DES, MD5, SHA256, SHA512, SHA512_ROUNDS, BCRYPT, YESCRYPT];

/// The scheme of a hash that occurs in `bytes`, whole or without its salt.
pub(crate) fn leaked(bytes: &[u8]) -> Option<&'static str> {
    ALL.into_iter().find(|hash| {
        let digest = &hash.as_bytes()[hash.len() - 11..];
        bytes.windows(digest.len()).any(|window| window == digest)
    })
}

#[test]
fn a_hash_is_found_in_what_a_run_printed() {
    let line = format!("alice:{SHA512}:19000:0:99999:7:::");
    assert_eq!(leaked(line.as_bytes()), Some(SHA512));
    assert_eq!(
        leaked(b"password: changed (sha512crypt #a1b2 -> #c3d4)"),
        None
    );
}
