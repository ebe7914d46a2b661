//! While an attempt is under way.

use sea_orm::ConnectionTrait as _;
use serde_json::json;

use super::{LIMIT, LONG_AGO, get, in_state, list, publish, setup, until, webhook};
use crate::harness::database::Kind;
use crate::harness::on_both;
use crate::harness::slow::{Manner, Slow};
use crate::harness::stack::{REDELIVER, REDELIVER_FAILED, UPDATE_WEBHOOK};

on_both! { cancelled_in_flight, redelivered_in_flight }

/// What was cancelled while an attempt of it was under way stays so when that fails, and is not among what
/// failed.
async fn cancelled_in_flight(kind: Kind) {
    let stack = setup(kind).start().await;
    let slow = Slow::start(Manner::Waits(500)).await;
    let webhook = webhook(&stack, &slow.url(0)).await;
    publish(&stack, "k").await;
    slow.arrived(1).await;
    stack.call(UPDATE_WEBHOOK, &json!({ "id": webhook, "active": false })).await.ok();
    slow.release();
    let ended = async {
        loop {
            let failed = in_state(&stack, &webhook, "failed").await.remove(0);
            if failed["attempts"] == 1 {
                return failed;
            }
            tokio::task::yield_now().await;
        }
    };
    let failed = tokio::time::timeout(LIMIT, ended).await.unwrap();
    assert_eq!((&failed["lastOutcome"], &failed["lastStatus"]), (&json!("cancelled"), &json!(500)));
    let shown = get(&stack, failed["id"].as_str().unwrap()).await;
    assert_eq!(shown["attempts"][0]["outcome"], "http");
    let all = stack.call(REDELIVER_FAILED, &json!({ "webhookId": webhook, "since": LONG_AGO })).await.ok();
    assert_eq!(all, json!({ "count": 0 }));
}

/// An attempt that is under way is not made a second time beside it, also if its delivery was cancelled
/// meanwhile, whether its row says so or not.
async fn redelivered_in_flight(kind: Kind) {
    let stack = setup(kind).start().await;
    let slow = Slow::start(Manner::Waits(204)).await;
    let webhook = webhook(&stack, &slow.url(0)).await;
    publish(&stack, "k").await;
    slow.arrived(1).await;
    let delivery = list(&stack, &webhook, &[]).await["deliveries"][0]["id"].take();
    let redeliver = async || stack.call(REDELIVER, &json!({ "id": delivery })).await.ok()["delivery"].take();
    assert_eq!(redeliver().await["state"], "pending");
    let connection = stack.database.connect().await;
    for says_so in [false, true] {
        for active in [false, true] {
            stack.call(UPDATE_WEBHOOK, &json!({ "id": webhook, "active": active })).await.ok();
        }
        if says_so {
            // As the job does that rewrites what was cancelled.
            let written = "UPDATE delivery SET state = 2, next_at_ms = NULL, last_outcome = 'cancelled'";
            connection.execute_unprepared(written).await.unwrap();
        }
        let again = redeliver().await;
        assert_eq!((&again["state"], again.get("nextAttemptAt")), (&json!("pending"), None));
    }
    slow.release();
    let delivered = until(&stack, &webhook, "delivered", 1).await.remove(0);
    assert_eq!((&delivered["id"], &delivered["attempts"]), (&delivery, &json!(1)));
    assert_eq!(slow.arrived_so_far(), 1);
}
