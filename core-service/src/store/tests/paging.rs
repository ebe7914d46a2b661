//! Paging, whatever is there and whatever is asked for.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};

use super::*;
use crate::domain::event_type::EventType;
use crate::domain::page::{Page, PageLimit, PageRequest};

const PLENTY: Limits = Limits { secrets: 100, webhooks: 100 };
const EVENTS: [&str; 5] = ["chat", "livestream", "follow", "mention", "stream.received"];

/// What a webhook of the test is: its millisecond (few, so that many share one), and what is filtered by.
type Made = (i64, bool, u8);

/// The event types whose bits are set; never none.
fn events(bits: u8) -> Vec<String> {
    let asked = EVENTS.iter().enumerate().filter(|(bit, _)| bits & (1 << bit) != 0);
    let asked: Vec<String> = asked.map(|(_, name)| (*name).to_owned()).collect();
    if asked.is_empty() { vec![EVENTS[0].to_owned()] } else { asked }
}

async fn make(store: &Store, owner: &str, number: usize, (created_at_ms, active, bits): Made) -> Webhook {
    let mut new = new_webhook(owner, &format!("https://example.com/{number}"), None);
    new.created_at_ms = created_at_ms;
    new.config.active = active;
    new.config.events = EventTypes::parse("events", &events(bits)).unwrap();
    store.create_webhook(&new).await.unwrap();
    new
}

async fn walk(store: &Store, mut request: PageRequest) -> Vec<Uuid> {
    let mut walked = Vec::new();
    loop {
        let Page { webhooks, next } = store.webhooks(&did("a"), &request).await.unwrap();
        let full = webhooks.len() == request.limit.get() as usize;
        walked.extend(webhooks.iter().map(|webhook| webhook.id));
        match next {
            Some(_) => request.after = next,
            None => return walked,
        }
        assert!(full, "only the last page is short");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn pages_are_the_whole_list_in_pieces(
        made in vec((0_i64..4, any::<bool>(), any::<u8>()), 0..30),
        limit in 1_i64..12,
        active in option::of(any::<bool>()),
        event in option::of(0_usize..EVENTS.len()),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (walked, expected) = runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let store = open(folder.path(), PLENTY).await;
            let mut expected = Vec::new();
            for (number, one) in made.into_iter().enumerate() {
                make(&store, "b", number, one).await;
                expected.push(make(&store, "a", number, one).await);
            }
            let event: Option<EventType> = event.map(|event| EVENTS[event].parse().unwrap());
            expected.retain(|webhook| {
                active.is_none_or(|active| webhook.config.active == active)
                    && event.is_none_or(|event| webhook.config.events.iter().any(|asked| asked == event))
            });
            expected.sort_by_key(|webhook| std::cmp::Reverse((webhook.created_at_ms, webhook.id)));
            let limit = PageLimit::try_from(limit).unwrap();
            let walked = walk(&store, PageRequest { limit, after: None, active, event }).await;
            (walked, expected.iter().map(|webhook| webhook.id).collect::<Vec<_>>())
        });
        prop_assert_eq!(walked, expected);
    }
}
