//! Cron expressions as `crontab(5)` has them, on top of the crate `cron`, whose own numbering (Sunday is 1) and whose AND
//! of the day fields are other ones: what was typed is read here, and handed to it as plain lists of numbers.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDateTime, Utc};
use cron::Schedule;

/// When something comes by the clock: five fields, or six with seconds in front, or `@daily` and its like.
#[derive(Clone, Debug)]
pub struct Expression {
    text: String,
    /// Seconds, minutes and hours are given as numbers: it is meant for times of the day, not for intervals.
    is_fixed: bool,
    /// It comes when one of them does: two where both day fields are restricted.
    any: Vec<Schedule>,
}

/// The text is no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cron expression \"{text}\": {problem}")]
pub struct InvalidExpression {
    text: String,
    problem: String,
}

const MACROS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// One of the fields and what may stand in it.
struct Kind {
    name: &'static str,
    least: u32,
    most: u32,
    /// Of the first number and those after it.
    names: &'static [&'static str],
}

const SECOND: Kind = Kind { name: "second", least: 0, most: 59, names: &[] };
const MINUTE: Kind = Kind { name: "minute", least: 0, most: 59, names: &[] };
const HOUR: Kind = Kind { name: "hour", least: 0, most: 23, names: &[] };
const DAY: Kind = Kind { name: "day of month", least: 1, most: 31, names: &[] };
const MONTH: Kind = Kind { name: "month", least: 1, most: 12, names: &MONTHS };
const WEEKDAY: Kind = Kind { name: "day of week", least: 0, most: 7, names: &DAYS };

/// What stands in a field.
struct Field {
    numbers: BTreeSet<u32>,
    /// It begins with `*`: for `crontab(5)` it is no restriction, even with a step.
    has_star: bool,
}

impl Expression {
    /// Whether it names times of the day rather than intervals: neither seconds nor minutes nor hours begin with `*`.
    pub fn is_fixed(&self) -> bool {
        self.is_fixed
    }

