//! One batch comes to the same as its jobs one by one: the same results, rows and counts.

use proptest::prelude::*;
use sea_orm::QueryOrder as _;
use tokio::runtime;

use super::*;
use crate::domain::secret::Rotation;
use crate::domain::webhook_change::WebhookChange;

/// A call by one of a few owners, about one of a few names. The number of a webhook is that of its creation,
/// in the order of all creations up to the end of the batch; one too large wraps around.
#[derive(Debug, Clone)]
enum Call {
    CreateSecret { owner: String, name: String },
    CreateWebhook { owner: String, url: String, secret: Option<String> },
    UpdateWebhook { owner: String, number: usize, url: Option<String>, secret: Option<String> },
    DeleteWebhook { owner: String, number: usize },
    RotateSecret { owner: String, name: String, overlap: bool },
    DeleteSecret { owner: String, name: String },
    Purge { owner: String },
}

fn calls() -> impl Strategy<Value = Call> {
    let (owner, name) = (|| "[ab]", || "[1-4]");
    let secret = || prop::option::weighted(0.3, name());
    prop_oneof![
        4 => (owner(), name()).prop_map(|(owner, name)| Call::CreateSecret { owner, name }),
        6 => (owner(), name(), secret())
            .prop_map(|(owner, url, secret)| Call::CreateWebhook { owner, url, secret }),
        6 => (owner(), 0..10_usize, prop::option::of(name()), secret())
            .prop_map(|(owner, number, url, secret)| Call::UpdateWebhook { owner, number, url, secret }),
        3 => (owner(), 0..10_usize).prop_map(|(owner, number)| Call::DeleteWebhook { owner, number }),
        2 => (owner(), name(), any::<bool>())
            .prop_map(|(owner, name, overlap)| Call::RotateSecret { owner, name, overlap }),
        3 => (owner(), name()).prop_map(|(owner, name)| Call::DeleteSecret { owner, name }),
        1 => owner().prop_map(|owner| Call::Purge { owner }),
    ]
}

impl Call {
    /// The order within a batch: secrets before webhooks that name them, before all changes.
    fn rank(&self) -> u8 {
        match self {
            Self::CreateSecret { .. } => 0,
            Self::CreateWebhook { .. } => 1,
            _ => 2,
        }
    }

    /// Makes the call, which is number `at` of all; what is random or a time otherwise depends on that.
    /// `webhooks` are the ids of those that were created or may be meanwhile.
    async fn make(&self, store: &Store, at: usize, webhooks: &[Uuid]) -> String {
        let at_ms = i64::try_from(at).unwrap();
        let webhook = |number: &usize| webhooks.get(number % webhooks.len().max(1)).copied();
        match self {
            Self::CreateSecret { owner, name } => {
                format!("{:?}", store.create_secret(&new_secret(owner, name)).await)
            }
            Self::CreateWebhook { owner, url, secret } => {
                let new = new_webhook(owner, &format!("https://example.com/{url}"), secret.as_deref());
                let new = Webhook { id: webhook_id(at), ..new };
                format!("{:?}", store.create_webhook(&new).await)
            }
            Self::UpdateWebhook { owner, number, url, secret } => {
                let url = url.as_ref().map(|url| format!("https://example.com/{url}"));
                let change = WebhookChange {
                    url: url.map(|url| WebhookUrl::parse(&url, Schemes::Https).unwrap()),
                    secret: secret.as_ref().map(|name| Some(name.parse().unwrap())),
                    name: Some(Some(at.to_string().parse().unwrap())),
                    ..WebhookChange::default()
                };
                let id = webhook(number).unwrap_or_default();
                format!("{:?}", store.update_webhook(&did(owner), id, &change, at_ms).await)
            }
            Self::DeleteWebhook { owner, number } => {
                let id = webhook(number).unwrap_or_default();
                format!("{:?}", store.delete_webhook(&did(owner), id).await)
            }
            Self::RotateSecret { owner, name, overlap } => {
                let token = format!("{at:040}").parse().unwrap();
                let overlap = Duration::from_secs(u64::from(*overlap));
                let name = name.parse().unwrap();
                let rotation = Rotation { owner: did(owner), name, token, rotated_at_ms: at_ms, overlap };
                format!("{:?}", store.rotate_secret(&rotation).await)
            }
            Self::DeleteSecret { owner, name } => {
                format!("{:?}", store.delete_secret(&did(owner), &name.parse().unwrap()).await)
            }
            Self::Purge { owner } => format!("{:?}", store.purge_account(&did(owner)).await),
        }
    }
}

/// The id of the webhook that call number `at` creates.
fn webhook_id(at: usize) -> Uuid {
    Uuid::from_u128(at as u128 + 1)
}

/// All that the database has, with sealed values opened.
async fn contents(store: &Store) -> Vec<String> {
    let reading = &store.database.reading;
    let accounts = account::Entity::find().order_by_asc(account::Column::Did).all(reading).await.unwrap();
    let secrets = secret::Entity::find()
        .order_by_asc(secret::Column::OwnerDid)
        .order_by_asc(secret::Column::Name)
        .all(reading)
        .await
        .unwrap();
    let webhooks = webhook::Entity::find().order_by_asc(webhook::Column::Id).all(reading).await.unwrap();
    let accounts = accounts.into_iter().map(|account| format!("{account:?}"));
    let secrets = secrets.into_iter().map(|row| {
        let (owner, name) = (row.owner_did.parse().unwrap(), row.name.parse().unwrap());
        let purpose = Purpose::Token { owner: &owner, name: &name };
        let open =
            |sealed: &[u8]| String::from_utf8(store.sealer.keys.open(purpose, sealed).unwrap()).unwrap();
        let previous = row.previous_sealed_token.as_deref().map(open);
        let token = open(&row.sealed_token);
        format!(
            "{owner} {name} {token} {previous:?} {:?} {:?}",
            row.last_rotated_at_ms, row.previous_until_ms
        )
    });
    let webhooks = webhooks.into_iter().map(|row| {
        let webhook = store.sealer.open_webhook(&row).unwrap();
        format!("{webhook:?} {}", webhook.config.url.expose())
    });
    accounts.chain(secrets).chain(webhooks).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn one_batch_is_the_same_as_one_by_one(
        batches in prop::collection::vec(prop::collection::vec(calls(), 1..12), 1..6)
    ) {
        // On one thread the writer takes nothing before all calls of a batch have queued.
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let ((_one, together), (_other, alone)) = (opened().await, opened().await);
            let mut webhooks = Vec::new();
            let mut first = 0;
            for batch in &batches {
                let numbered: Vec<_> = (first..).zip(batch).collect();
                first += batch.len();
                let created = numbered.iter().filter(|(_, call)| call.rank() == 1);
                webhooks.extend(created.map(|(at, _)| webhook_id(*at)));
                let calls = numbered.iter().map(|(at, call)| call.make(&together, *at, &webhooks));
                let results = join_all(calls).await;

                let mut in_order = numbered.clone();
                in_order.sort_by_key(|(_, call)| call.rank());
                let mut expected = vec![String::new(); batch.len()];
                for (at, call) in in_order {
                    expected[at - numbered[0].0] = call.make(&alone, at, &webhooks).await;
                }
                assert_eq!(results, expected);
                assert_eq!(contents(&together).await, contents(&alone).await);
            }
        });
    }
}
