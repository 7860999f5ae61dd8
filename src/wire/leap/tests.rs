use proptest::prelude::*;

use super::*;
use crate::wire::testing::vectors;

const MONDAY_HEADER: &str = "#$ 3960835200\n#@ 3991593600\n";

/// The built-in table as a list, with `more` behind it.
fn list(header: &str, more: &str) -> String {
    let mut text = header.to_owned();
    for (ntp_s, tai_s) in BUILTIN {
        text.push_str(&format!("{ntp_s}\t{tai_s}\t# a day\n"));
    }
    text + more
}

fn seconds(unix_s: u64) -> Duration {
    Duration::from_secs(unix_s)
}

fn mosaic(seconds: u64, nanos: u32) -> Timestamp {
    Timestamp::from_nanos(seconds * 1_000_000_000 + u64::from(nanos)).unwrap()
}

#[test]
fn the_timestamps_of_the_vectors_hold_both_ways() {
    let table = LeapTable::builtin();
    for case in vectors()["timestamps"].as_array().unwrap() {
        let unix_s = case["unixtime"].as_u64().unwrap();
        let nanos = u32::try_from(case["nanos"].as_u64().unwrap()).unwrap();
        let unix = Duration::new(unix_s, nanos);
        let expected: u64 = case["mosaic_ns"].as_str().unwrap().parse().unwrap();
        assert_eq!(table.to_mosaic(unix).nanos(), expected);
        assert_eq!(table.to_unix(table.to_mosaic(unix)), unix);
    }
}

#[test]
fn the_difference_is_what_the_specification_says_it_was() {
    let table = LeapTable::builtin();
    let check = |unix_s, ahead_s| {
        assert_eq!(
            table.to_mosaic(seconds(unix_s)),
            mosaic(unix_s + ahead_s, 0),
            "{unix_s}"
        );
    };
    check(0, 0);
    check(63_071_999, 0);
    check(63_072_000, 1);
    check(78_796_799, 1);
    check(78_796_800, 2);
    check(1_483_228_799, 27);
    check(1_483_228_800, 28);
    check(1_732_829_887, 28);
    check(4_000_000_000, 28);
}

#[test]
fn all_of_a_leap_second_is_one_moment_of_the_unix_clock() {
    let table = LeapTable::builtin();
    let check = |mosaic_s, nanos, unix_s, unix_nanos| {
        let unix = Duration::new(unix_s, unix_nanos);
        assert_eq!(table.to_unix(mosaic(mosaic_s, nanos)), unix, "{mosaic_s}");
    };
    check(1_483_228_826, 999_999_999, 1_483_228_799, 999_999_999);
    check(1_483_228_827, 0, 1_483_228_800, 0);
    check(1_483_228_827, 999_999_999, 1_483_228_800, 0);
    check(1_483_228_828, 0, 1_483_228_800, 0);
    check(1_483_228_828, 1, 1_483_228_800, 1);
    check(63_072_000, 5, 63_072_000, 0);
}

#[test]
fn a_leap_second_is_told_from_its_neighbours() {
    let table = LeapTable::builtin();
    let moment = |mosaic_s| table.moment(mosaic(mosaic_s, 7));
    let expected = |unix_s, leap_s| Moment {
        unix_s,
        leap_s,
        nanos: 7,
    };
    assert_eq!(moment(1_483_228_826), expected(1_483_228_799, 0));
    assert_eq!(moment(1_483_228_827), expected(1_483_228_799, 1));
    assert_eq!(moment(1_483_228_828), expected(1_483_228_800, 0));
}

#[test]
fn a_time_past_the_last_timestamp_is_the_last_one() {
    let table = LeapTable::builtin();
    assert_eq!(table.to_mosaic(Duration::MAX), Timestamp::MAX);
    assert_eq!(table.to_mosaic(seconds(u64::MAX)), Timestamp::MAX);
    assert!(table.to_unix(Timestamp::MAX) < seconds(1 << 34));
}

#[test]
fn a_list_with_the_built_in_lines_is_the_built_in_table() {
    assert_eq!(
        LeapTable::parse(&list(MONDAY_HEADER, "")),
        Ok(LeapTable::builtin())
    );
}

#[test]
fn a_newer_list_brings_its_leap_seconds_along() {
    let text = list(
        "#$ 4000000000\n#@ 4020000000\n",
        "4007318400 38 # 27 Dec 2026\n",
    );
    let newer = LeapTable::parse(&text).unwrap();
    let chosen = LeapTable::newest(LeapTable::builtin(), newer.clone());
    assert_eq!(chosen, newer);
    let leap = 4_007_318_400 - NTP_TO_UNIX_S;
    assert_eq!(chosen.to_mosaic(seconds(leap - 1)), mosaic(leap + 27, 0));
    assert_eq!(chosen.to_mosaic(seconds(leap)), mosaic(leap + 29, 0));
    assert_eq!(chosen.to_unix(mosaic(leap + 28, 9)), seconds(leap));
}

