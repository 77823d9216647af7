//! `tasq-host queue limit`: how much of a queue runs, over all workers.

use std::str::FromStr;

use super::super::error::Error;
use crate::config::Config;
use tasq_host::broker::Setting;
use tasq_host::task::{Name, Rate};

/// Limit a queue, over all workers
///
/// What isn't named stays as it is.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tasq-host queue limit mail --rate 100/s --concurrency 20
  tasq-host queue limit mail --rate none")]
pub(crate) struct Args {
    /// The queue's name
    queue: Name,
    /// Take at most so many tasks in a time, such as 100/s, 30/m or 1000/h; none lifts the limit
    #[arg(long, value_name = "RATE | none", value_parser = most::<Rate>, required_unless_present = "concurrency")]
    rate: Option<Most<Rate>>,
    /// Run at most so many of its tasks at once; none lifts the limit
    #[arg(long, value_name = "N | none", value_parser = most::<Count>, required_unless_present = "rate")]
    concurrency: Option<Most<Count>>,
}

/// A limit, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Most<T>(Option<T>);

/// At least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Count(u32);

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Count, String> {
        let count = text.parse().ok().filter(|&count| count > 0);
        count.map(Count).ok_or_else(|| "expected a number of at least 1, or none".into())
    }
}

fn most<T: FromStr<Err: ToString>>(text: &str) -> Result<Most<T>, String> {
    if text == "none" {
        return Ok(Most(None));
    }
    text.parse().map(|most| Most(Some(most))).map_err(|bad: T::Err| bad.to_string())
}

/// Limits one queue.
pub(crate) async fn run(args: Args, config: Config) -> Result<(), Error> {
    let rate = args.rate.map(|Most(rate)| Setting::Rate(rate));
    let concurrency = args.concurrency.map(|Most(most)| Setting::Concurrency(most.map(|Count(most)| most)));
    let settings: Vec<Setting> = rate.into_iter().chain(concurrency).collect();
    super::configure(&config, &args.queue, &settings).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_one_or_none() {
        assert_eq!(most::<Count>("20"), Ok(Most(Some(Count(20)))));
        assert_eq!(most::<Count>("none"), Ok(Most(None)));
        assert_eq!(most::<Rate>("100/s"), Ok(Most(Some("100/s".parse().unwrap()))));
        for bad in ["", "0", "-1", "x", "4294967296"] {
            assert!(most::<Count>(bad).is_err(), "{bad}");
        }
        assert!(most::<Rate>("100").is_err());
    }
}