    /// The first moment after this one, on a clock that is never set; none before the year 2100.
    pub fn next_on_the_wall(&self, after: NaiveDateTime) -> Option<NaiveDateTime> {
        let after: DateTime<Utc> = after.and_utc();
        self.any.iter().filter_map(|schedule| schedule.after(&after).next()).map(|next| next.naive_utc()).min()
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Expression {
    type Err = InvalidExpression;

    fn from_str(text: &str) -> Result<Expression, InvalidExpression> {
        let text = text.trim();
        read(text).map_err(|problem| {
            let text = text.chars().take(80).flat_map(char::escape_debug).collect();
            InvalidExpression { text, problem }
        })
    }
}

fn read(text: &str) -> Result<Expression, String> {
    let fields: Vec<&str> = resolve_macro(text)?.split_ascii_whitespace().collect();
    let [second, minute, hour, day, month, weekday] = match *fields.as_slice() {
        [minute, hour, day, month, weekday] => ["0", minute, hour, day, month, weekday],
        [second, minute, hour, day, month, weekday] => [second, minute, hour, day, month, weekday],
        _ => {
            let found = fields.len();
            return Err(format!(
                "expected minute, hour, day of month, month and day of week, or seconds before them, found {found} fields"
            ));
        }
    };
    let time = [SECOND.read(second)?, MINUTE.read(minute)?, HOUR.read(hour)?];
    let (day, month, weekday) = (DAY.read(day)?, MONTH.read(month)?, WEEKDAY.read(weekday)?);
    // As lists of numbers: Sunday is 1 there, and all of a field is `*`.
    let clock = time.each_ref().map(Field::list).join(" ");
    let weekdays = Field { numbers: weekday.numbers.iter().map(|day| day % 7 + 1).collect(), ..weekday };
    let weekdays_list = if weekdays.numbers.len() == 7 { "*".into() } else { weekdays.list() };
    let (days, months) = (day.list(), month.list());
    let texts = if day.has_star || weekdays.has_star {
        vec![format!("{clock} {days} {months} {weekdays_list}")]
    } else {
        vec![format!("{clock} {days} {months} *"), format!("{clock} * {months} {weekdays_list}")]
    };
    let any = texts.iter().map(|text| Schedule::from_str(text).map_err(|bad| bad.to_string()));
    let any = any.collect::<Result<Vec<_>, _>>()?;
    let expression = Expression { text: text.into(), is_fixed: time.iter().all(|field| !field.has_star), any };
    // Any year will do that leaves room for the next 29 February.
    let begin = DateTime::from_timestamp(1_767_225_600, 0).unwrap_or_default().naive_utc();
    expression.next_on_the_wall(begin).ok_or("expected a day that comes, found one that is in no calendar")?;
    Ok(expression)
}

fn resolve_macro(text: &str) -> Result<&str, String> {
    if !text.starts_with('@') {
        return Ok(text);
    }
    let known = MACROS.iter().find(|(name, _)| text.eq_ignore_ascii_case(name));
    known.map(|(_, fields)| *fields).ok_or_else(|| {
        let names = MACROS.map(|(name, _)| name).join(", ");
        format!("expected one of {names}")
    })
}

impl Kind {
    fn read(&self, text: &str) -> Result<Field, String> {
        let mut numbers = BTreeSet::new();
        for item in text.split(',') {
            let (range, step) = match item.split_once('/') {
                Some((range, step)) => (range, Some(self.step(step)?)),
                None => (item, None),
            };
            let (first, last) = match range.split_once('-') {
                _ if range == "*" => (self.least, self.most),
                Some((first, last)) => self.range(first, last)?,
                None if step.is_some() => {
                    let (name, most) = (self.name, self.most);
                    return Err(format!(
                        "{name}: expected a range before the step, such as {range}-{most}/…, found \"{item}\""
                    ));
                }
                None => (self.number(range)?, self.number(range)?),
            };
            numbers.extend((first..=last).step_by(step.unwrap_or(1)));
        }
        Ok(Field { numbers, has_star: text.starts_with('*') })
    }

    fn range(&self, first: &str, last: &str) -> Result<(u32, u32), String> {
        let (from, mut to) = (self.number(first)?, self.number(last)?);
        // `fri-sun`: as the end of a range Sunday is 7.
        if to == 0 && self.most == 7 && from > 0 {
            to = 7;
        }
        if from > to {
            return Err(format!("{}: expected a range upwards, found \"{first}-{last}\"", self.name));
        }
        Ok((from, to))
    }

    fn step(&self, text: &str) -> Result<usize, String> {
        let step = plain_number(text).filter(|&step| (1..=self.most).contains(&step));
        let step = step.map(|step| step as usize);
        step.ok_or_else(|| format!("{}: expected a step from 1 to {}, found \"{text}\"", self.name, self.most))
    }

    fn number(&self, text: &str) -> Result<u32, String> {
        let named = || self.names.iter().position(|name| text.eq_ignore_ascii_case(name));
        let number = plain_number(text).or_else(|| named().map(|place| place as u32 + u32::from(self.least == 1)));
        number.filter(|number| (self.least..=self.most).contains(number)).ok_or_else(|| {
            let Kind { name, least, most, names } = self;
            let names = names.first().map(|first| format!(", or a name such as {first}")).unwrap_or_default();
            format!("{name}: expected {least} to {most}{names}, found \"{text}\"")
        })
    }
}

fn plain_number(text: &str) -> Option<u32> {
    Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit())).and_then(|text| text.parse().ok())
}

impl Field {
    fn list(&self) -> String {
        self.numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_expression_says_why() {
        for (text, problem) in [
            ("", "found 0 fields"),
            ("* * * *", "found 4 fields"),
            ("0 0 0 1 1 * 2026", "found 7 fields"),
            ("60 * * * *", "minute: expected 0 to 59, found \"60\""),
            ("* 24 * * *", "hour: expected 0 to 23"),
            ("* * 0 * *", "day of month: expected 1 to 31"),
            ("* * * 13 *", "month: expected 1 to 12, or a name such as jan"),
            ("* * * * 8", "day of week: expected 0 to 7, or a name such as sun"),
            ("* * * * L", "found \"L\""),
            ("* * ? * *", "found \"?\""),
            ("1,,2 * * * *", "found \"\""),
            ("-1 * * * *", "found \"\""),
            ("+1 * * * *", "found \"+1\""),
            ("5-1 * * * *", "expected a range upwards, found \"5-1\""),
            ("*/0 * * * *", "expected a step from 1 to 59, found \"0\""),
            ("5/15 * * * *", "expected a range before the step"),
            ("0 0 30 2 *", "found one that is in no calendar"),
            ("@reboot", "expected one of @yearly"),
            ("a\nb", "found 2 fields"),
        ] {
            let error = text.parse::<Expression>().unwrap_err().to_string();
            assert!(error.contains(problem) && error.lines().count() == 1, "{text}: {error}");
        }
    }

    #[test]
    fn it_prints_as_it_was_typed() {
        assert_eq!(" @Daily ".parse::<Expression>().unwrap().to_string(), "@Daily");
        assert_eq!("*/5 * * * mon-fri".parse::<Expression>().unwrap().to_string(), "*/5 * * * mon-fri");
    }
}
