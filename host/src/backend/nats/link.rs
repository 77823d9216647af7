//! The connection, the streams, and what goes wrong with them in our words.

use std::fmt::Display;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::jetstream::context::CreateStreamErrorKind;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, State, StorageType, Stream};
use async_nats::jetstream::{self, Context, ErrorCode};
use async_nats::{Client, ConnectErrorKind, ConnectOptions};

use crate::backend::url::{NatsOptions, NatsUser};
use crate::error::{Error, Result};
use crate::results::{KEEP_DONE, RETENTION};
use crate::task::TaskId;

/// Who hasn't answered by then can't be reached; also how long one request may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(4);
/// For so long the server remembers a message's id, so that a message sent again isn't there twice.
pub(super) const DUPLICATES: Duration = Duration::from_secs(120);

/// A server, and our streams on it.
pub(super) struct Link {
    pub(super) client: Client,
    pub(super) jetstream: Context,
    /// Every change, in order.
    pub(super) log: Stream<()>,
    pub(super) log_name: String,
    pub(super) log_subject: String,
    /// The state as it was at some place of the log.
    pub(super) snapshots: Stream<()>,
    pub(super) snapshots_name: String,
    pub(super) snapshots_subject: String,
    /// What is too long for the state.
    pub(super) blobs: Stream<()>,
    blobs_name: String,
    pub(super) blobs_subject: String,
    /// What other programs leave.
    pub(super) inbox: Stream<()>,
    inbox_name: String,
    inbox_subject: String,
    /// What they are told.
    pub(super) told: Stream<()>,
    told_name: String,
    told_subject: String,
    /// For messages: where it is, without a password.
    pub(super) shown: String,
    replicas: usize,
}

impl Link {
    /// Connects, and creates the streams where they are missing.
    pub(super) async fn open(options: &NatsOptions) -> Result<Link> {
        let shown = options.to_string();
        let connect = tokio::time::timeout(PATIENCE, login(options).await?.connect(&options.servers[..]));
        let client = match connect.await {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => return Err(refused(&shown, &error)),
            Err(_) => return Err(Error::unavailable(format!("{shown}: expected an answer within 4 s, found none"))),
        };
        let mut jetstream = jetstream::new(client.clone());
        jetstream.set_timeout(PATIENCE);
        let prefix = &options.prefix;
        let (log_name, snapshots_name) = (format!("{prefix}_log"), format!("{prefix}_snapshots"));
        let blobs_name = format!("{prefix}_blobs");
        let (inbox_name, told_name) = (format!("{prefix}_inbox"), format!("{prefix}_results"));
        let link = Link {
            log: handle(&jetstream, &shown, &log_name).await?,
            snapshots: handle(&jetstream, &shown, &snapshots_name).await?,
            blobs: handle(&jetstream, &shown, &blobs_name).await?,
            blobs_subject: format!("{prefix}.blobs"),
            blobs_name,
            inbox: handle(&jetstream, &shown, &inbox_name).await?,
            inbox_name,
            inbox_subject: format!("{prefix}.inbox"),
            told: handle(&jetstream, &shown, &told_name).await?,
            told_name,
            told_subject: format!("{prefix}.results"),
            log_subject: format!("{prefix}.log"),
            snapshots_subject: format!("{prefix}.snapshots"),
            replicas: options.replicas,
            client,
            jetstream,
            log_name,
            snapshots_name,
            shown,
        };
        link.create().await?;
        Ok(link)
    }

    /// Creates the streams where they are missing.
    pub(super) async fn create(&self) -> Result<()> {
        let common = Config {
            retention: RetentionPolicy::Limits,
            storage: StorageType::File,
            num_replicas: self.replicas,
            duplicate_window: DUPLICATES,
            // Rather an error for who writes than a hole in what was written.
            discard: DiscardPolicy::New,
            ..Config::default()
        };
        let (name, subjects) = (self.log_name.clone(), vec![self.log_subject.clone()]);
        self.create_one(Config { name, subjects, ..common.clone() }).await?;
        let (name, subjects) = (self.blobs_name.clone(), vec![self.blobs_subject.clone()]);
        self.create_one(Config { name, subjects, ..common.clone() }).await?;
        let (name, subjects) = (self.snapshots_name.clone(), vec![format!("{}.>", self.snapshots_subject)]);
        let latest = Config { max_messages_per_subject: 1, discard: DiscardPolicy::Old, ..common.clone() };
        self.create_one(Config { name, subjects, ..latest.clone() }).await?;
        let name = self.inbox_name.clone();
        let subjects = vec![self.inbox_subject.clone(), format!("{}.>", self.inbox_subject)];
        self.create_one(Config { name, subjects, retention: RetentionPolicy::WorkQueue, ..common }).await?;
        let (name, subjects) = (self.told_name.clone(), vec![format!("{}.>", self.told_subject)]);
        let (max_age, max_messages) = (RETENTION, KEEP_DONE as i64);
        self.create_one(Config { name, subjects, max_age, max_messages, allow_direct: true, ..latest }).await
    }

