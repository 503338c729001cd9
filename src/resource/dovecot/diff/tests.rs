use super::*;

const DEFAULT_2_4: &str = "%{uid | hex(8)}%{uidvalidity | hex(8)}";

fn manifest(format: &str) -> Manifest {
    serde_yaml::from_str(&format!(
        "{{version: 1, name: t, source: {{host: 'dir:/s'}}, target: {{host: 'dir:/t'}}, \
         serve_from: source, dovecot: {{uidl_format: '{format}'}}}}"
    ))
    .unwrap()
}

fn host(version: &str, format: &str) -> String {
    format!("{{version: '{version}', evidence: test, uidl_format: '{format}'}}")
}

fn actual(source: &str, target: &str) -> Actual {
    let source = if source.is_empty() {
        String::new()
    } else {
        format!("source: {source}, ")
    };
    serde_yaml::from_str(&format!("{{{source}target: {target}}}")).unwrap()
}

fn receipt(authority: &str, format: Option<&str>) -> Receipt {
    let format = format.map_or_else(String::new, |f| format!(", uidl_format: '{f}'"));
    serde_yaml::from_str(&format!(
        "{{version: 1, name: t, authority: {authority}, since: '2026-01-01T00:00:00Z'{format}}}"
    ))
    .unwrap()
}

fn diff(manifest: &Manifest, actual: &Actual, receipt: Option<&Receipt>) -> Draft {
    super::diff(manifest, actual, &Resolved::default(), receipt)
}

fn problem(draft: &Draft) -> &Problem {
    match &draft.blocked[0].by {
        Obstacle::Dovecot { problem } => problem,
        other => panic!("{other}"),
    }
}

/// The text of the drop-in that is planned.
fn written(draft: &Draft, actual: &Actual) -> String {
    let [
        Action {
            change: Change::EditFile(edit),
            ..
        },
    ] = &draft.actions[..]
    else {
        panic!("one edit is expected: {draft:?}");
    };
    edit::apply(edit, actual.drop_in.content.as_deref()).unwrap()
}

#[test]
fn equal_meaning_across_versions_is_settled() {
    let actual = actual(&host("2.3", "%08Xu%08Xv"), &host("2.4", DEFAULT_2_4));
    let draft = diff(&manifest("source"), &actual, None);
    assert!(draft.actions.is_empty() && draft.blocked.is_empty());
    assert!(draft.settled.contains(&Fact::UidlEnforced));
    assert_eq!(
        wanted(&manifest("source"), &actual, None).as_deref(),
        Some(DEFAULT_2_4)
    );
}

#[test]
fn another_meaning_is_enforced_in_the_targets_syntax_and_then_settled() {
    let mut actual = actual(&host("2.3", "%v-%u"), &host("2.4", DEFAULT_2_4));
    let draft = diff(&manifest("source"), &actual, None);
    let text = written(&draft, &actual);
    assert!(
        text.ends_with("protocol pop3 {\n  pop3_uidl_format = %{uidvalidity}-%{uid}\n}\n"),
        "{text}"
    );
    assert!(draft.actions[0].gives.contains(&Fact::UidlEnforced));
    assert_eq!(
        draft.actions[0].because.to_string(),
        format!("the target serves {DEFAULT_2_4}, clients know %{{uidvalidity}}-%{{uid}}")
    );
    let Change::EditFile(edit) = &draft.actions[0].change else {
        panic!("an edit was planned")
    };
    predict(&mut actual, edit);
    let again = diff(&manifest("source"), &actual, None);
    assert!(again.actions.is_empty() && again.blocked.is_empty());
    assert!(again.settled.contains(&Fact::UidlEnforced));
}

#[test]
fn an_old_target_gets_the_old_syntax() {
    let actual = actual(
        &host("2.4", "%{uid | lfill(4,\"0\")}"),
        &host("2.3", "%08Xu%08Xv"),
    );
    let draft = diff(&manifest("source"), &actual, None);
    assert!(written(&draft, &actual).contains("pop3_uidl_format = %04u\n"));
}

#[test]
fn a_literal_in_either_syntax_wins_over_the_source() {
    for literal in ["%f", "%{filename}"] {
        let actual = actual(&host("2.3", "%v-%u"), &host("2.4", DEFAULT_2_4));
        let draft = diff(&manifest(literal), &actual, None);
        assert!(written(&draft, &actual).contains("pop3_uidl_format = %{filename}\n"));
    }
}

#[test]
fn after_the_cutover_the_receipt_decides() {
    let receipt = receipt("target", Some("%{uid}"));
    for source in [String::new(), host("2.3", "%v-%u")] {
        let actual = actual(&source, &host("2.4", DEFAULT_2_4));
        let draft = diff(&manifest("source"), &actual, Some(&receipt));
        assert!(written(&draft, &actual).contains("pop3_uidl_format = %{uid}\n"));
    }
}

