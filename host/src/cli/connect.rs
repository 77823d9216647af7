//! The way to the broker, for commands that come and go: they give up within [`PATIENCE`].

use std::future::Future;
use std::time::Duration;

use tasq_host::Client;
use tasq_host::backend::url::Url;

use super::error::{Code, Error};
use crate::config::Config;

/// A broker that hasn't answered by then can't be reached.
const PATIENCE: Duration = Duration::from_secs(5);

/// `memory:` ends with the process, so a command that shares nothing with another process can do nothing with it.
pub(crate) fn refuse_memory(config: &Config) -> Result<(), Error> {
    if config.broker != Url::Memory && config.results != Some(Url::Memory) {
        return Ok(());
    }
    Err(Error::usage("memory: expected a broker that other processes can reach, found one that ends with this process")
        .hint("use sqlite:PATH, as in --broker sqlite:tasq.db"))
}

/// A client of the broker and the results.
pub(crate) async fn client(config: &Config) -> Result<Client, Error> {
    within(config, Client::open(&config.broker, config.results.as_ref())).await
}

/// What `call` answers, or an error of exit code 3 when it takes too long.
pub(crate) async fn within<T>(
    config: &Config,
    call: impl Future<Output = tasq_host::error::Result<T>>,
) -> Result<T, Error> {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(answer) => Ok(answer?),
        Err(_) => {
            let message = format!("{}: expected an answer within 5 s, found none", config.broker);
            Err(Error::new(Code::Unreachable, message))
        }
    }
}
