//! Bodies with names that are looked up: of events that were read from the public network.

use std::time::Duration;

use super::deliveries::{Fixture, RETRY, attempted, chat, fixture};
use super::waiting::execute;
use super::*;
use crate::delivery::finished::Ending;
use crate::delivery::lease::{Body, Named};
use crate::delivery::naming::{FoundNames, Naming, Unnamed};
use crate::delivery::outcome::{Next, Outcome};
use crate::domain::webhook_change::WebhookChange;

const LEASE: Duration = Duration::from_secs(25);

fn names(handle: &str) -> FoundNames {
    FoundNames { handle: Some(handle.to_owned()), ..FoundNames::default() }
}

fn naming(leased: &Leased, handle: &str) -> Naming {
    let Leased { delivery, event, webhook, lease, .. } = *leased;
    Naming { delivery, event, webhook, lease, names: names(handle) }
}

fn text(body: &[u8]) -> &str {
    std::str::from_utf8(body).unwrap()
}

/// Leases of the first attempts at one event of the network.
async fn leased_of_network(fixture: &mut Fixture) -> Vec<Leased> {
    fixture.store.publish(vec![chat("k", "hello")]).await.unwrap();
    execute(fixture, "UPDATE event SET intake_at_ms = 1").await;
    for leased in fixture.taken() {
        let mut given_back = attempted(&leased, Outcome::Ok, Next::Done);
        given_back.ending = Ending::GivenBack;
        drop(leased);
        fixture.store.finish(given_back).await.unwrap();
    }
    fixture.store.claim().await.unwrap();
    fixture.taken()
}

async fn claimed(fixture: &mut Fixture, after: Duration) -> Leased {
    fixture.clock.advance(after);
    fixture.store.claim().await.unwrap();
    fixture.taken().pop().unwrap()
}

async fn named(fixture: &Fixture, leased: &Leased, handle: &str) -> Option<Named> {
    fixture.store.name(naming(leased, handle)).await.unwrap()
}

#[tokio::test]
async fn body_is_made_once_the_names_are_known() {
    let (mut fixture, _) = fixture(1).await;
    let first = leased_of_network(&mut fixture).await.pop().unwrap();
    let subject = did("author");
    assert_eq!(first.body, Body::Unnamed(Unnamed { subject, thumbnail_cid: None }));
    assert_eq!(fixture.delivery(first.delivery).await.body, None);
    fixture.clock.advance(Duration::from_secs(2));
    let Named { body, .. } = named(&fixture, &first, "carol.example").await.unwrap();
    assert!(text(&body).contains(r#""author":{"did":"did:plc:author","handle":"carol.example"}"#));
    let row = fixture.delivery(first.delivery).await;
    assert_eq!(row.body.as_deref(), Some(&*body));
    let end_ms = fixture.clock.unix_ms() + 25_000;
    assert_eq!((row.lease, row.next_at_ms), (Some(first.lease), Some(end_ms)), "the lease begins anew");
    fixture.finish(first, Outcome::Http, RETRY).await;
    let second = claimed(&mut fixture, Duration::from_secs(6)).await;
    assert_eq!((second.attempt, second.body), (2, Body::Made(body)));
}

/// What is stored may have been sent: whoever goes on sends the same.
#[tokio::test]
async fn lost_after_the_body_was_stored() {
    let (mut fixture, _) = fixture(1).await;
    let first = leased_of_network(&mut fixture).await.pop().unwrap();
    let Named { body, .. } = named(&fixture, &first, "carol.example").await.unwrap();
    drop(first);
    fixture.clock.advance(LEASE);
    assert_eq!(fixture.store.claim().await.unwrap().lost, 1);
    let second = claimed(&mut fixture, Duration::from_secs(6)).await;
    assert_eq!((second.attempt, second.body), (2, Body::Made(body)));
}

#[tokio::test]
async fn lost_before_the_body_was_stored() {
    let (mut fixture, _) = fixture(1).await;
    let first = leased_of_network(&mut fixture).await.pop().unwrap();
    let late = naming(&first, "late.example");
    drop(first);
    fixture.clock.advance(LEASE);
    assert_eq!(fixture.store.claim().await.unwrap().lost, 1);
    let second = claimed(&mut fixture, Duration::from_secs(6)).await;
    assert!(matches!(second.body, Body::Unnamed(_)));
    assert!(fixture.store.name(late).await.unwrap().is_none(), "its lease is lost");
    assert_eq!(fixture.delivery(second.delivery).await.body, None);
    let Named { body, .. } = named(&fixture, &second, "carol.example").await.unwrap();
    assert!(text(&body).contains("carol.example"));
}

/// Names are looked up for two seconds: the webhook counts as it stands then.
#[tokio::test]
async fn webhook_that_was_changed_meanwhile() {
    let (mut fixture, webhooks) = fixture(1).await;
    let leased = leased_of_network(&mut fixture).await.pop().unwrap();
    let change = WebhookChange {
        url: Some(WebhookUrl::parse("https://other.example/", Schemes::Https).unwrap()),
        prefix: Some(Some("new ".parse().unwrap())),
        ..WebhookChange::default()
    };
    fixture.store.update_webhook(&did("a"), webhooks[0].id, &change, 0).await.unwrap();
    let Named { url, body, .. } = named(&fixture, &leased, "carol.example").await.unwrap();
    assert_eq!(url.expose().as_str(), "https://other.example/");
    assert!(text(&body).contains("new hello"));
}

#[tokio::test]
async fn webhook_that_was_switched_off_meanwhile() {
    let (mut fixture, webhooks) = fixture(1).await;
    let leased = leased_of_network(&mut fixture).await.pop().unwrap();
    let change = WebhookChange { active: Some(false), ..WebhookChange::default() };
    fixture.store.update_webhook(&did("a"), webhooks[0].id, &change, 0).await.unwrap();
    assert!(named(&fixture, &leased, "carol.example").await.is_none());
    assert_eq!(fixture.delivery(leased.delivery).await.body, None);
}

#[tokio::test]
async fn event_that_was_muted_meanwhile() {
    let (mut fixture, webhooks) = fixture(1).await;
    let leased = leased_of_network(&mut fixture).await.pop().unwrap();
    let mute_words = Some(MuteWords::parse("mute_words", &["HELLO".into()]).unwrap());
    let change = WebhookChange { mute_words, ..WebhookChange::default() };
    fixture.store.update_webhook(&did("a"), webhooks[0].id, &change, 0).await.unwrap();
    assert!(named(&fixture, &leased, "carol.example").await.is_none());
}

#[tokio::test]
async fn many_at_once() {
    let (mut fixture, _) = fixture(40).await;
    let leased = leased_of_network(&mut fixture).await;
    assert_eq!(leased.len(), 40);
    let namings = leased.iter().enumerate().map(|(number, one)| naming(one, &format!("h{number}.example")));
    let named = join_all(namings.map(|naming| fixture.store.name(naming))).await;
    for (number, named) in named.into_iter().enumerate() {
        let Named { url, body, .. } = named.unwrap().unwrap();
        assert!(text(&body).contains(&format!(r#""h{number}.example""#)));
        assert_eq!(url.expose().as_str(), leased[number].url.expose().as_str());
    }
}
