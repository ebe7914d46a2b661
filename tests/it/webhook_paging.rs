//! Walks through the pages of `place.stream.server.listWebhooks`: none comes short, repeats a row or loses one,
//! while others write (METHODS.md).

use std::collections::{HashMap, HashSet};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::database::Kind;
use crate::harness::on_both;
use crate::harness::stack::{DELETE_WEBHOOK, LIST_WEBHOOKS, Setup, Stack};
use crate::harness::webhook::{counts, id, made, made_with, start};

/// What one page has.
struct Page {
    ids: Vec<String>,
    next: Option<String>,
}

async fn page(stack: &Stack, params: &[(&str, &str)], cursor: Option<&str>) -> Page {
    let mut params = params.to_vec();
    params.extend(cursor.map(|cursor| ("cursor", cursor)));
    let page = stack.query(LIST_WEBHOOKS, &params).await.ok();
    let webhooks = page["webhooks"].as_array().unwrap();
    Page {
        ids: webhooks.iter().map(|webhook| id(webhook).to_owned()).collect(),
        next: page.get("cursor").map(|cursor| cursor.as_str().unwrap().to_owned()),
    }
}

/// All pages, while nobody writes: each is full but the last.
async fn walk(stack: &Stack, limit: usize, filters: &[(&str, &str)]) -> Vec<String> {
    let text = limit.to_string();
    let params = [&[("limit", text.as_str())], filters].concat();
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let Page { ids, next } = page(stack, &params, cursor.as_deref()).await;
        assert!(!ids.is_empty() && ids.len() <= limit);
        assert!(ids.len() == limit || next.is_none(), "a page came short");
        seen.extend(ids);
        match next {
            Some(next) => cursor = Some(next),
            None => return seen,
        }
    }
}

async fn delete(stack: &Stack, id: &str) {
    stack.call(DELETE_WEBHOOK, &json!({ "id": id })).await.ok();
}

on_both! {
    pages_of_every_size_go_to_the_end, filtered_pages_do_not_come_short, row_of_the_cursor_may_be_gone,
    a_thousand_while_others_are_made_and_deleted
}

async fn pages_of_every_size_go_to_the_end(on: Kind) {
    let stack = start(on).await;
    for number in 0..24 {
        made(&stack, &number.to_string()).await;
    }
    let all = walk(&stack, 100, &[]).await;
    assert_eq!(all.len(), 24);
    // Also sizes that leave no rest: then the last page is full, and has no cursor.
    for limit in [1, 5, 8, 12, 23, 24, 25] {
        assert_eq!(walk(&stack, limit, &[]).await, all, "pages of {limit}");
    }
}

async fn filtered_pages_do_not_come_short(on: Kind) {
    let stack = start(on).await;
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

async fn row_of_the_cursor_may_be_gone(on: Kind) {
    let stack = start(on).await;
    for number in 0..4 {
        made(&stack, &number.to_string()).await;
    }
    let all = walk(&stack, 100, &[]).await;
    let first = page(&stack, &[("limit", "2")], None).await;
    assert_eq!(first.ids, all[..2]);
    delete(&stack, &all[1]).await;
    made(&stack, "newer").await;
    let rest = page(&stack, &[("limit", "2")], first.next.as_deref()).await;
    assert_eq!((rest.ids.as_slice(), rest.next), (&all[2..], None));
}

// Beside every page two webhooks are made and two are deleted: that of the cursor, and one further on that was
// not seen yet.
async fn a_thousand_while_others_are_made_and_deleted(on: Kind) {
    let stack = Setup::on(on)
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
            let (read, made, _) = tokio::join!(
                page(&stack, &params, cursor.as_deref()),
                join_all(paths.iter().map(|path| made(&stack, path))),
                join_all(victims.iter().map(|victim| delete(&stack, victim))),
            );
            new.extend(made);
            deleted.extend(victims);
            for id in &read.ids {
                *seen.entry(id.clone()).or_insert(0) += 1;
            }
            last = read.ids.last().filter(|last| !deleted.contains(*last)).cloned();
            doomed.retain(|id| Some(id) != last.as_ref());
            match read.next {
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
