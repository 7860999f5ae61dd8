use std::collections::BTreeSet;
use std::fmt::Write;

use super::*;
use crate::wire::ResultCode;

/// The list of the checks as docs/CONFORMANCE.md has it.
fn table() -> String {
    let mut table = String::from("| check | source | what must hold |\n| --- | --- | --- |\n");
    for check in groups::all() {
        let Check {
            id, source, text, ..
        } = check;
        writeln!(table, "| `{id}` | {source} | {text} |").unwrap();
    }
    table
}

#[test]
fn the_documentation_lists_the_checks_that_there_are() {
    let document = include_str!("../../../docs/CONFORMANCE.md");
    assert!(
        document.contains(&table()),
        "docs/CONFORMANCE.md must hold this table:\n{}",
        table()
    );
}

#[test]
fn every_check_has_an_id_of_its_own_and_a_sentence() {
    let ids: BTreeSet<&str> = groups::all().map(|check| check.id).collect();
    assert_eq!(ids.len(), groups::all().count());
    for check in groups::all() {
        let is_plain = |c: char| c.is_ascii_lowercase() || c == '.' || c == '-';
        assert!(check.id.chars().all(is_plain), "{}", check.id);
        assert!(check.text.ends_with('.'), "{}", check.id);
        assert!(!check.text.contains('|'), "{}", check.id);
    }
}

#[test]
fn what_is_invalid_is_called_so_or_not_looked_at() {
    let judge = super::world::judge_bad;
    assert_eq!(judge(ResultCode::Invalid), Ok(()));
    for taken in [ResultCode::Accepted, ResultCode::Duplicate] {
        assert!(matches!(judge(taken), Err(Stop::Failed { .. })));
    }
    let refused = judge(ResultCode::Unauthorized);
    assert!(matches!(refused, Err(Stop::Skipped(_))));
}

#[tokio::test]
async fn a_check_that_breaks_off_has_failed() {
    let broken: JoinHandle<Outcome> = tokio::spawn(async { panic!("on purpose") });
    let outcome = outcome_of(broken).await;
    assert!(matches!(outcome, Err(Stop::Failed { .. })), "{outcome:?}");
}

#[test]
fn checks_are_chosen_by_group_name_or_pattern() {
    let check = |pattern: &str, id: &str, expected: bool| {
        assert_eq!(fits(id, pattern), expected, "{pattern} {id}");
    };
    check("access", "access.same.get", true);
    check("access.same", "access.same.get", true);
    check("access.sam", "access.same.get", false);
    check("access.same.get", "access.same.get", true);
    check("acc", "access.same.get", false);
    check("*.get", "access.same.get", true);
    check("*.get", "access.same.get.x", false);
    check("*same*", "access.same.get", true);
    check("access.*.get", "access.same.get", true);
    check("access.*.get", "outbox.same.get", false);
}
