//! Walks through the pages of `place.stream.server.listWebhooks`: no page comes short, repeats a row or loses
//! one, while others write.

use std::collections::{HashMap, HashSet};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::database::Kind;
use crate::harness::on_both;
use crate::harness::stack::{DELETE_WEBHOOK, Setup, Stack};
use crate::harness::webhook::{counts, id, made, made_with, page, pages, start};

on_both! {
    pages_of_every_size_go_to_the_end, filtered_pages_do_not_come_short, row_of_the_cursor_may_be_gone,
    a_thousand_while_others_are_made_and_deleted
}

fn ids(webhooks: &[Value]) -> Vec<String> {
    webhooks.iter().map(|webhook| id(webhook).to_owned()).collect()
}

/// The ids on all pages, while nobody writes: each page is full but the last, which is not empty.
async fn walk(stack: &Stack, limit: usize, filters: &[(&str, &str)]) -> Vec<String> {
    let text = limit.to_string();
    let pages = pages(stack, &[&[("limit", text.as_str())], filters].concat()).await;
    let (last, others) = pages.split_last().unwrap();
    assert!(!last.is_empty() && last.len() <= limit);
    assert!(others.iter().all(|page| page.len() == limit), "a page came short");
    ids(&pages.concat())
}

async fn delete(stack: &Stack, id: &str) {
    stack.call(DELETE_WEBHOOK, &json!({ "id": id })).await.ok();
}

async fn pages_of_every_size_go_to_the_end(kind: Kind) {
    let stack = start(kind).await;
    for number in 0..24 {
        made(&stack, &number.to_string()).await;
    }
    let all = walk(&stack, 100, &[]).await;
    assert_eq!(all.len(), 24);
    // Also sizes that divide 24: then the last page is full, and has no cursor.
    for limit in [1, 5, 8, 12, 23, 24, 25] {
        assert_eq!(walk(&stack, limit, &[]).await, all, "pages of {limit}");
    }
}

async fn filtered_pages_do_not_come_short(kind: Kind) {
    let stack = start(kind).await;
    let mut wanted = Vec::new();
    for number in 0..30 {
        let (active, event) = (number % 2 == 0, ["chat", "follow", "mention"][number % 3]);
        let fields = json!({ "active": active, "events": ["livestream", event] });
        let webhook = made_with(&stack, &number.to_string(), fields).await;
        if active && event == "follow" {
            wanted.push(id(&webhook).to_owned());
        }
    }
    wanted.sort();
    for limit in [1, 2, 4, 5, 6] {
        let mut seen = walk(&stack, limit, &[("active", "true"), ("event", "follow")]).await;
        seen.sort();
        assert_eq!(seen, wanted, "pages of {limit}");
    }
}

async fn row_of_the_cursor_may_be_gone(kind: Kind) {
    let stack = start(kind).await;
    for number in 0..4 {
        made(&stack, &number.to_string()).await;
    }
    let all = walk(&stack, 100, &[]).await;
    let (first, next) = page(&stack, &[("limit", "2")], None).await;
    assert_eq!(ids(&first), all[..2]);
    delete(&stack, &all[1]).await;
    made(&stack, "newer").await;
    let (rest, next) = page(&stack, &[("limit", "2")], next.as_deref()).await;
    assert_eq!((ids(&rest).as_slice(), next), (&all[2..], None));
}

/// While each page is read, two webhooks are made and two are deleted: that of the cursor, and one further on
/// that was not seen yet.
async fn a_thousand_while_others_are_made_and_deleted(kind: Kind) {
    let stack = Setup::on(kind)
        .core("--probe", "off")
        .core("--max-webhooks", "2000")
        .gateway("--rate-limit", "0")
        .start()
        .await;
    let mut number = 0;
    let mut there = HashSet::new();
    while there.len() < 1000 {
        let paths: Vec<String> = (0..50).map(|offset| (number + offset).to_string()).collect();
        let webhooks = join_all(paths.iter().map(|path| made(&stack, path))).await;
        there.extend(webhooks.iter().map(|webhook| id(webhook).to_owned()));
        number += 50;
    }
    for limit in ["9", "100"] {
        let (mut seen, mut deleted, mut new) = (HashMap::new(), HashSet::new(), Vec::<Value>::new());
        // From the middle on, so that the walk comes to some of them and has passed others.
        let mut doomed: Vec<String> = walk(&stack, 100, &[]).await.into_iter().skip(500).step_by(3).collect();
        let (mut cursor, mut last) = (None, None);
        loop {
            let victims: Vec<String> = last.take().into_iter().chain(doomed.pop()).collect();
            let paths = [(number + 1).to_string(), (number + 2).to_string()];
            number += 2;
            let params = [("limit", limit)];
            let ((read, next), made, _) = tokio::join!(
                page(&stack, &params, cursor.as_deref()),
                join_all(paths.iter().map(|path| made(&stack, path))),
                join_all(victims.iter().map(|victim| delete(&stack, victim))),
            );
            new.extend(made);
            deleted.extend(victims);
            let read = ids(&read);
            for id in &read {
                *seen.entry(id.clone()).or_insert(0) += 1;
            }
            last = read.last().filter(|last| !deleted.contains(*last)).cloned();
            doomed.retain(|id| Some(id) != last.as_ref());
            match next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        assert!(
            deleted.len() > 10 && deleted.iter().any(|id| !seen.contains_key(id)),
            "some were never seen"
        );
        assert!(seen.values().all(|times| *times == 1), "pages of {limit} repeat a row");
        let survivors: HashSet<&String> = there.difference(&deleted).collect();
        let lost: Vec<_> = survivors.iter().filter(|id| !seen.contains_key(id.as_str())).collect();
        assert!(survivors.len() > 500 && lost.is_empty(), "pages of {limit} lose {lost:?}");
        there.retain(|id| !deleted.contains(id));
        there.extend(new.iter().map(|webhook| id(webhook).to_owned()));
        let there = i64::try_from(there.len()).unwrap();
        assert_eq!(counts(&stack, &stack.alice).await, (there, there));
    }
}
