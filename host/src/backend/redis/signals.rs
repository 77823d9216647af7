//! Hears what other processes say, and passes it on in this one. All of it is lossy: who waits also looks by itself.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::{broadcast, watch};
use tokio_util::task::AbortOnDropHandle;

use super::layout::Layout;
use super::link::Hearsay;
use crate::broker::Signal;
use crate::task::TaskId;

/// A listener may lag behind by so many signals before it misses the oldest.
const SIGNALS: usize = 1_024;
/// A connection that is gone is tried again after so long, then less and less often.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(2)];

pub(super) struct Ear {
    shared: Arc<Shared>,
    /// Names this process among those that settle: it doesn't hear of its own ends twice.
    pub(super) origin: String,
    /// Ends with the backend.
    _hearing: AbortOnDropHandle<()>,
}

struct Shared {
    /// Names of queues; "" for any.
    woken: broadcast::Sender<Arc<str>>,
    signals: broadcast::Sender<Signal>,
    /// What somebody here has listened for: the server says nothing else, for each message costs both sides about as much as
    /// a command.
    wanted: watch::Sender<Wanted>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wanted {
    wakes: bool,
    cancels: bool,
    ends: bool,
}

impl Ear {
    pub(super) fn open(hearsay: Hearsay, layout: &Layout) -> Ear {
        let shared = Arc::new(Shared {
            woken: broadcast::Sender::new(SIGNALS),
            signals: broadcast::Sender::new(SIGNALS),
            wanted: watch::Sender::default(),
        });
        let origin = uuid::Uuid::now_v7().simple().to_string();
        let hearing = Hearing {
            hearsay,
            wake: layout.wake(),
            ended: layout.ended(),
            cancels: layout.cancels(),
            origin: origin.clone(),
            wanted: shared.wanted.subscribe(),
            shared: shared.clone(),
        };
        Ear { shared, origin, _hearing: AbortOnDropHandle::new(tokio::spawn(hearing.for_ever())) }
    }

    /// Hears of all signals. What the server says from now on may be missed until it knows that somebody listens; then
    /// `Missed` is told.
    pub(super) fn listen(&self) -> broadcast::Receiver<Signal> {
        let receiver = self.shared.signals.subscribe();
        self.want(|wanted| (wanted.cancels, wanted.ends) = (true, true));
        receiver
    }

    /// The same for `Cancel`.
    pub(super) fn cancels(&self) -> broadcast::Receiver<Signal> {
        let receiver = self.shared.signals.subscribe();
        self.want(|wanted| wanted.cancels = true);
        receiver
    }

    /// Hears of queues in which something waits; of any ("") once the server knows that somebody listens.
    pub(super) fn wakes(&self) -> broadcast::Receiver<Arc<str>> {
        let receiver = self.shared.woken.subscribe();
        self.want(|wanted| wanted.wakes = true);
        receiver
    }

    fn want(&self, what: impl FnOnce(&mut Wanted)) {
        self.shared.wanted.send_if_modified(|wanted| {
            let before = *wanted;
            what(wanted);
            *wanted != before
        });
    }

    /// Tells this process's listeners of ends that it wrote itself.
    pub(super) fn tell(&self, ended: impl Iterator<Item = TaskId>) {
        if self.shared.signals.receiver_count() > 0 {
            // Nobody listening any more is fine.
            ended.for_each(|id| drop(self.shared.signals.send(Signal::Ended(id))));
        }
    }
}

struct Hearing {
    hearsay: Hearsay,
    wake: String,
    ended: String,
    cancels: String,
    origin: String,
    shared: Arc<Shared>,
    wanted: watch::Receiver<Wanted>,
}

impl Hearing {
    async fn for_ever(mut self) {
        let mut pause = PAUSES[0];
        // The sender is ours.
        while self.wanted.wait_for(|wanted| *wanted != Wanted::default()).await.is_ok() {
            if self.hear().await.is_ok() {
                pause = PAUSES[0];
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES[1]);
        }
    }

    /// Until the connection is gone; an error where there was none.
    async fn hear(&mut self) -> redis::RedisResult<()> {
        let (mut sink, mut stream) = self.hearsay.connect().await?.split();
        let mut heard = Wanted::default();
        loop {
            let wanted = *self.wanted.borrow_and_update();
            if wanted != heard {
                let Wanted { wakes, cancels, ends } = wanted;
                let channels = [(wakes, &self.wake), (cancels, &self.cancels), (ends, &self.ended)];
                let channels: Vec<_> = channels.iter().filter(|(wanted, _)| *wanted).map(|(_, name)| name).collect();
                sink.subscribe(&channels).await?;
                heard = wanted;
                // What was said before has been missed.
                self.missed();
            }
            tokio::select! {
                message = stream.next() => match message {
                    Some(message) if message.get_channel_name() == self.wake => self.wake(message.get_payload_bytes()),
                    Some(message) if message.get_channel_name() == self.cancels => {
                        let text = String::from_utf8_lossy(message.get_payload_bytes());
                        self.pass_on(text.split(' '), Signal::Cancel);
                    }
                    Some(message) => self.ended(message.get_payload_bytes()),
                    None => return Ok(()),
                },
                // The sender is ours.
                _ = self.wanted.changed() => {}
            }
        }
    }

    fn missed(&self) {
        let _ = self.shared.woken.send("".into());
        let _ = self.shared.signals.send(Signal::Missed);
    }

    fn wake(&self, queues: &[u8]) {
        for name in String::from_utf8_lossy(queues).split(' ') {
            let _ = self.shared.woken.send(name.into());
        }
    }

    fn ended(&self, ended: &[u8]) {
        let text = String::from_utf8_lossy(ended);
        let mut words = text.split(' ');
        if self.shared.signals.receiver_count() > 0 && words.next() != Some(&self.origin) {
            self.pass_on(words, Signal::Ended);
        }
    }

    fn pass_on<'a>(&self, ids: impl Iterator<Item = &'a str>, signal: impl Fn(TaskId) -> Signal) {
        for id in ids.filter_map(|word| word.parse().ok()) {
            let _ = self.shared.signals.send(signal(id));
        }
    }
}
