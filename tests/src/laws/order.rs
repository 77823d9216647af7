//! Who comes first, and that nobody starves.

use std::collections::BTreeMap;

use tasq_host::broker::{Delivery, Message, Order, Reserve};
use tasq_host::task::{Ending, Priority};

use crate::fixture::Fixture;
use crate::nouns::*;

fn with_priority(priority: Priority, messages: Vec<Message>) -> Vec<Message> {
    messages.into_iter().map(|message| Message { priority, ..message }).collect()
}

fn count<K: Ord>(deliveries: &[Delivery], key: impl Fn(&Delivery) -> K) -> BTreeMap<K, usize> {
    let mut counts = BTreeMap::new();
    for delivery in deliveries {
        *counts.entry(key(delivery)).or_default() += 1;
    }
    counts
}

/// First in, first out, within one push and over several.
pub async fn oldest_first_within_a_queue(f: Fixture) {
    f.push(tasks("a", 3)).await;
    f.pass(f.beats(1)).await;
    f.push(tasks("b", 2)).await;
    f.pass(f.beats(1)).await;
    f.push(vec![task("c")]).await;
    let mut order = ids(&f.take(&f.asking(2)).await).join(" ");
    for _ in 0..4 {
        order = format!("{order} {}", f.take_one().await.run.id);
    }
    assert_eq!(order, "a0 a1 a2 b0 b1 c");
}

/// Within one batch they stand in their order, too.
pub async fn a_batch_of_one_priority_is_in_order(f: Fixture) {
    f.push(tasks("a", 40)).await;
    let expected: Vec<String> = (0..40).map(|number| format!("a{number}")).collect();
    assert_eq!(ids(&f.take(&f.asking(40)).await), expected);
}

/// Batch by batch, 6 : 3 : 1.
pub async fn priorities_share_six_to_three_to_one(f: Fixture) {
    for priority in Priority::ALL {
        f.push(with_priority(priority, tasks(&format!("p{}-", priority as u8), 200))).await;
    }
    let mut taken = Vec::new();
    for _ in 0..20 {
        taken.extend(f.take(&f.asking(10)).await);
    }
    let counts = count(&taken, |delivery| delivery.priority);
    let expected = [(Priority::High, 120), (Priority::Normal, 60), (Priority::Low, 20)];
    for (priority, share) in expected {
        assert!(counts[&priority].abs_diff(share) <= 20, "{counts:?}");
    }
}

/// A worker with one slot must not give it to the most urgent each time.
pub async fn nobody_starves_where_one_is_taken_at_a_time(f: Fixture) {
    for priority in Priority::ALL {
        f.push(with_priority(priority, tasks(&format!("p{}-", priority as u8), 300))).await;
    }
    let mut taken = Vec::new();
    for _ in 0..200 {
        let delivery = f.take_one().await;
        f.end(&delivery, Ending::Done).await;
        taken.push(delivery);
    }
    let counts = count(&taken, |delivery| delivery.priority);
    // Five standard deviations of a fair throw.
    assert!(counts[&Priority::High].abs_diff(120) <= 35, "{counts:?}");
    assert!(counts[&Priority::Normal].abs_diff(60) <= 33, "{counts:?}");
    assert!(counts[&Priority::Low].abs_diff(20) <= 19, "{counts:?}");
}

/// Shares are of what there is: low alone gets everything, in one look.
pub async fn what_a_priority_does_not_use_goes_to_the_others(f: Fixture) {
    f.push(with_priority(Priority::Low, tasks("low", 20))).await;
    f.push(with_priority(Priority::High, tasks("high", 1))).await;
    assert_eq!(f.look(&f.asking(15)).await.len(), 15);
    assert_eq!(f.look(&f.asking(15)).await.len(), 6);
}