    /// The handler that a subject of the inbox names; none for the one that names none.
    pub(super) fn inbox_handler<'a>(&self, subject: &'a str) -> Option<&'a str> {
        subject.strip_prefix(&self.inbox_subject)?.strip_prefix('.')
    }

    /// Where others are told of a task.
    pub(super) fn told_subject(&self, id: &TaskId) -> String {
        format!("{}.{id}", self.told_subject)
    }

    async fn create_one(&self, config: Config) -> Result<()> {
        let name = config.name.clone();
        // There already, perhaps with limits or replicas that the operator has changed: it stays as it is.
        if self.jetstream.get_stream(&name).await.is_ok() {
            return Ok(());
        }
        match self.jetstream.get_or_create_stream(config).await {
            Ok(_) => Ok(()),
            Err(error) => Err(match error.kind() {
                CreateStreamErrorKind::JetStreamUnavailable => self.without_jetstream(),
                CreateStreamErrorKind::JetStream(e)
                    if [ErrorCode::JETSTREAM_NOT_ENABLED, ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT]
                        .contains(&e.error_code()) =>
                {
                    self.without_jetstream()
                }
                CreateStreamErrorKind::JetStream(e) => {
                    Error::rejected(format!("{}: stream \"{name}\": {e}", self.shown))
                }
                _ if !self.client.server_info().jetstream => self.without_jetstream(),
                _ => self.trouble(&error),
            }),
        }
    }

    fn without_jetstream(&self) -> Error {
        let found = "expected a server with JetStream, found one without (start nats-server with -js)";
        Error::rejected(format!("{}: {found}", self.shown))
    }

    /// How the log stands on the server now.
    pub(super) async fn log_state(&self) -> Result<State> {
        Ok(self.log.get_info().await.map_err(|e| self.trouble(&e))?.state)
    }

    /// Something didn't work that may work later.
    pub(super) fn trouble(&self, error: &dyn Display) -> Error {
        Error::unavailable(format!("{}: {error}", self.shown))
    }

    /// Changes with each new connection: a server that came back may have lost the end of the log.
    pub(super) fn connects(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::Relaxed)
    }
}

async fn handle(jetstream: &Context, shown: &str, name: &str) -> Result<Stream<()>> {
    jetstream.get_stream_no_info(name).await.map_err(|e| Error::rejected(format!("{shown}: stream \"{name}\": {e}")))
}

async fn login(options: &NatsOptions) -> Result<ConnectOptions> {
    let mut login = ConnectOptions::new()
        .name("tasq-host")
        .connection_timeout(PATIENCE)
        .require_tls(options.tls)
        // Once it has been connected it goes on trying for as long as it takes, twice a second in the end.
        .max_reconnects(None)
        .reconnect_delay_callback(|attempts| Duration::from_millis(20 * (attempts as u64).min(25)));
    login = match options.user.clone() {
        NatsUser::Nobody => login,
        NatsUser::Password { user, password } => login.user_and_password(user, password),
        NatsUser::Token(token) => login.token(token),
    };
    if let Some(file) = &options.credentials {
        let refused = |e: std::io::Error| Error::rejected(format!("{}: expected credentials: {e}", file.display()));
        let text = tokio::fs::read_to_string(file).await.map_err(refused)?;
        login = login.credentials(&text).map_err(refused)?;
    }
    if let Some(file) = &options.ca {
        login = login.add_root_certificates(file.clone());
    }
    Ok(login)
}

fn refused(shown: &str, error: &async_nats::ConnectError) -> Error {
    match error.kind() {
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
            Error::rejected(format!("{shown}: the server refuses this user, password, token or credentials"))
        }
        // Our own side of it, such as a file that isn't there; a certificate that we don't trust is trouble of the other.
        ConnectErrorKind::Tls | ConnectErrorKind::ServerParse => Error::rejected(format!("{shown}: {error}")),
        _ => Error::unavailable(format!("{shown}: {error}")),
    }
}
