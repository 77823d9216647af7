//! Schedules that belong to the configuration file.

use tasq_host::client::{Client, Synced};
use tasq_host::cron::{Entry, Source};
use tasq_host::schedules::Put;
use tasq_host::task::Name;
use tasq_host::{Task, backend};

fn entries(text: &str) -> Vec<Entry> {
    #[derive(serde::Deserialize)]
    struct File {
        #[serde(default)]
        cron: Vec<Entry>,
    }
    toml::from_str::<File>(text).expect("entries").cron
}

fn names(text: &str) -> Vec<Name> {
    text.split_whitespace().map(|name| name.parse().expect("a name")).collect()
}

const TWO: &str = "
[[cron]]
name = 'a'
expression = '@daily'
handler = 'h'

[[cron]]
name = 'b'
expression = '0 3 * * *'
tz = 'Europe/Berlin'
handler = 'h'
payload = { n = 1 }
";

#[tokio::test]
async fn what_is_gone_from_the_file_is_gone_from_the_broker_and_nothing_else() {
    let backend = backend::open(&"memory:".parse().expect("a URL"), None).await.expect("it opens");
    let client = Client::new(backend);
    let sync = async |text: &str| client.sync_schedules(&entries(text)).await.expect("it answers");
    client.schedule("mine", "@hourly", Task::new("h", "")).await.expect("it is kept");
    assert_eq!(sync(TWO).await, Synced { changed: names("a b"), removed: vec![] });
    assert_eq!(sync(TWO).await, Synced::default());
    // What a command has paused stays so; an entry that changes keeps its name and is the file's.
    let a = client.find_schedule(&names("a")[0]).await.expect("it answers").expect("it is there");
    let mut paused = a.schedule.expect("it can be read");
    assert_eq!(paused.source, Source::File);
    paused.paused = true;
    assert_eq!(client.put_schedule(&a.name, &paused).await.expect("it is kept"), Put::Changed);
    assert_eq!(sync(TWO).await, Synced::default());
    let changed = TWO.replace("0 3 * * *", "0 4 * * *");
    assert_eq!(sync(&changed).await, Synced { changed: names("b"), removed: vec![] });
    // A wrong entry is named, and changes nothing.
    let wrong =
        client.sync_schedules(&entries(&changed.replace("@daily", "@nightly"))).await.expect_err("it is refused");
    assert!(wrong.message.starts_with("cron a: cron expression \"@nightly\""), "{wrong}");
    let twice = client.sync_schedules(&entries(&changed.replace("'b'", "'a'"))).await.expect_err("it is refused");
    assert_eq!(twice.message, "cron a: expected once, found twice");
    assert_eq!(sync("").await, Synced { changed: vec![], removed: names("a b") });
    let left: Vec<Name> = client.schedules().await.expect("it answers").into_iter().map(|known| known.name).collect();
    assert_eq!(left, names("mine"));
}
