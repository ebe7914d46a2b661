//! A session whose stream brings nothing and whose listings are answered here.

use std::io;

use egress::client::Egress;
use egress::policy::Policy;
use egress::resolver::Resolver;
use futures_util::future::BoxFuture;
use http::HeaderValue;
use jetstream::connect::{Connect, Stream};
use jetstream::event::{Commit, Kind, Operation, Wire};
use jetstream::host::Host;
use process::clock::Clock;
use process::shutdown::Shutdown;
use serde_json::json;
use serde_json::value::RawValue;
use tempfile::TempDir;
use url::Url;

use super::*;
use crate::delivery::event::{Actor, Chat, Payload};
use crate::domain::webhook_change::WebhookChange;
use crate::domain::webhook_url::Schemes;
use crate::identity::Identity;
use crate::intake::Lists;
use crate::intake::batch::LeaseReport;
use crate::intake::derive::{Candidate, Check};
use crate::intake::listing::Request;
use crate::intake::metrics::IntakeMetrics;
use crate::intake::mirror::{ACCESS, AccessRule, Action, MirrorChange, Mirrored, Subject};
use crate::intake::owners::RecordOwners;
use crate::randomness::Randomness;
use crate::store::commit::Limits;
use crate::store::tests::intake::deliveries_of;
use crate::store::tests::{did, metrics, new_secret, new_webhook, open_delivering};

const NOW_MS: i64 = 1_800_000_000_000;

struct Nowhere;

impl Connect for Nowhere {
    fn connect<'a>(&'a self, _: &'a Url) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async { Err(io::Error::other("there is no host")) })
    }
}

/// The streamer `a` has a webhook for chats.
struct Fixture {
    _folder: TempDir,
    intake: Intake,
    webhook: Uuid,
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(NOW_MS);
        let limits = Limits { secrets: 3, webhooks: 3 };
        let (store, _leased) = open_delivering(folder.path(), limits, clock.clone()).await;
        let webhook = new_webhook("a", "https://a.example/", None);
        store.create_webhook(&webhook).await.unwrap();
        let resolver = Resolver::new(&["127.0.0.1:9".parse().unwrap()]).unwrap();
        let egress = Egress::new(Policy::new(Vec::new()), resolver, None).unwrap();
        let plc = "http://127.0.0.1:9".parse().unwrap();
        let lists = Lists {
            identity: Identity::new(plc, egress.clone(), clock.clone()),
            egress,
            relay: None,
            owners: RecordOwners::Known,
            schemes: Schemes::Https,
            metrics: Arc::new(metrics().register("test", IntakeMetrics::new)),
            clock,
        };
        let intake = Intake {
            store: Arc::new(store),
            hosts: vec![Host::parse("ws://127.0.0.1:9/subscribe").unwrap()],
            network: false,
            connect: Arc::new(Nowhere),
            user_agent: HeaderValue::from_static("test"),
            shutdown: Shutdown::new(Duration::ZERO, Duration::ZERO),
            lists: Arc::new(lists),
            id: Uuid::from_u128(7),
            randomness: Randomness::of_the_system(),
            lease_lost: Arc::default(),
        };
        Self { _folder: folder, intake, webhook: webhook.id }
    }

    async fn open(&self) -> (Session<'_>, Asked) {
        let taken = self.intake.store.take_intake(self.intake.id, true).await.unwrap();
        let LeaseReport::Held { epoch, start } = taken else { panic!("nobody else reads") };
        let (listings, asked) = Listings::undone();
        let holder = Holder { id: self.intake.id, epoch };
        (Session::open(&self.intake, holder, start, listings).await.unwrap(), Asked(asked))
    }

    async fn set_active(&self, active: bool) {
        let change = WebhookChange { active: Some(active), ..WebhookChange::default() };
        self.intake.store.update_webhook(&did("a"), self.webhook, &change, NOW_MS).await.unwrap();
    }

    async fn listed(&self) -> usize {
        self.intake.store.mirrored_owners().await.unwrap().len()
    }
}

struct Asked(mpsc::UnboundedReceiver<Request>);

impl Asked {
    /// What of the mirror has been asked for since, and for whose records in a round.
    fn take(&mut self) -> (Vec<(Did, MirrorKind)>, Vec<Did>) {
        let (mut mirrors, mut round) = (Vec::new(), Vec::new());
        while let Ok(request) = self.0.try_recv() {
            match request {
                Request::Mirror(did, kind) => mirrors.push((did, kind)),
                Request::Round(owners) => round.extend(owners),
                Request::Records(_) => {}
            }
        }
        (mirrors, round)
    }
}

fn blocks_and_access() -> Vec<(Did, MirrorKind)> {
    vec![(did("a"), MirrorKind::Block), (did("a"), MirrorKind::Access)]
}

impl Session<'_> {
    async fn end(&mut self, name: &str, kind: MirrorKind) {
        let ended = Listed::MirrorEnded { did: did(name), kind, rev: Some("3".to_owned()) };
        assert_eq!(self.take_listed(ended).await.unwrap(), None);
    }

    async fn end_both(&mut self) {
        self.end("a", MirrorKind::Block).await;
        self.end("a", MirrorKind::Access).await;
        assert_eq!(self.flush().await.unwrap(), None);
    }

    fn must_wait(&mut self) -> bool {
        self.pins.keep_back(chat(1), None).is_none()
    }
}

fn chat(id: u128) -> Candidate {
    let author = Actor { did: did("b"), handle: None, avatar_url: None };
    Candidate {
        id: Uuid::from_u128(id),
        streamer: did("a"),
        author: did("b"),
        event_type: EventType::Chat,
        time_us: NOW_MS * 1000,
        verdict: Ok(Payload::Chat(Chat { author, text: "hello".to_owned(), uri: String::new() })),
        check: Check::BlocksAndAccess,
    }
}

