//! From a clock on the wall to moments. Where a zone's clocks are set, the rule is that of Vixie cron: what names times of
//! the day comes once a day, at the end of a gap if its time was skipped, and the first time if it came twice; what comes
//! at intervals (seconds, minutes or hours begin with `*`) comes by the clock as it runs, so not in a gap, and twice in a
//! time that is repeated.

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use super::Expression;
use crate::task::Timestamp;

/// The first tick after this moment; none before the year 2100.
pub(super) fn next(expression: &Expression, zone: Tz, after: Timestamp) -> Option<Timestamp> {
    let after = DateTime::from_timestamp(i64::try_from(after.0 / 1000).ok()?, 0)?.with_timezone(&zone);
    let next = next_in(expression, &after)?;
    u64::try_from(next.timestamp_millis()).ok().map(Timestamp)
}

fn next_in(expression: &Expression, after: &DateTime<Tz>) -> Option<DateTime<Tz>> {
    let (zone, is_fixed) = (after.timezone(), expression.is_fixed());
    let mut wall = after.naive_local();
    let found = loop {
        wall = expression.next_on_the_wall(wall)?;
        let moment = match zone.from_local_datetime(&wall) {
            MappedLocalTime::Single(moment) => moment,
            MappedLocalTime::Ambiguous(first, second) => {
                if is_fixed || first > *after {
                    first
                } else {
                    second
                }
            }
            MappedLocalTime::None if is_fixed => end_of_gap(zone, wall),
            MappedLocalTime::None => continue,
        };
        if moment > *after {
            break moment;
        }
    };
    match second_pass(after).filter(|_| !is_fixed) {
        None => Some(found),
        Some(begin) => {
            let wall = expression.next_on_the_wall(begin.naive_local() - TimeDelta::seconds(1))?;
            Some(zone.from_local_datetime(&wall).latest().map_or(found, |again| again.min(found)))
        }
    }
}

/// The moment when the clocks are set back, if this one stands in a time that is about to be repeated.
fn second_pass(now: &DateTime<Tz>) -> Option<DateTime<Tz>> {
    let MappedLocalTime::Ambiguous(first, second) = now.timezone().from_local_datetime(&now.naive_local()) else {
        return None;
    };
    let offset = now.offset().fix();
    let is_set_back = |moment: &DateTime<Tz>| moment.offset().fix() != offset;
    (first == *now).then(|| first_that(now.clone(), second, is_set_back))
}

/// The first moment after a gap that this time on the wall falls into.
fn end_of_gap(zone: Tz, skipped: NaiveDateTime) -> DateTime<Tz> {
    let middle = skipped.and_utc().with_timezone(&zone);
    // No zone is further from UTC.
    let day = TimeDelta::hours(26);
    first_that(middle.clone() - day, middle + day, |moment| moment.naive_local() > skipped)
}

/// The first second after `before`, up to `until`, that is so: it is at `until`, and stays so from the first on.
fn first_that(before: DateTime<Tz>, until: DateTime<Tz>, is_so: impl Fn(&DateTime<Tz>) -> bool) -> DateTime<Tz> {
    let (zone, mut before, mut until) = (before.timezone(), before.timestamp(), until.timestamp());
    let at = |second| DateTime::<Utc>::from_timestamp(second, 0).unwrap_or_default().with_timezone(&zone);
    while before + 1 < until {
        let middle = before + (until - before) / 2;
        *(if is_so(&at(middle)) { &mut until } else { &mut before }) = middle;
    }
    at(until)
}
