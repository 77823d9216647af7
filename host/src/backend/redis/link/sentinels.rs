//! A server whose place sentinels know: when its connection breaks, or it turns out to be the master no more, they are
//! asked again.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, RedisResult, Value, cmd};
use tokio::sync::Mutex;

use super::super::error::{classify, is_replica};
use super::{ANSWER, CONNECT, odd, within};
use crate::error::{Error, ErrorKind, Result};

/// Clones share the connection.
#[derive(Clone)]
pub(in super::super) struct Watched(Arc<Inner>);

struct Inner {
    sentinels: Vec<Client>,
    name: String,
    /// The master's URL before host and port, and behind.
    around: (String, String),
    current: Mutex<Current>,
}

/// The connection, and how many there were before it.
struct Current {
    number: u64,
    connection: Option<MultiplexedConnection>,
}

impl Watched {
    pub(super) async fn open(sentinels: Vec<Client>, name: &str, around: &(String, String)) -> Result<Watched> {
        let current = Mutex::new(Current { number: 0, connection: None });
        let watched = Watched(Arc::new(Inner { sentinels, name: name.into(), around: around.clone(), current }));
        match watched.master().await {
            Ok((_, connection)) => watched.0.current.lock().await.connection = Some(connection),
            Err(error) => return Err(watched.why(&error)),
        }
        Ok(watched)
    }

    /// The connection, a new one where the last is gone, and its number for [`Watched::judge`].
    pub(super) async fn connection(&self) -> RedisResult<(u64, MultiplexedConnection)> {
        let mut current = self.0.current.lock().await;
        let connection = match &current.connection {
            Some(connection) => connection.clone(),
            None => self.master().await?.1,
        };
        current.connection = Some(connection.clone());
        Ok((current.number, connection))
    }

    /// Passes on what a connection answered. If that says that it is of no use any more, the next call gets another.
    pub(super) async fn judge<T>(&self, number: u64, answer: RedisResult<T>) -> RedisResult<T> {
        if answer
            .as_ref()
            .is_err_and(|error| error.is_io_error() || error.is_unrecoverable_error() || is_replica(error))
        {
            let mut current = self.0.current.lock().await;
            // Only the first of those that noticed: the next connection is another's.
            if current.number == number {
                (current.number, current.connection) = (number + 1, None);
            }
        }
        answer
    }

    /// The master, by the first sentinel whose answer holds. All are asked at once: some may be gone, or behind.
    pub(super) async fn master(&self) -> RedisResult<(Client, MultiplexedConnection)> {
        let mut answers: FuturesUnordered<_> = self.0.sentinels.iter().map(|sentinel| self.ask(sentinel)).collect();
        let mut worst = None;
        while let Some(answer) = answers.next().await {
            let found = match answer {
                Ok(address) => self.connect(&address).await,
                Err(error) => Err(error),
            };
            match found {
                Ok(found) => return Ok(found),
                // Who knows nothing of the name tells more than who can't be reached.
                Err(error) if worst.is_none() || is_nameless(&error) => worst = Some(error),
                Err(_) => {}
            }
        }
        Err(worst.unwrap_or_else(|| odd("no sentinel is named")))
    }

    /// Of each sentinel its address, and what it says of a failover, were one needed.
    pub(super) fn quorums(&self) -> impl Iterator<Item = (String, impl Future<Output = RedisResult<String>>)> {
        let name = &self.0.name;
        self.0.sentinels.iter().map(move |sentinel| {
            let said = async move {
                let mut connection = sentinel.get_multiplexed_async_connection().await?;
                cmd("SENTINEL").arg("CKQUORUM").arg(name).query_async(&mut connection).await
            };
            (sentinel.get_connection_info().addr().to_string(), within(said))
        })
    }

    /// Host and port of the master, by one sentinel.
    async fn ask(&self, sentinel: &Client) -> RedisResult<String> {
        let asked = async {
            let mut connection = sentinel.get_multiplexed_async_connection().await?;
            let mut ask = cmd("SENTINEL");
            ask.arg("get-master-addr-by-name").arg(&self.0.name);
            ask.query_async::<Option<(String, u16)>>(&mut connection).await
        };
        let Some((host, port)) = within(asked).await? else {
            return Err((redis::ErrorKind::MasterNameNotFoundBySentinel, "unknown master").into());
        };
        Ok(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
    }

    async fn connect(&self, address: &str) -> RedisResult<(Client, MultiplexedConnection)> {
        let (before, behind) = &self.0.around;
        let client = Client::open(format!("{before}{address}{behind}"))?;
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(Some(ANSWER));
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        // A sentinel that is behind names who was the master.
        let role: Vec<Value> = within(cmd("ROLE").query_async(&mut connection)).await?;
        if role.first() != Some(&Value::BulkString("master".into())) {
            return Err(odd("who the sentinels name is not the master, or not yet"));
        }
        Ok((client, connection))
    }

    fn why(&self, error: &RedisError) -> Error {
        if is_nameless(error) {
            let name = &self.0.name;
            let hint = "what stands behind the hosts is the name of \"sentinel monitor\"";
            return Error::rejected(format!("the sentinels know no master \"{name}\"; {hint}"));
        }
        match classify(error) {
            // An old master that isn't down for the sentinels yet, or a new one that isn't elected yet.
            Error { kind: ErrorKind::Unavailable, message } => {
                Error { kind: ErrorKind::Unavailable, message: format!("no master by way of the sentinels: {message}") }
            }
            error => error,
        }
    }
}

fn is_nameless(error: &RedisError) -> bool {
    error.kind() == redis::ErrorKind::MasterNameNotFoundBySentinel
}
