//! The connection. It comes back by itself for as long as it takes; calls made meanwhile fail, for their callers know
//! whether to make them again.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, FromRedisValue, Script, ScriptInvocation, Value};

use super::super::url::RedisOptions;
use super::Time;
use super::error::{at, classify};
use crate::error::{Error, Result};

/// A server that hasn't taken a connection by then can't be reached.
const CONNECT: Duration = Duration::from_secs(2);
/// A server that hasn't answered by then is believed to be gone: long, for a batch of large payloads takes its time.
const ANSWER: Duration = Duration::from_secs(30);

pub(super) struct Link {
    pub(super) client: Client,
    connection: ConnectionManager,
    time: Time,
    /// For messages: the URL without its password.
    shown: Arc<str>,
}

impl Link {
    pub(super) async fn open(options: &RedisOptions, time: Time) -> Result<Link> {
        let shown: Arc<str> = options.to_string().into();
        let client = Client::open(options.address.as_str()).map_err(|error| {
            Error::rejected(format!("{shown}: expected redis://[user:password@]host[:port][/db], found {error}"))
        })?;
        // One more try per call that finds the connection gone: who calls tries again for as long as it likes.
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(50))
            .set_max_delay(Duration::from_millis(500))
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER));
        let connection = ConnectionManager::new_with_config(client.clone(), config).await;
        let connection = connection.map_err(|error| at(&shown, &classify(&error)))?;
        Ok(Link { client, connection, time, shown })
    }

    /// A call of `script`, to be given its keys and arguments. The time comes first.
    pub(super) fn call<'a>(&self, script: &'a Script) -> ScriptInvocation<'a> {
        let mut call = script.prepare_invoke();
        call.arg(self.time.argument());
        call
    }

    /// What the server answers to a command of its own.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        let mut connection = self.connection.clone();
        command.query_async(&mut connection).await.map_err(|error| at(&self.shown, &classify(&error)))
    }

    /// What the script answers. A server that doesn't know it yet is told it.
    pub(super) async fn send(&self, call: &ScriptInvocation<'_>) -> Result<Value> {
        let mut connection = self.connection.clone();
        call.invoke_async(&mut connection).await.map_err(|error| at(&self.shown, &classify(&error)))
    }
}
