use proptest::prelude::*;

use super::*;
use crate::wire::testing::{array, vectors};

#[test]
fn the_bytes_of_the_vectors_are_their_timestamps() {
    for case in vectors()["timestamps"].as_array().unwrap() {
        let nanos: u64 = case["mosaic_ns"].as_str().unwrap().parse().unwrap();
        let timestamp = Timestamp::from_nanos(nanos).unwrap();
        assert_eq!(timestamp.to_bytes(), array(&case["bytes"]));
        assert_eq!(Timestamp::from_bytes(timestamp.to_bytes()), Ok(timestamp));
    }
}

#[test]
fn the_example_of_the_specification_holds() {
    let timestamp = Timestamp::from_unix(Duration::from_secs(1_732_829_887));
    assert_eq!(
        timestamp.to_bytes(),
        0x180c_3fa0_73be_ce00_u64.to_be_bytes()
    );
    assert_eq!(timestamp.to_string(), "2024-11-28T21:38:07.000000000Z");
}

#[test]
fn the_first_bit_is_always_zero() {
    assert_eq!(Timestamp::from_nanos(1 << 63), Err(TimeError::FirstBit));
    assert_eq!(Timestamp::from_bytes([0xff; 8]), Err(TimeError::FirstBit));
    assert_eq!(Timestamp::from_nanos((1 << 63) - 1), Ok(Timestamp::MAX));
}

#[test]
fn sums_stay_in_range() {
    let second = Duration::from_secs(1);
    assert_eq!(Timestamp::MAX.saturating_add(second), Timestamp::MAX);
    assert_eq!(Timestamp::MIN.saturating_add(Duration::MAX), Timestamp::MAX);
    assert_eq!(Timestamp::MIN.saturating_sub(second), Timestamp::MIN);
    assert_eq!(Timestamp::MAX.saturating_sub(Duration::MAX), Timestamp::MIN);
    let later = Timestamp::MIN.saturating_add(second);
    assert_eq!(later.nanos(), 1_000_000_000);
    assert_eq!(later.saturating_sub(second), Timestamp::MIN);
    assert_eq!(later.since(Timestamp::MIN), second);
    assert_eq!(Timestamp::MIN.since(later), Duration::ZERO);
}

#[test]
fn now_lies_between_the_making_of_this_program_and_the_end_of_time() {
    let earlier: Timestamp = "2025-01-01T00:00:00Z".parse().unwrap();
    assert!(Timestamp::now() > earlier);
    assert!(Timestamp::now() < Timestamp::MAX);
}

#[test]
fn a_time_is_read_in_every_form_it_is_written() {
    let check = |text: &str, nanos| {
        let expected = Timestamp::from_nanos(nanos);
        assert_eq!(text.parse(), expected, "{text}");
    };
    let whole = 1_732_829_915_000_000_000;
    check("1732829915000000000", whole);
    check("0", 0);
    check("1970-01-01T00:00:00Z", 0);
    check("2024-11-28T21:38:07Z", whole);
    check("2024-11-28t21:38:07z", whole);
    check("2024-11-28 21:38:07Z", whole);
    check("2024-11-28T21:38:07.5Z", whole + 500_000_000);
    check("2024-11-28T21:38:07.000000001Z", whole + 1);
    check("2024-11-28T22:38:07+01:00", whole);
    check("2024-11-28T16:08:07-05:30", whole);
    check("2024-11-28T21:38:07-00:00", whole);
}

#[test]
fn a_leap_second_is_written_and_read_as_the_sixtieth() {
    let inside = Timestamp::from_nanos(1_483_228_827_250_000_000).unwrap();
    assert_eq!(inside.to_string(), "2016-12-31T23:59:60.250000000Z");
    assert_eq!(inside.to_string().parse(), Ok(inside));
    assert_eq!("2017-01-01T00:59:60.25+01:00".parse(), Ok(inside));
    let not_one = ["2016-12-31T22:59:60Z", "2017-12-31T23:59:60Z"];
    for text in not_one {
        assert_eq!(
            text.parse::<Timestamp>(),
            Err(TimeError::NoSuchTime),
            "{text}"
        );
    }
}

#[test]
fn a_text_that_is_no_time_is_refused() {
    let check = |text: &str, expected| {
        assert_eq!(text.parse::<Timestamp>(), Err(expected), "{text}");
    };
    for text in [
        "",
        "now",
        "-1",
        "2024-11-28",
        "2024-11-28T21:38:07",
        "2024-11-28T21:38Z",
        "2024-11-28T21:38:07.Z",
        "2024-11-28T21:38:07.0000000001Z",
        "2024-11-28T21:38:07+1:00",
        "2024-11-28T21:38:07+24:00",
        "2024-11-28T21:38:07Z ",
        "2024-11-28T24:00:00Z",
        "2024-11-28T21:60:00Z",
        "2024-11-28T21:38:61Z",
        "+024-11-28T21:38:07Z",
        "2024-11-28T21:38:07é",
    ] {
        check(text, TimeError::Text);
    }
    check("2023-02-29T00:00:00Z", TimeError::NoSuchTime);
    check("1969-12-31T23:59:59Z", TimeError::Range);
    check("1970-01-01T00:00:00+00:01", TimeError::Range);
    check("2300-01-01T00:00:00Z", TimeError::Range);
    check("9223372036854775808", TimeError::Range);
    check("99999999999999999999", TimeError::Range);
}

#[test]
fn the_ends_of_time_are_written_and_read() {
    for timestamp in [Timestamp::MIN, Timestamp::MAX] {
        assert_eq!(timestamp.to_string().parse(), Ok(timestamp));
    }
    assert!(Timestamp::MAX.to_string().starts_with("2262-04-11T23:4"));
}

proptest! {
    #[test]
    fn a_timestamp_comes_back_from_its_text(nanos in 0..=u64::MAX >> 1) {
        let timestamp = Timestamp::from_nanos(nanos).unwrap();
        prop_assert_eq!(timestamp.to_string().parse(), Ok(timestamp));
        prop_assert_eq!(nanos.to_string().parse(), Ok(timestamp));
    }

    #[test]
    fn texts_sort_like_the_times_they_say(a in 0..=u64::MAX >> 1, b in 0..=u64::MAX >> 1) {
        let text = |nanos| Timestamp::from_nanos(nanos).unwrap().to_string();
        prop_assert_eq!(a.cmp(&b), text(a).cmp(&text(b)));
    }

    #[test]
    fn any_text_is_answered(text in "[0-9TZtz:. +-]{0,40}") {
        if let Ok(timestamp) = text.parse::<Timestamp>() {
            prop_assert!(timestamp <= Timestamp::MAX);
        }
    }
}
