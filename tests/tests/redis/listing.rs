//! Unfinished tasks are listed without an order of their own.

use std::time::Duration;

use tasq_host::backend::Backend;
use tasq_host::broker::{Due, Message, Standing};
use tasq_host::results::{Cursor, Filter};
use tasq_host::task::{Ending, Priority, State};
use tasq_tests::fixture::redis::Server;
use tasq_tests::nouns::{DAY, asking, end, for_handler, name, retry, task};

use super::open;

/// All that the filter lets through, page by page.
async fn pages(backend: &Backend, filter: &Filter) -> Vec<Cursor> {
    let (mut filter, mut found) = (filter.clone(), Vec::new());
    loop {
        let page = backend.operations.list(&filter).await.unwrap();
        let places = page.iter().map(|standing| match standing {
            Standing::Here(here) => {
                assert!(filter.state.is_none_or(|state| state == here.state));
                Cursor(here.enqueued_at, here.id.clone())
            }
            Standing::Leaving(_) => panic!("nothing has ended"),
        });
        found.extend(places);
        if page.len() < filter.limit {
            return found;
        }
        filter.after = found.last().cloned();
    }
}

async fn run(backend: &Backend, handlers: &[&str], max: usize, ending: impl Fn(usize) -> Option<Duration>) {
    let taken = backend.broker.reserve(&asking(&["q"], handlers, max, DAY)).await.unwrap();
    let ends = taken.iter().enumerate().filter_map(|(number, taken)| {
        ending(number).map(|after| end(&taken.run, if after == DAY { Ending::Park } else { retry(taken, after) }))
    });
    backend.broker.settle(&ends.collect::<Vec<_>>()).await.unwrap();
}

/// In every place where a task may be, of all priorities, more than one walk's step, some of which have moved on since
/// they were enqueued.
#[tokio::test]
async fn pages_are_newest_first_and_whole() {
    let server = Server::volatile();
    let backend = open(&server.url("p")).await.unwrap();
    for round in 0..8 {
        let messages = (0..400).map(|number| Message {
            priority: Priority::ALL[number % 3],
            due: match number % 8 {
                0 => Due::After(DAY),
                1 => Due::After(Duration::from_millis(number as u64)),
                _ => Due::Now,
            },
            ..task(&format!("a{}-{round}", number * 7 % 400))
        });
        backend.broker.push(messages.collect()).await.unwrap();
        let other = (0..150).map(|number| task(&format!("b{round}-{number}")));
        backend.broker.push(for_handler("other", other.collect())).await.unwrap();
        if round == 4 {
            // Nobody has what waits so far: all of it is parked.
            run(&backend, &["none"], 1, |_| None).await;
        }
        // Some run on; some come back, now or later.
        let endings = [Duration::ZERO, Duration::from_millis(50), DAY / 2, DAY];
        run(&backend, &["h"], 60, |number| endings.get(number % 5).copied()).await;
    }
    let all = pages(&backend, &Filter { limit: usize::MAX, ..Filter::default() }).await;
    assert_eq!(all.len(), 8 * 550);
    assert!(all.is_sorted_by(|a, b| a > b));
    let limit = 130;
    assert_eq!(pages(&backend, &Filter { limit, ..Filter::default() }).await, all);
    let mut parts = Vec::new();
    for state in [State::Scheduled, State::Pending, State::Running, State::Parked] {
        // Those that become due meanwhile would be found twice, or not at all.
        tokio::time::sleep(Duration::from_millis(if parts.is_empty() { 500 } else { 0 })).await;
        let of_state = Filter { state: Some(state), limit, ..Filter::default() };
        let found = pages(&backend, &of_state).await;
        assert!(found.len() > limit / 2 && found.is_sorted_by(|a, b| a > b), "{state:?}");
        parts.extend(found);
    }
    parts.sort_by(|a, b| b.cmp(a));
    assert_eq!(parts, all);
    let other = Filter { handler: Some(name("other")), limit, ..Filter::default() };
    let expected = all.iter().filter(|place| place.1.as_str().starts_with('b')).cloned();
    assert_eq!(pages(&backend, &other).await, expected.collect::<Vec<_>>());
}