/// Three to one, as weighted.
pub async fn queues_share_by_weight(f: Fixture) {
    f.push(on_queue("heavy", tasks("h", 600))).await;
    f.push(on_queue("light", tasks("l", 600))).await;
    let queues = vec![(name("light"), 1), (name("heavy"), 3)];
    let mut taken = Vec::new();
    for max in [8; 40].into_iter().chain([1; 120]) {
        taken.extend(f.take(&Reserve { queues: queues.clone(), ..f.asking(max) }).await);
    }
    let light = count(&taken, |delivery| delivery.run.queue.to_string())["light"];
    assert!(light.abs_diff(110) <= 55, "{light} of 440");
}

/// Where a handler has fewer places than the worker has slots, its tasks in all queues and priorities want the same ones.
pub async fn nobody_starves_where_a_handler_has_one_place(f: Fixture) {
    for queue in ["first", "second"] {
        for priority in Priority::ALL {
            let tasks = tasks(&format!("{queue}-{}-", priority as u8), 200);
            f.push(on_queue(queue, with_priority(priority, tasks))).await;
        }
    }
    let queues = vec![(name("first"), 1), (name("second"), 1)];
    let mut taken = Vec::new();
    for _ in 0..200 {
        let asking = Reserve { queues: queues.clone(), room: room(&[("h", 1)]), wait: DAY, ..f.asking(16) };
        let deliveries = f.look(&asking).await;
        assert_eq!(deliveries.len(), 1);
        f.end(&deliveries[0], Ending::Done).await;
        taken.extend(deliveries);
    }
    let (queues, priorities) = (count(&taken, |d| d.run.queue.to_string()), count(&taken, |d| d.priority));
    // Five standard deviations of a fair throw.
    assert!(queues["first"].abs_diff(100) <= 36, "{queues:?}");
    assert!(priorities[&Priority::High].abs_diff(120) <= 35, "{priorities:?}");
    assert!(priorities[&Priority::Low].abs_diff(20) <= 19, "{priorities:?}");
}

/// An empty queue takes nothing away from the others.
pub async fn an_empty_queue_gives_its_share_away(f: Fixture) {
    f.push(on_queue("full", tasks("f", 20))).await;
    f.push(on_queue("nearly", tasks("n", 1))).await;
    let queues = vec![(name("empty"), 100), (name("nearly"), 10), (name("full"), 1)];
    assert_eq!(f.look(&Reserve { queues, ..f.asking(10) }).await.len(), 10);
}

/// A worker gets tasks only from the queues that it names.
pub async fn other_queues_are_left_alone(f: Fixture) {
    f.push(on_queue("theirs", tasks("t", 3))).await;
    f.push(on_queue("mine", tasks("m", 2))).await;
    let mine = asking(&["mine"], &["h"], 10, f.beats(10));
    assert_eq!(ids(&f.look(&mine).await), ["m0", "m1"]);
    f.nothing(&asking(&[], &["h"], 10, f.beats(10))).await;
}

/// Strict: the queues in the order named, and in each the urgent before the others.
pub async fn strict_takes_in_the_order_named(f: Fixture) {
    for queue in ["second", "first"] {
        for (text, priority) in [("low", Priority::Low), ("normal", Priority::Normal), ("high", Priority::High)] {
            let messages = with_priority(priority, tasks(&format!("{queue}-{text}"), 2));
            f.push(on_queue(queue, messages)).await;
        }
    }
    let queues = vec![(name("first"), 1), (name("second"), 100)];
    let mut order = Vec::new();
    for max in [1, 4, 2, 5] {
        let request = Reserve { order: Order::Strict, queues: queues.clone(), ..f.asking(max) };
        order.extend(f.take(&request).await.iter().map(|delivery| delivery.run.id.to_string()));
    }
    let expected: Vec<String> = ["first-high", "first-normal", "first-low", "second-high", "second-normal", "second-low"]
        .iter()
        .flat_map(|prefix| [format!("{prefix}0"), format!("{prefix}1")])
        .collect();
    assert_eq!(order, expected);
}

/// Never more than asked for; nothing for nothing.
pub async fn a_look_gives_at_most_what_was_asked(f: Fixture) {
    f.push(tasks("a", 30)).await;
    f.nothing(&f.asking(0)).await;
    for max in [1, 2, 7] {
        assert!(f.look(&f.asking(max)).await.len() <= max);
    }
}