#[tokio::test]
async fn who_is_wanted_once_more_is_listed_anew() {
    let fixture = Fixture::new().await;
    let (mut session, mut asked) = fixture.open().await;
    assert_eq!(asked.take().0, blocks_and_access());
    assert!(session.must_wait());
    session.end_both().await;
    assert!(!session.must_wait());
    assert_eq!(fixture.listed().await, 2);

    fixture.set_active(false).await;
    session.reload().await.unwrap();
    session.flush().await.unwrap();
    assert_eq!(fixture.listed().await, 0);
    fixture.set_active(true).await;
    session.reload().await.unwrap();
    assert_eq!(asked.take().0, blocks_and_access());
    assert!(session.must_wait());

    // Gone and back while they are listed.
    for active in [false, true] {
        fixture.set_active(active).await;
        session.reload().await.unwrap();
    }
    session.end_both().await;
    assert_eq!((asked.take().0, fixture.listed().await), (blocks_and_access(), 0));
    assert!(session.must_wait());
    session.end_both().await;
    assert_eq!(fixture.listed().await, 2);

    // Gone while nobody reads.
    fixture.set_active(false).await;
    let (mut session, _) = fixture.open().await;
    session.flush().await.unwrap();
    assert_eq!(fixture.listed().await, 0);
}

#[tokio::test]
async fn listing_of_a_gap_is_not_forgotten_by_a_restart() {
    let fixture = Fixture::new().await;
    let (mut session, mut asked) = fixture.open().await;
    session.end_both().await;
    asked.take();
    session.gap(&"a.example".into(), 0, None);
    assert_eq!(asked.take(), (blocks_and_access(), vec![did("a")]));
    session.flush().await.unwrap();
    // The listing fails.
    for (did, kind) in blocks_and_access() {
        session.take_listed(Listed::MirrorEnded { did, kind, rev: None }).await.unwrap();
    }
    let (_session, mut asked) = fixture.open().await;
    assert_eq!(asked.take().0, blocks_and_access());
}

#[tokio::test]
async fn round_has_those_who_became_known_since() {
    let fixture = Fixture::new().await;
    let (mut session, mut asked) = fixture.open().await;
    assert_eq!(asked.take().1, [did("a")]);
    fixture.intake.store.create_secret(&new_secret("c", "mine")).await.unwrap();
    session.reload().await.unwrap();
    session.begin_round();
    let mut owners = asked.take().1;
    owners.sort_unstable();
    assert_eq!(owners, [did("a"), did("c")]);
    assert!(session.round_at > Instant::now() + ROUND_INTERVAL / 2);
}

#[tokio::test]
async fn chat_waits_for_those_who_verify_its_author() {
    let fixture = Fixture::new().await;
    let (mut session, mut asked) = fixture.open().await;
    asked.take();
    let mirrored = |owner: &str, kind, content| {
        let change = MirrorChange {
            owner: did(owner),
            kind,
            rkey: "k".to_owned(),
            rev: "3".to_owned(),
            content: Some(content),
        };
        Listed::Part(Change::Mirror(vec![change]))
    };
    let rule = AccessRule { action: Action::Allow, subject: Subject::Verifier(did("v")) };
    assert!(session.pins.keep_back(chat(1), None).is_none());
    session.take_listed(mirrored("a", MirrorKind::Access, Mirrored::Access(rule))).await.unwrap();
    session.end_both().await;
    assert_eq!(asked.take().0, [(did("v"), MirrorKind::Verification)]);
    assert!(session.pins.keep_back(chat(2), None).is_none());
    let verified = Mirrored::Verification(did("b"));
    session.take_listed(mirrored("v", MirrorKind::Verification, verified)).await.unwrap();
    session.end("v", MirrorKind::Verification).await;
    session.flush().await.unwrap();
    for event in [1, 2] {
        assert_eq!(deliveries_of(&fixture.intake.store, event).await, Some(1), "{event}");
    }
}

#[tokio::test]
async fn rule_counts_for_what_comes_right_behind_it() {
    let fixture = Fixture::new().await;
    let (mut session, mut asked) = fixture.open().await;
    session.end_both().await;
    asked.take();
    let event = |name: &str, cursor, collection: &str, record: serde_json::Value| {
        let commit = Commit {
            rev: "3l6oveex3ii2l".to_owned(),
            operation: Operation::Create,
            collection: collection.to_owned(),
            rkey: "3l6oveex3ii2l".to_owned(),
            cid: None,
            record: Some(RawValue::from_string(record.to_string()).unwrap()),
        };
        let host = "ws://127.0.0.1:9/subscribe".into();
        let position = Position { host, wire: Wire::V1, cursor, time_us: NOW_MS * 1000 };
        Notice::Event(Event { position, did: did(name).to_string(), kind: Kind::Commit(commit) })
    };
    let subject = json!({"$type": "place.stream.chat.access#verifier", "did": "did:plc:v"});
    let chat = json!({"text": "hello", "streamer": "did:plc:a", "createdAt": "2027-01-15T08:00:00Z"});
    session.waiting.extend([
        event("a", 1, ACCESS, json!({"action": "allow", "subject": subject})),
        event("b", 2, "place.stream.chat.message", chat),
    ]);
    assert_eq!(session.process().await.unwrap(), None);
    assert_eq!(asked.take().0, [(did("v"), MirrorKind::Verification)]);
    let is_judged = |change: &Change| matches!(change, Change::Streamer(_));
    assert!(!session.batch.changes.iter().any(is_judged));
    session.end("v", MirrorKind::Verification).await;
    assert!(session.batch.changes.iter().any(is_judged));
}
