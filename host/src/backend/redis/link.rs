//! The connection: the only place that knows whether it leads to one server, to a cluster, or to whom sentinels name. It
//! comes back by itself for as long as it takes; calls made meanwhile fail, for their callers know whether to make them
//! again.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig, PubSub};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{Client, Cmd, ErrorKind as Theirs, Pipeline, RedisError, RedisResult, ServerErrorKind, Value, cmd};

use super::super::url::{RedisOptions, RedisPlace};
use super::Time;
use super::call::{Call, Script};
use super::error::{at, classify};
use crate::error::{Error, ErrorKind, Result};

mod nodes;
mod sentinels;

pub(super) use nodes::Node;
use sentinels::Watched;

/// A server that hasn't taken a connection by then can't be reached.
const CONNECT: Duration = Duration::from_secs(2);
/// A server that hasn't answered by then is believed to be gone: long, for a batch of large payloads takes its time.
const ANSWER: Duration = Duration::from_secs(30);
/// Replicas that haven't got by then what they are waited for are behind.
const REPLICATE: Duration = Duration::from_secs(2);

pub(super) struct Link {
    way: Way,
    time: Time,
    /// So many replicas have what is written before that is said.
    replicas: u8,
    /// For messages: the URL without its password.
    shown: Arc<str>,
}

enum Way {
    Server(Box<(Client, ConnectionManager)>),
    /// Any of its nodes tells what is said in it.
    Cluster(Vec<Client>, ClusterConnection),
    Sentinels(Watched),
}

/// For listening to what is said, on connections of its own.
#[derive(Clone)]
pub(super) enum Hearsay {
    Any(Vec<Client>),
    Master(Watched),
}

impl Link {
    pub(super) async fn open(options: &RedisOptions, time: Time) -> Result<Link> {
        let shown: Arc<str> = options.to_string().into();
        let client = |address: &String| {
            Client::open(address.as_str())
                .map_err(|error| Error::rejected(format!("{shown}: not a URL of Redis: {error}")))
        };
        let way = match &options.place {
            RedisPlace::Server(address) => server(client(address)?, &shown).await,
            RedisPlace::Cluster(nodes) => cluster(nodes.iter().map(client).collect::<Result<_>>()?).await,
            RedisPlace::Sentinels(sentinels) => {
                let clients = sentinels.addresses.iter().map(client).collect::<Result<_>>()?;
                Watched::open(clients, &sentinels.name, &sentinels.master).await.map(Way::Sentinels)
            }
        };
        let way = way.map_err(|error| at(&shown, &error))?;
        Ok(Link { way, time, replicas: options.wait_replicas, shown })
    }

    /// Whether queues live apart from one another, each in a slot of its own, so that a script reaches only one.
    pub(super) fn is_split(&self) -> bool {
        matches!(self.way, Way::Cluster(..))
    }

    pub(super) fn hearsay(&self) -> Hearsay {
        match &self.way {
            Way::Server(server) => Hearsay::Any(vec![server.0.clone()]),
            Way::Cluster(clients, _) => Hearsay::Any(clients.clone()),
            Way::Sentinels(watched) => Hearsay::Master(watched.clone()),
        }
    }

    /// A call of `script`, to be given its keys and arguments. The time comes first.
    pub(super) fn call<'a>(&self, script: &'a Script) -> Call<'a> {
        let mut call = Call::new(script);
        call.arg(self.time.argument());
        call
    }

    /// What the script answers. A server that doesn't know it yet is told it.
    pub(super) async fn send(&self, call: &Call<'_>) -> Result<Value> {
        let answer = match self.say(&call.by_hash()).await {
            Err(error) if is_unknown(&error) => self.say(&call.whole()).await,
            answer => answer,
        };
        answer.map_err(|error| self.explain(&error))
    }

    /// The same for a script that writes what nobody is to lose: answered once the replicas that are waited for have it,
    /// too. An error may mean that only they haven't.
    pub(super) async fn write(&self, call: &Call<'_>) -> Result<Value> {
        if self.replicas == 0 {
            return self.send(call).await;
        }
        let answer = match self.say_and_wait(call.by_hash()).await {
            Err(error) if is_unknown(&error) => self.say_and_wait(call.whole()).await,
            answer => answer,
        };
        let (value, reached) = answer.map_err(|error| self.explain(&error))?;
        if reached < i64::from(self.replicas) {
            let wanted = self.replicas;
            return Err(Error {
                kind: ErrorKind::Unavailable,
                message: format!("{}: written, but {reached} of {wanted} replicas have it (wait_replicas)", self.shown),
            });
        }
        Ok(value)
    }

    fn explain(&self, error: &RedisError) -> Error {
        at(&self.shown, &classify(error))
    }

    async fn say(&self, command: &Cmd) -> RedisResult<Value> {
        match &self.way {
            Way::Server(server) => server.1.clone().req_packed_command(command).await?.extract_error(),
            Way::Cluster(_, connection) => connection.clone().req_packed_command(command).await?.extract_error(),
            Way::Sentinels(watched) => {
                let (number, mut connection) = watched.connection().await?;
                let answer = connection.req_packed_command(command).await.and_then(Value::extract_error);
                watched.judge(number, answer).await
            }
        }
    }

    /// One behind the other on the same connection, for it is that one's writes that are waited for.
    async fn say_and_wait(&self, command: Cmd) -> RedisResult<(Value, i64)> {
        let mut both = Pipeline::with_capacity(2);
        let mut wait = cmd("WAIT");
        wait.arg(self.replicas).arg(REPLICATE.as_millis() as u64);
        both.add_command(command).add_command(wait);
        let answers = match &self.way {
            Way::Server(server) => server.1.clone().req_packed_commands(&both, 0, 2).await,
            Way::Cluster(_, connection) => connection.clone().req_packed_commands(&both, 0, 2).await,
            Way::Sentinels(watched) => {
                let (number, mut connection) = watched.connection().await?;
                let answers = connection.req_packed_commands(&both, 0, 2).await;
                // The first is a write: what it says of the server is judged, too.
                let refused = answers.as_ref().ok().and_then(|all| all.first()?.clone().extract_error().err());
                watched.judge(number, refused.map_or(answers, Err)).await
            }
        };
        let [value, reached]: [Value; 2] = answers?.try_into().map_err(|_| odd("not two answers to two commands"))?;
        Ok((value.extract_error()?, redis::from_redis_value(reached.extract_error()?)?))
    }
}

