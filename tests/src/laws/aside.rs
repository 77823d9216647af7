//! Tasks that a worker met and couldn't run wait aside, and hinder nobody.

use std::collections::HashMap;
use std::time::Duration;

use tasq_host::broker::{Message, Reserve};
use tasq_host::task::{Ending, State};

use crate::fixture::{Fixture, PATIENCE};
use crate::nouns::*;

/// A worker without the handler passes the task by; it runs when a worker comes that has it (asynq archives it).
pub async fn an_unknown_handler_is_parked_until_one_appears(f: Fixture) {
    f.push(for_handler("missing", vec![task("a")])).await;
    f.nothing(&f.asking(10)).await;
    let parked = f.tracked("a").await;
    assert_eq!((parked.state, parked.run, parked.failed, parked.lost), (State::Parked, 0, 0, 0));
    f.pass(f.beats(50)).await;
    f.nothing(&f.asking(10)).await;
    let taken = f.take(&asking(&["q"], &["h", "missing"], 1, DAY)).await;
    assert_eq!((taken[0].run.number, taken[0].lost, taken[0].due_at), (1, 0, parked.due_at));
}

/// A worker leaves an envelope that is too new for it to newer workers.
pub async fn a_newer_envelope_waits_for_a_newer_worker(f: Fixture) {
    f.push(vec![Message { format: 3, ..task("newer") }, task("older")]).await;
    assert_eq!(ids(&f.take(&f.asking(1)).await), ["older"]);
    f.nothing(&f.asking(10)).await;
    assert_eq!(f.tracked("newer").await.state, State::Parked);
    f.nothing(&Reserve { format: 2, ..f.asking(10) }).await;
    assert_eq!(ids(&f.take(&Reserve { format: 3, ..f.asking(1) }).await), ["newer"]);
}

/// A handler at its limit holds up nobody behind it, and its tasks are pending, not parked.
pub async fn a_handler_at_its_limit_blocks_nobody(f: Fixture) {
    f.push(for_handler("full", tasks("full", 50))).await;
    f.push(vec![task("free")]).await;
    let request = Reserve { room: room(&[("full", 0), ("h", 5)]), ..f.asking(1) };
    assert_eq!(ids(&f.take(&request).await), ["free"]);
    for text in ["full0", "full49"] {
        assert_eq!(f.tracked(text).await.state, State::Pending);
    }
}

/// One look never gives more of a handler than there is room for.
pub async fn a_look_keeps_to_the_room_of_each_handler(f: Fixture) {
    f.push(for_handler("narrow", tasks("n", 10))).await;
    f.push(tasks("a", 10)).await;
    let request = Reserve { room: room(&[("narrow", 2), ("h", 3)]), ..f.asking(20) };
    for round in 0..3 {
        let taken = f.take(&Reserve { max: 5, ..request.clone() }).await;
        let mut found = ids(&taken);
        found.sort_unstable();
        let (n, a) = (round * 2, round * 3);
        let expected = [a, a + 1, a + 2].map(|a| format!("a{a}")).into_iter();
        let expected: Vec<_> = expected.chain([n, n + 1].map(|n| format!("n{n}"))).collect();
        assert_eq!(found, expected);
    }
}

/// Those aside have waited longest: they come before the others, the oldest first.
pub async fn what_waited_aside_comes_first(f: Fixture) {
    f.push(for_handler("x", tasks("x", 5))).await;
    f.push(for_handler("y", tasks("y", 5))).await;
    f.nothing(&f.asking(10)).await;
    f.push(for_handler("x", tasks("late", 5))).await;
    let taken = f.take(&asking(&["q"], &["x", "y"], 12, DAY)).await;
    assert_eq!(ids(&taken), ["x0", "x1", "x2", "x3", "x4", "y0", "y1", "y2", "y3", "y4", "late0", "late1"]);
}

/// Thousands that nobody can run, in front of one that somebody can.
pub async fn a_crowd_aside_hides_nobody(f: Fixture) {
    f.push(for_handler("missing", tasks("m", 3_500))).await;
    f.push(vec![task("a")]).await;
    assert_eq!(f.take_one().await.run.id, id("a"));
    f.push(vec![task("b")]).await;
    assert_eq!(f.take_one().await.run.id, id("b"));
    let mut count = 0;
    while count < 3_500 {
        count += f.take(&asking(&["q"], &["missing"], 500, DAY)).await.len();
    }
}

/// Two workers with nothing in common share a queue: each task is moved at most once, and each look helps.
pub async fn unlike_workers_do_not_play_ping_pong(f: Fixture) {
    for number in 0..300 {
        let handler = if number % 2 == 0 { "x" } else { "y" };
        f.push(for_handler(handler, vec![task(&format!("a{number}"))])).await;
    }
    let mut counts = HashMap::new();
    let mut looks = 0;
    while counts.values().sum::<usize>() < 300 {
        for handler in ["x", "y"] {
            let request = Reserve { wait: PATIENCE, ..asking(&["q"], &[handler], 10, DAY) };
            let done = counts.entry(handler).or_default();
            if *done < 150 {
                for delivery in f.look(&request).await {
                    assert_eq!((delivery.handler.as_str(), delivery.run.number), (handler, 1));
                    f.end(&delivery, Ending::Done).await;
                    *done += 1;
                }
                looks += 1;
            }
        }
    }
    assert!(looks <= 60, "{looks} looks for what 30 could take");
}

/// A parked task that another push of the same id finds is still the same task.
pub async fn parked_tasks_keep_their_ids_and_ends(f: Fixture) {
    f.push(for_handler("missing", vec![task("a")])).await;
    f.nothing(&f.asking(1)).await;
    assert!(!f.push_one(task("a")).await);
    let taken = f.take(&asking(&["q"], &["missing"], 1, f.beats(10))).await;
    f.end(&taken[0], retry(&taken[0], Duration::ZERO)).await;
    f.nothing(&f.asking(1)).await;
    let again = f.take(&asking(&["q"], &["missing"], 1, f.beats(10))).await;
    assert_eq!((again[0].run.number, again[0].failed), (2, 1));
}

/// A task that waits aside in one queue is nothing to who doesn't look there.
pub async fn aside_belongs_to_its_queue(f: Fixture) {
    f.push(on_queue("q2", for_handler("x", vec![task("a")]))).await;
    f.nothing(&asking(&["q2"], &["h"], 1, DAY)).await;
    f.nothing(&asking(&["q"], &["x"], 1, DAY)).await;
    f.take(&asking(&["q", "q2"], &["x"], 1, DAY)).await;
}
