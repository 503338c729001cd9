use proptest::prelude::*;

use super::*;

/// FACTS 3.1: each pair gave the same UIDL on the same mailbox, on Dovecot 2.3.19.1 and 2.4.1.
const PAIRS: &[(&str, &str)] = &[
    ("%08Xu%08Xv", "%{uid | hex(8)}%{uidvalidity | hex(8)}"),
    ("%08Xv%08Xu", "%{uidvalidity | hex(8)}%{uid | hex(8)}"),
    ("%v-%u", "%{uidvalidity}-%{uid}"),
    ("%v.%u", "%{uidvalidity}.%{uid}"),
    ("%u.%v", "%{uid}.%{uidvalidity}"),
    ("%v%u", "%{uidvalidity}%{uid}"),
    ("%u", "%{uid}"),
    ("%Xu", "%{uid | hex}"),
    ("%Xv", "%{uidvalidity | hex}"),
    ("%08u", "%{uid | lfill(8,\"0\")}"),
    ("%04u", "%{uid | lfill(4,\"0\")}"),
    ("%f", "%{filename}"),
    ("%Mf", "%{filename | md5 | hexlify}"),
    ("%g", "%{guid}"),
    ("%Mg", "%{guid | md5 | hexlify}"),
    ("%m", "%{md5}"),
    ("%Lf", "%{filename | lower}"),
    ("%Uf", "%{filename | upper}"),
    ("%5.10f", "%{filename | substr(5,10)}"),
    ("%.2f", "%{filename | substr(0,2)}"),
    ("%4.2v", "%{uidvalidity | substr(4,2)}"),
];

#[test]
fn tested_pairs_translate_both_ways_and_are_equal() {
    for (old, new) in PAIRS {
        let from_old = Format::parse_2_3(old).unwrap();
        let from_new = Format::parse_2_4(new).unwrap();
        assert_eq!(from_old, from_new, "{old} and {new}");
        assert_eq!(from_old.to_2_4(), *new);
        assert_eq!(from_new.to_2_3(), *old);
    }
}

#[test]
fn spaces_and_quotes_do_not_change_the_meaning() {
    for (one, other) in [
        ("%{uid|hex(8)}", "%{ uid | hex( 8 ) }"),
        ("%{uid | lfill(8, '0')}", "%{uid | lfill(8,\"0\")}"),
        ("%{uid | lfill(1,\"0\")}", "%{uid}"),
    ] {
        assert_eq!(Format::parse_2_4(one), Format::parse_2_4(other));
    }
}

#[test]
fn other_order_or_padding_is_another_meaning() {
    for (one, other) in [
        ("%08Xu%08Xv", "%08Xv%08Xu"),
        ("%u", "%Xu"),
        ("%Xu", "%08Xu"),
        ("%04u", "%08u"),
        ("%v-%u", "%v.%u"),
        ("%f", "%Mf"),
    ] {
        assert_ne!(
            Format::parse_2_3(one).unwrap(),
            Format::parse_2_3(other).unwrap()
        );
    }
}

#[test]
fn what_has_no_proven_equivalent_is_refused() {
    for old in ["%%%u", "%Nf", "%Hu", "%Rf", "%-8.5f", "%06Xu", "%Xf", "%Mu"] {
        let error = Format::parse_2_3(old).unwrap_err();
        assert!(
            matches!(error, FormatError::NoTranslation(_)),
            "{old}: {error}"
        );
    }
    for new in [
        "%{uid}%%",
        "%{uid | hex(6)}",
        "%{guid | sha256 | hexlify}",
        "%{guid | md5}",
    ] {
        let error = Format::parse_2_4(new).unwrap_err();
        assert!(
            matches!(error, FormatError::NoTranslation(_)),
            "{new}: {error}"
        );
    }
}

#[test]
fn what_no_dovecot_accepts_is_refused_with_its_reason() {
    for (text, says) in [
        ("", "no variable"),
        ("fixed", "no variable"),
        ("%08xu", "no variable `%08x`"),
        ("%q", "no variable `%q`"),
        ("%u%", "does not begin a variable"),
        ("%{uidl}", "no variable `uidl`"),
        ("%{uid | number(8)}", "no function `number`"),
        ("%{uid | lfill(4, 0)}", "not how that function is called"),
        ("%{uid", "does not begin a variable"),
        ("%u %v", "cannot stand in a UIDL"),
        ("%u\n", "cannot stand in a UIDL"),
    ] {
        let refusal = check_literal(text).unwrap_err();
        assert!(refusal.contains(says), "{text:?}: {refusal}");
    }
}

#[test]
fn what_one_version_accepts_passes_the_check_of_literals() {
    for text in [
        "%08Xu%08Xv",
        "%{uid | hex(8)}",
        "%Nf",
        "%{guid | sha256 | hexlify}",
    ] {
        assert_eq!(check_literal(text), Ok(()), "{text}");
    }
}

#[test]
fn dovecot_2_3_has_no_long_names() {
    assert_eq!(
        Format::parse_2_3("%{uid}"),
        Err(FormatError::UnknownVariable("%{".to_owned()))
    );
}

fn specifier() -> impl Strategy<Value = String> {
    prop_oneof![
        "[!-$&-~]{1,3}",
        proptest::sample::select(PAIRS).prop_map(|(old, _)| old.to_owned()),
        "%0?[1-9][uv]",
        "%[0-9]{0,2}\\.[1-9][0-9]{0,2}[uvfgm]",
    ]
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text: String, noisy in "[%{}|() a-z0-9\"',.X]{0,30}") {
        for text in [text, noisy] {
            if let Ok(format) = Format::parse_2_3(&text) {
                prop_assert_eq!(Format::parse_2_3(&format.to_2_3()).unwrap(), format);
            }
            if let Ok(format) = Format::parse_2_4(&text) {
                prop_assert_eq!(Format::parse_2_4(&format.to_2_4()).unwrap(), format);
            }
            drop(check_literal(&text));
        }
    }

    #[test]
    fn translation_keeps_the_meaning(specifiers in prop::collection::vec(specifier(), 1..6)) {
        let text: String = specifiers.concat();
        if let Ok(format) = Format::parse_2_3(&text) {
            prop_assert_eq!(Format::parse_2_4(&format.to_2_4()).unwrap(), format.clone());
            prop_assert_eq!(Format::parse_2_3(&format.to_2_3()).unwrap(), format);
        }
    }
}
