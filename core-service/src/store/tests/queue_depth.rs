//! How much waits to be delivered.

use std::time::Duration;

use sea_orm::sea_query::Expr;

use super::deliveries::{NOW_MS, RETRY, chat, fixture};
use super::*;
use crate::delivery::metrics::QueueDepth;
use crate::delivery::outcome::{Next, Outcome};
use crate::store::table::{host_hold, webhook_state};

fn depth(pending: u64, oldest_due_ms: u64) -> QueueDepth {
    QueueDepth { pending, oldest_due: Duration::from_millis(oldest_due_ms) }
}

#[tokio::test]
async fn what_is_due_counts_until_it_ends_or_is_held() {
    let (mut fixture, webhooks) = fixture(2).await;
    let clock = fixture.clock.clone();
    let read = async |fixture: &deliveries::Fixture| fixture.store.queue_depth(&clock).await.unwrap();
    assert_eq!(read(&fixture).await, depth(0, 0));
    fixture.store.publish(vec![chat("k", "hello")]).await.unwrap();
    assert_eq!(read(&fixture).await, depth(2, 0), "both are attempted");

    let mut taken = fixture.taken();
    let (second, first) = (taken.pop().unwrap(), taken.pop().unwrap());
    let failing = second.webhook;
    fixture.finish(first, Outcome::Ok, Next::Done).await;
    fixture.finish(second, Outcome::Http, RETRY).await;
    assert_eq!(read(&fixture).await, depth(1, 0), "the retry is not due yet");
    let due_at_ms = fixture.state(failing).await.due_at_ms.unwrap();
    fixture.clock.advance(Duration::from_millis((due_at_ms - NOW_MS).unsigned_abs() + 1500));
    assert_eq!(read(&fixture).await, depth(1, 1500));

    let reading = &fixture.store.database.writing;
    let to_discord = webhook_state::Entity::update_many()
        .col_expr(webhook_state::Column::Discord, Expr::val(true))
        .filter(webhook_state::Column::WebhookId.is_in(webhooks.iter().map(|webhook| webhook.id)));
    to_discord.exec(reading).await.unwrap();
    assert_eq!(read(&fixture).await, depth(1, 1500));
    let held = host_hold::Model { host: "discord.com".to_owned(), held_until_ms: due_at_ms + 1501 };
    host_hold::Entity::insert(host_hold::ActiveModel::from(held))
        .exec_without_returning(reading)
        .await
        .unwrap();
    assert_eq!(read(&fixture).await, depth(1, 0), "all of Discord is held");
    fixture.clock.advance(Duration::from_millis(1));
    assert_eq!(read(&fixture).await, depth(1, 1501));
}
