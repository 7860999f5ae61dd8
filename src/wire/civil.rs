//! Days since 1970-01-01 and dates of the Gregorian calendar, one from the other.
//!
//! The year is taken to begin in March, so that the leap day is its last and month lengths follow
//! one line.

/// A date of the Gregorian calendar, in 1970 or later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Date {
    /// Year, 1970 to 9999.
    pub(super) year: u64,
    /// Month, 1 to 12.
    pub(super) month: u64,
    /// Day of the month, from 1.
    pub(super) day: u64,
}

impl Date {
    /// The date that lies `days` days behind 1970-01-01.
    pub(super) const fn from_days(days: u64) -> Self {
        let days = days + DAYS_BEFORE_1970;
        let era = days / DAYS_OF_ERA;
        let day_of_era = days % DAYS_OF_ERA;
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - days_before_year(year_of_era);
        let months_from_march = (5 * day_of_year + 2) / 153;
        let is_next_year = months_from_march >= 10;
        Self {
            year: era * 400 + year_of_era + is_next_year as u64,
            month: if is_next_year {
                months_from_march - 9
            } else {
                months_from_march + 3
            },
            day: day_of_year - days_before_month(months_from_march) + 1,
        }
    }

    /// How many days the date lies behind 1970-01-01, or `None` where there is no such date in the
    /// years 1970 to 9999.
    pub(super) fn days(self) -> Option<u64> {
        let Self { year, month, day } = self;
        if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || day == 0 {
            return None;
        }
        let from_march = (month + 9) % 12;
        let march_year = year - u64::from(month <= 2);
        let day_of_era =
            days_before_year(march_year % 400) + days_before_month(from_march) + day - 1;
        let days = (march_year / 400 * DAYS_OF_ERA + day_of_era).checked_sub(DAYS_BEFORE_1970)?;
        // A day that the month does not have (31 June) comes back as one of the next month.
        (Self::from_days(days) == self).then_some(days)
    }
}

/// Days of an era of 400 years that lie before its year `year_of_era`.
const fn days_before_year(year_of_era: u64) -> u64 {
    year_of_era * 365 + year_of_era / 4 - year_of_era / 100
}

/// Days of a year that lie before its month, counted from March.
const fn days_before_month(months_from_march: u64) -> u64 {
    (153 * months_from_march + 2) / 5
}

/// Days of 400 years.
const DAYS_OF_ERA: u64 = 146_097;

/// Days from 0000-03-01 to 1970-01-01.
const DAYS_BEFORE_1970: u64 = 719_468;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates_lie_where_the_calendar_has_them() {
        let check = |(year, month, day), days| {
            let date = Date { year, month, day };
            assert_eq!(date.days(), Some(days), "{date:?}");
            assert_eq!(Date::from_days(days), date);
        };
        check((1970, 1, 1), 0);
        check((1972, 1, 1), 730);
        check((2000, 2, 29), 11_016);
        check((2000, 3, 1), 11_017);
        check((2017, 1, 1), 17_167);
        check((2024, 11, 28), 20_055);
        check((9999, 12, 31), 2_932_896);
    }

    #[test]
    fn every_day_of_three_centuries_follows_its_predecessor() {
        let mut last = Date::from_days(0);
        for days in 1..110_000 {
            let date = Date::from_days(days);
            assert_eq!(date.days(), Some(days));
            let same_month = (last.year, last.month) == (date.year, date.month);
            assert_eq!(date.day, if same_month { last.day + 1 } else { 1 });
            last = date;
        }
    }

    #[test]
    fn a_date_that_does_not_exist_is_refused() {
        let dates = [
            (1969, 12, 31),
            (10_000, 1, 1),
            (2023, 2, 29),
            (2100, 2, 29),
            (2024, 4, 31),
            (2024, 1, 32),
            (2024, 0, 1),
            (2024, 13, 1),
            (2024, 1, 0),
        ];
        for (year, month, day) in dates {
            let date = Date { year, month, day };
            assert_eq!(date.days(), None, "{date:?}");
        }
    }
}