#[test]
fn a_removed_second_does_not_make_time_run_backwards() {
    let text = list("#$ 4000000000\n#@ 4020000000\n", "4007318400 36\n");
    let table = LeapTable::parse(&text).unwrap();
    let leap = 4_007_318_400 - NTP_TO_UNIX_S;
    assert_eq!(table.to_mosaic(seconds(leap - 1)), mosaic(leap + 27, 0));
    assert_eq!(table.to_mosaic(seconds(leap)), mosaic(leap + 27, 0));
    assert_eq!(
        table.to_unix(mosaic(leap + 26, 1)),
        Duration::new(leap - 2, 1)
    );
    assert_eq!(table.to_unix(mosaic(leap + 27, 1)), Duration::new(leap, 1));
}

#[test]
fn the_older_of_two_tables_is_not_used() {
    let older = LeapTable::parse(&list("#$ 3900000000\n#@ 3991593600\n", "")).unwrap();
    let builtin = LeapTable::builtin();
    assert_eq!(LeapTable::newest(builtin.clone(), older.clone()), builtin);
    assert_eq!(LeapTable::newest(older, builtin.clone()), builtin);
    let longer = LeapTable::parse(&list("#$ 3960835200\n#@ 4000000000\n", "")).unwrap();
    assert_eq!(LeapTable::newest(builtin, longer.clone()), longer);
}

#[test]
fn a_list_that_cannot_be_right_is_refused() {
    let check = |text: &str, expected| {
        assert_eq!(LeapTable::parse(text), Err(expected), "{text}");
    };
    check("", LeapError::Dates);
    check(&list("#$ 3960835200\n", ""), LeapError::Dates);
    check("#$ soon\n", LeapError::Line { line: 1 });
    check("\n#@ -1\n", LeapError::Line { line: 2 });
    check("2272060800\n", LeapError::Line { line: 1 });
    check("2272060800 10 1972\n", LeapError::Line { line: 1 });
    check("2272060800 8\n", LeapError::Line { line: 1 });
    check("1 10\n", LeapError::Line { line: 1 });
    check("99999999999999999999 10\n", LeapError::Line { line: 1 });
    check(
        "2272060800 10\n2272060800 11\n",
        LeapError::Order { line: 2 },
    );
    check(
        "2272060800 10\n2287785600 12\n",
        LeapError::Order { line: 2 },
    );
    check(MONDAY_HEADER, LeapError::History);
    check(
        &format!("{MONDAY_HEADER}2272060800 10\n"),
        LeapError::History,
    );
}

#[test]
fn the_table_in_use_knows_all_that_the_built_in_one_knows() {
    let current = LeapTable::current();
    assert!(current.continues_history());
    assert!(current.expires() >= LeapTable::builtin().expires());
}

#[test]
fn an_expired_table_is_used_all_the_same() {
    let table = LeapTable::builtin();
    let later = table.expires() + seconds(400 * 86_400);
    table.warn_if_expired(later);
    table.warn_if_expired(later);
    assert_eq!(table.to_mosaic(later), mosaic(later.as_secs() + 28, 0));
}

proptest! {
    #[test]
    fn a_unix_time_comes_back(unix_s in 0..9_000_000_000_u64, nanos in 0..1_000_000_000_u32) {
        let table = LeapTable::builtin();
        let unix = Duration::new(unix_s, nanos);
        prop_assert_eq!(table.to_unix(table.to_mosaic(unix)), unix);
    }

    #[test]
    fn a_timestamp_comes_back_unless_it_is_in_a_leap_second(nanos in 0..u64::MAX >> 1) {
        let table = LeapTable::builtin();
        let timestamp = Timestamp::from_nanos(nanos).unwrap();
        let moment = table.moment(timestamp);
        prop_assert_eq!(table.timestamp_of(moment), Some(timestamp));
        if moment.leap_s == 0 {
            prop_assert_eq!(table.to_mosaic(table.to_unix(timestamp)), timestamp);
        }
    }

    #[test]
    fn neither_clock_runs_backwards_while_the_other_runs(a in around_a_leap(), b in around_a_leap()) {
        let table = LeapTable::builtin();
        let (early, late) = (a.min(b), a.max(b));
        prop_assert!(table.to_unix(early) <= table.to_unix(late));
        let (early, late) = (table.to_unix(early), table.to_unix(late));
        prop_assert!(table.to_mosaic(early) <= table.to_mosaic(late));
    }

    #[test]
    fn any_text_is_answered(text in "[#$@0-9 \n]{0,80}") {
        prop_assert!(LeapTable::parse(&text).is_err());
    }
}

/// Timestamps within two seconds of one of the leap seconds.
fn around_a_leap() -> impl Strategy<Value = Timestamp> {
    (0..BUILTIN.len(), 0..4_000_000_000_u64).prop_map(|(change, nanos)| {
        let start_s = LeapTable::builtin().changes[change].mosaic_s() - 2;
        mosaic(start_s, 0).saturating_add(Duration::from_nanos(nanos))
    })
}