impl Hearsay {
    /// A connection that hears what is said wherever it leads to.
    pub(super) async fn connect(&self) -> RedisResult<PubSub> {
        match self {
            Hearsay::Any(clients) => {
                let mut last = odd("no server is named");
                for client in clients {
                    match within(client.get_async_pubsub()).await {
                        Ok(connection) => return Ok(connection),
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
            Hearsay::Master(watched) => within(watched.master().await?.0.get_async_pubsub()).await,
        }
    }
}

async fn server(client: Client, shown: &str) -> Result<Way> {
    // One more try per call that finds the connection gone: who calls tries again for as long as it likes.
    let config = ConnectionManagerConfig::new()
        .set_number_of_retries(1)
        .set_min_delay(Duration::from_millis(50))
        .set_max_delay(Duration::from_millis(500))
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(Some(ANSWER));
    let connection = ConnectionManager::new_with_config(client.clone(), config).await;
    let mut connection = connection.map_err(|error| classify(&error))?;
    // A node of a cluster would serve some queues and refuse the others.
    if let Ok(true) = is_cluster(&mut connection).await {
        let url = shown.split('?').next().unwrap_or_default().replacen("://", "+cluster://", 1);
        let url =
            url.rsplit_once('/').filter(|(before, _)| !before.ends_with('/')).map_or(url.as_str(), |(url, _)| url);
        return Err(Error::rejected(format!("expected a server of its own, found a node of a cluster; name it {url}")));
    }
    Ok(Way::Server(Box::new((client, connection))))
}

async fn cluster(clients: Vec<Client>) -> Result<Way> {
    let infos: Vec<_> = clients.iter().map(|client| client.get_connection_info().clone()).collect();
    // What a node that is gone was asked is asked again while its replica takes its place, for a moment.
    let client = ClusterClient::builder(infos)
        .connection_timeout(CONNECT)
        .response_timeout(ANSWER)
        .retries(5)
        .min_retry_wait(20)
        .max_retry_wait(500)
        .build()
        .map_err(|error| classify(&error))?;
    match client.get_async_connection().await {
        Ok(connection) => Ok(Way::Cluster(clients, connection)),
        // The crate says only that there was none that it could use.
        Err(error) => Err(why_no_cluster(&clients).await.unwrap_or_else(|| classify(&error))),
    }
}

/// What stands in the way of using these nodes as a cluster.
async fn why_no_cluster(clients: &[Client]) -> Option<Error> {
    let mut why = None;
    for client in clients {
        let found = match within(client.get_multiplexed_async_connection()).await {
            Ok(mut connection) => is_cluster(&mut connection).await,
            Err(error) => Err(error),
        };
        match found {
            Ok(true) => return None,
            Ok(false) => {
                let place = client.get_connection_info().addr();
                let found = format!("{place} is a server of its own; name it redis://{place} (rediss:// with TLS)");
                return Some(Error::rejected(format!("expected nodes of a cluster, but {found}")));
            }
            Err(error) => why = Some(classify(&error)),
        }
    }
    why
}

async fn is_cluster(connection: &mut impl ConnectionLike) -> RedisResult<bool> {
    let info: redis::InfoDict = cmd("INFO").arg("cluster").query_async(connection).await?;
    Ok(info.get::<u8>("cluster_enabled") == Some(1))
}

fn is_unknown(error: &RedisError) -> bool {
    error.kind() == Theirs::Server(ServerErrorKind::NoScript)
}

/// Connects, or fails within [`CONNECT`].
async fn within<T>(connect: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    let late = || std::io::Error::new(std::io::ErrorKind::TimedOut, "no connection within 2 s");
    tokio::time::timeout(CONNECT, connect).await.unwrap_or_else(|_| Err(late().into()))
}

fn odd(what: &'static str) -> RedisError {
    (Theirs::Io, what).into()
}
