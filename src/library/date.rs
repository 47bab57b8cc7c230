//! Dates as people and cameras write them.

use std::ops::Range;

const DAY_MS: i64 = 86_400_000;

/// Time that a date names, in milliseconds since 1970: a year (`2024`), a month
/// (`2024-06`), a day (`2024-06-01`), or a second, as EXIF writes it
/// (`2024:06:01 12:30:00`). There is no time zone: a camera keeps its owner's time.
pub fn date_span(text: &str) -> Option<Range<i64>> {
    let text = text.trim();
    let (date, time) = match text.split_once([' ', 'T']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let numbers = |text: &str| -> Option<Vec<i64>> {
        (text.split(['-', ':', '/']))
            .map(
                |part| match part.len() <= 4 && part.bytes().all(|b| b.is_ascii_digit()) {
                    true => part.parse().ok(),
                    false => None,
                },
            )
            .collect()
    };
    let date = numbers(date)?;
    let (year, month, day) = match date[..] {
        [year] => (year, 1, 1),
        [year, month] => (year, month, 1),
        [year, month, day] => (year, month, day),
        _ => return None,
    };
    // Cameras without a clock write zeros.
    if year == 0 || !(1..=12).contains(&month) {
        return None;
    }
    let (next_year, next_month) = match month {
        12 => (year + 1, 1),
        month => (year, month + 1),
    };
    if day < 1 || days(year, month, day) >= days(next_year, next_month, 1) {
        return None;
    }
    let start = days(year, month, day) * DAY_MS;
    let end = match date.len() {
        1 => days(year + 1, 1, 1) * DAY_MS,
        2 => days(next_year, next_month, 1) * DAY_MS,
        _ => start + DAY_MS,
    };
    let Some(time) = time else {
        return Some(start..end);
    };
    // Fractions of a second and time zones are left out.
    let time = numbers(time.split(['.', '+', 'Z']).next()?)?;
    let (hour, minute, second) = match time[..] {
        [hour, minute] => (hour, minute, 0),
        [hour, minute, second] => (hour, minute, second),
        _ => return None,
    };
    // 60 is a leap second.
    if date.len() != 3 || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let start = start + ((hour * 60 + minute) * 60 + second) * 1000;
    let length = if time.len() == 3 { 1000 } else { 60_000 };
    Some(start..start + length)
}

/// Days from 1970-01-01 in the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March end with the leap day.
    let (year, month) = match month > 2 {
        true => (year, month - 3),
        false => (year - 1, month + 9),
    };
    let before = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // 306 days from March to December, in a pattern of five months.
    before + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_people_and_cameras_write_them() {
        assert_eq!(date_span("1970-01-01"), Some(0..DAY_MS));
        // `date -u -d 2024-02-29 +%s`
        let leap = 1_709_164_800_000;
        assert_eq!(date_span("2024-02-29"), Some(leap..leap + DAY_MS));
        assert_eq!(
            date_span("2024-02"),
            Some(leap - 28 * DAY_MS..leap + DAY_MS)
        );
        let year = date_span("2024").unwrap();
        assert_eq!((year.end - year.start) / DAY_MS, 366);
        let second = leap + ((12 * 60 + 30) * 60 + 5) * 1000;
        assert_eq!(
            date_span("2024:02:29 12:30:05"),
            Some(second..second + 1000)
        );
        assert_eq!(
            date_span("2024-02-29T12:30"),
            Some(second - 5000..second + 55_000)
        );
        assert_eq!(
            date_span(" 2024-02-29T12:30:05.123Z ").map(|s| s.start),
            Some(second)
        );
        // `date -u -d 1900-03-01 +%s`
        assert_eq!(
            date_span("1900-03-01").map(|s| s.start),
            Some(-2_203_891_200_000)
        );
    }

    #[test]
    fn what_is_no_date_is_none() {
        for wrong in [
            "",
            "yesterday",
            "0000:00:00 00:00:00",
            "    :  :     :  :  ",
            "2023-02-29",
            "2024-13",
            "2024-00-01",
            "2024-01-00",
            "2024-01-32",
            "2024-01-01 25:00:00",
            "2024-01-01 12",
            "2024-01 12:00",
            "99999",
            "-5",
            "2024-01-01-01",
            "猫",
        ] {
            assert_eq!(date_span(wrong), None, "{wrong}");
        }
    }
}