#[test]
fn a_cutover_that_recorded_no_format_leaves_the_target_alone() {
    let actual = actual("", &host("2.4", DEFAULT_2_4));
    let draft = diff(&manifest("source"), &actual, Some(&receipt("target", None)));
    assert!(draft.actions.is_empty() && draft.blocked.is_empty());
    assert!(draft.settled.contains(&Fact::UidlEnforced));
}

#[test]
fn what_cannot_be_translated_blocks_and_is_named() {
    let actual = actual(&host("2.3", "%Nf"), &host("2.4", DEFAULT_2_4));
    let draft = diff(&manifest("source"), &actual, None);
    let said = problem(&draft).to_string();
    assert!(
        said.contains("the source serves the UIDL format `%Nf`"),
        "{said}"
    );
    assert!(said.contains("write it as dovecot.uidl_format"), "{said}");
    assert_eq!(wanted(&manifest("source"), &actual, None), None);
}

#[test]
fn what_needs_no_translation_is_taken_as_it_is() {
    let actual = actual(&host("2.3", "%Nf"), &host("2.3", "%08Xu%08Xv"));
    let draft = diff(&manifest("source"), &actual, None);
    assert!(written(&draft, &actual).contains("pop3_uidl_format = %Nf\n"));
}

#[test]
fn a_missing_dovecot_blocks_on_either_side() {
    let absent = "{version: absent}";
    let target_lacks = actual(&host("2.3", "%u"), absent);
    let draft = diff(&manifest("source"), &target_lacks, None);
    assert_eq!(problem(&draft), &Problem::TargetWithoutDovecot);

    let source_lacks = actual(absent, &host("2.4", DEFAULT_2_4));
    let draft = diff(&manifest("source"), &source_lacks, None);
    assert_eq!(problem(&draft), &Problem::SourceWithoutDovecot);
    let draft = diff(&manifest("%08Xu%08Xv"), &source_lacks, None);
    assert!(
        draft.settled.contains(&Fact::UidlEnforced),
        "a literal needs no source"
    );

    let source_gone = actual("", &host("2.4", DEFAULT_2_4));
    let draft = diff(&manifest("source"), &source_gone, None);
    assert_eq!(problem(&draft), &Problem::SourceOutOfReach);
}

#[test]
fn a_drop_in_that_would_do_nothing_is_not_written() {
    let base = format!(
        "source: {}, target: {}",
        host("2.3", "%u"),
        host("2.4", DEFAULT_2_4)
    );
    for (effect, says) in [
        (
            "{kind: not_included, main: /etc/dovecot/dovecot.conf}",
            "add the line `!include_try /etc/dovecot/conf.d/*.conf` at the end of \
             /etc/dovecot/dovecot.conf",
        ),
        (
            "{kind: beaten, by: {file: /etc/dovecot/local.conf, line: 3, value: x, \
             scope: {kind: pop3, section: protocol pop3}}}",
            "`pop3_uidl_format = x` at /etc/dovecot/local.conf:3 on the target beats our drop-in",
        ),
    ] {
        let actual: Actual =
            serde_yaml::from_str(&format!("{{{base}, drop_in: {{effect: {effect}}}}}")).unwrap();
        let draft = diff(&manifest("source"), &actual, None);
        assert!(draft.actions.is_empty());
        let said = problem(&draft).to_string();
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn the_plan_says_who_read_what() {
    let mut actual = actual(&host("2.3", "%u"), &host("2.4", "%{uid}"));
    actual.target.read_by = ReadBy::Doveconf;
    actual.target.doubts.push("odd".to_owned());
    let draft = diff(&manifest("source"), &actual, None);
    let texts: Vec<&str> = draft.notes.iter().map(|n| n.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "the source serves %u, read by reconcile's own reader (Dovecot 2.3 or before; test)",
            "the target serves %{uid}, read by doveconf (Dovecot 2.4; test)",
            "on the target: odd",
        ]
    );
    assert_eq!(draft.notes[2].level, Level::Warning);
}

#[test]
fn rows_show_the_diff() {
    let actual = actual(&host("2.3", "%u"), &host("2.4", DEFAULT_2_4));
    let draft = diff(&manifest("source"), &actual, None);
    let Change::EditFile(edit) = &draft.actions[0].change else {
        panic!("an edit was planned")
    };
    let rows = rows(edit);
    assert_eq!(rows[0].sign, Sign::Create);
    assert_eq!(rows[0].title, drop_in::PATH);
    assert!(
        rows[0]
            .details
            .contains(&"+  pop3_uidl_format = %{uid}".to_owned())
    );
}
