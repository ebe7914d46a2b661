//! Which of a batch's events of streamers get deliveries, and why the others don't.
//!
//! An event that has somebody to go to is judged once: its id is stored whatever the result, so that it is
//! not judged again when the stream repeats it.

use std::collections::{BTreeSet, HashMap, HashSet};

use ring::digest::{SHA256, digest};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait, Iden, QueryFilter as _, QuerySelect as _,
};

use super::mirror::access_rule;
use super::{NewRow, PUBLISHER, fits_an_index, is_its_own, stored_events};
use crate::delivery::event::{Message, Payload, Says};
use crate::delivery::text::MuteText;
use crate::intake::derive::{Candidate, Check, FOLLOWS_AGAIN, OFF_THE_AIR, Refusal, is_late};
use crate::intake::mirror::{ACCESS, AccessRule, BLOCK, Subject, VERIFICATION, may_chat};
use crate::store::commit::STATEMENT_ROWS;
use crate::store::commit::event_batch::{Context, Now};
use crate::store::commit::fan_out::{FanOut, Receiver, Wanted, active_webhooks};
use crate::store::commit::publish::share_accounts;
use crate::store::table::{event, mirror, on_air, recent_follow};

/// Judges `candidates`. Returns the deliveries, and the rows of all events that had somebody to go to.
pub(super) async fn judge(
    transaction: &DatabaseTransaction,
    context: &Context,
    now: Now,
    candidates: &[&Candidate],
) -> Result<(FanOut, Vec<NewRow>), DbErr> {
    let stored = stored_events(transaction, candidates.iter().map(|one| one.id)).await?;
    let mut seen = HashSet::new();
    let mut new: Vec<&Candidate> = candidates.to_vec();
    new.retain(|one| !stored.contains(&one.id) && seen.insert(one.id));
    let streamers: BTreeSet<&str> = new.iter().map(|one| one.streamer.as_str()).collect();
    share_accounts(transaction, streamers.clone()).await?;
    let webhooks = active_webhooks(transaction, context, now, streamers).await?;
    let receivers = |one: &Candidate| -> Vec<&Receiver> {
        let all = webhooks.get(one.streamer.as_str()).into_iter().flatten();
        all.filter(|receiver| {
            receiver.asks_for(one.event_type, None) && is_its_own(receiver.since_us(), one.time_us)
        })
        .collect()
    };
    // An origin that nobody wants shows that later ones are not the first.
    new.retain(|one| one.check == Check::Origins || !receivers(one).is_empty());
    let mut known = Known::read(transaction, &new).await?;
    let mut rows = Vec::new();
    let mut wanted = Vec::new();
    for one in new {
        let refusal = known.refusal(one, now);
        // An origin is written every 30 s; only the first of a stream is an event.
        let is_repeated = refusal == Some(Refusal::Repeated);
        if one.check == Check::Origins && (is_repeated || receivers(one).is_empty()) {
            continue;
        }
        rows.push(NewRow { row: row(one, now), skipped: refusal.map(Refusal::as_str) });
        let (Ok(payload), None) = (&one.verdict, refusal) else { continue };
        let message =
            Message { streamer: &one.streamer, occurred_at_ms: one.time_us.div_euclid(1000), payload };
        let text = MuteText::of(payload);
        for receiver in receivers(one) {
            if receiver.asks_for(one.event_type, text.as_ref()) {
                wanted.push(Wanted {
                    event: one.id,
                    says: Says::Message(message),
                    traceparent: None,
                    stream_time_us: Some(one.time_us),
                    receiver,
                });
            }
        }
    }
    known.store(transaction).await?;
    let mut fan_out = FanOut::default();
    fan_out.make(transaction, context, now, &wanted).await?;
    Ok((fan_out, rows))
}

fn row(one: &Candidate, now: Now) -> event::Model {
    let Candidate { id, streamer, author: _, event_type, time_us, verdict, check: _ } = one;
    let payload = verdict.as_ref().ok().map(Payload::to_json);
    event::Model {
        id: *id,
        publisher: PUBLISHER.to_owned(),
        idempotency_key: id.to_string(),
        content_hash: digest(&SHA256, payload.as_deref().unwrap_or_default().as_bytes()).as_ref().to_vec(),
        streamer_did: streamer.to_string(),
        r#type: event_type.to_string(),
        occurred_at_ms: time_us.div_euclid(1000),
        payload,
        deliveries: 0,
        created_at_ms: now.ms,
        traceparent: None,
        intake_at_ms: Some(now.ms),
    }
}

type Pair = (String, String);

/// What the database knows of the streamers and authors of some events, and what these add to it.
#[derive(Debug, Default)]
struct Known {
    /// Streamer and whom they block.
    blocks: HashSet<Pair>,
    /// By streamer.
    rules: HashMap<String, Vec<AccessRule>>,
    /// Verifier and whom they have verified.
    verified: HashSet<Pair>,
    /// When a follower last was an event for a streamer.
    follows: HashMap<Pair, i64>,
    new_follows: HashMap<Pair, i64>,
    /// When a streamer was last on the air.
    on_air: HashMap<String, i64>,
    new_on_air: HashMap<String, i64>,
}

impl Known {
    async fn read(transaction: &DatabaseTransaction, candidates: &[&Candidate]) -> Result<Self, DbErr> {
        let pairs = |that: fn(Check) -> bool| -> Vec<(&str, &str)> {
            let some = candidates.iter().filter(|one| that(one.check));
            some.map(|one| (one.streamer.as_str(), one.author.as_str())).collect()
        };
        let judged =
            |check| matches!(check, Check::Blocks | Check::BlocksAndAccess | Check::BlocksAndFollows);
        let blocks = mirrored(transaction, BLOCK, &pairs(judged)).await?;
        let in_chat = pairs(|check| check == Check::BlocksAndAccess);
        let rules = rules(transaction, &in_chat).await?;
        let mut verifications = Vec::new();
        for (streamer, author) in in_chat {
            for rule in rules.get(streamer).into_iter().flatten() {
                if let Subject::Verifier(verifier) = &rule.subject {
                    verifications.push((verifier.as_str(), author));
                }
            }
        }
        let verified = mirrored(transaction, VERIFICATION, &verifications).await?;
        let follows = follows(transaction, &pairs(|check| check == Check::BlocksAndFollows)).await?;
        let on_air = last_on_air(transaction, &pairs(|check| check == Check::Origins)).await?;
        Ok(Self { blocks, rules, verified, follows, on_air, ..Self::default() })
    }

    /// Why `one` gets no delivery. One that gets some counts for those after it.
    fn refusal(&mut self, one: &Candidate, now: Now) -> Option<Refusal> {
        let Candidate { id: _, streamer, author, event_type, time_us, verdict, check } = one;
        let repeated = *check == Check::Origins && self.was_on_air(streamer.as_str(), *time_us);
        if let Err(refusal) = verdict {
            return Some(*refusal);
        }
        if is_late(*event_type, *time_us, now.ms.saturating_mul(1000)) {
            return Some(Refusal::Late);
        }
        if repeated {
            return Some(Refusal::Repeated);
        }
        let pair = (streamer.to_string(), author.to_string());
        if self.blocks.contains(&pair) {
            return Some(Refusal::Blocked);
        }
        match check {
            Check::None | Check::Blocks | Check::Origins => None,
            Check::BlocksAndAccess => {
                let rules = self.rules.get(streamer.as_str()).into_iter().flatten();
                let is_verified_by = |verifier: &crate::domain::did::Did| {
                    self.verified.contains(&(verifier.to_string(), author.to_string()))
                };
                (!may_chat(rules, is_verified_by)).then_some(Refusal::Access)
            }
            Check::BlocksAndFollows => {
                let window_us = i64::try_from(FOLLOWS_AGAIN.as_micros()).unwrap_or(i64::MAX);
                let last = self.follows.get(&pair);
                if last.is_some_and(|last| time_us.saturating_sub(*last) < window_us) {
                    return Some(Refusal::Repeated);
                }
                self.follows.insert(pair.clone(), *time_us);
                self.new_follows.insert(pair, *time_us);
                None
            }
        }
    }

    /// Whether `streamer` was on the air shortly before `time_us`; from now on they were then.
    fn was_on_air(&mut self, streamer: &str, time_us: i64) -> bool {
        let off_us = i64::try_from(OFF_THE_AIR.as_micros()).unwrap_or(i64::MAX);
        let last = self.on_air.get(streamer).copied();
        if last.is_none_or(|last| last < time_us) {
            self.on_air.insert(streamer.to_owned(), time_us);
            self.new_on_air.insert(streamer.to_owned(), time_us);
        }
        last.is_some_and(|last| time_us.saturating_sub(last) < off_us)
    }

    async fn store(self, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
        let follows = self.new_follows.into_iter();
        let follows = follows.filter(|((streamer, follower), _)| fits_an_index(&[streamer, follower]));
        let follows = follows.map(|((streamer_did, follower_did), time_us)| {
            recent_follow::ActiveModel::from(recent_follow::Model { streamer_did, follower_did, time_us })
        });
        let key = [recent_follow::Column::StreamerDid, recent_follow::Column::FollowerDid];
        upsert(transaction, follows.collect(), &key, recent_follow::Column::TimeUs).await?;
        let on_air = self.new_on_air.into_iter().map(|(streamer_did, time_us)| {
            on_air::ActiveModel::from(on_air::Model { streamer_did, time_us })
        });
        upsert(transaction, on_air.collect(), &[on_air::Column::StreamerDid], on_air::Column::TimeUs).await
    }
}

async fn upsert<Row>(
    transaction: &DatabaseTransaction,
    rows: Vec<Row>,
    key: &[<Row::Entity as EntityTrait>::Column],
    value: <Row::Entity as EntityTrait>::Column,
) -> Result<(), DbErr>
where
    Row: sea_orm::ActiveModelTrait,
    <Row::Entity as EntityTrait>::Column: Iden + Copy + 'static,
{
    let replace = OnConflict::columns(key.iter().copied()).update_column(value).to_owned();
    let mut rows = rows.into_iter();
    while rows.len() > 0 {
        let insert = Row::Entity::insert_many(rows.by_ref().take(STATEMENT_ROWS));
        insert.on_conflict(replace.clone()).exec_without_returning(transaction).await?;
    }
    Ok(())
}

/// Those of `pairs` of an owner and a subject of which the mirror has a record in `collection`.
async fn mirrored(
    transaction: &DatabaseTransaction,
    collection: &str,
    pairs: &[(&str, &str)],
) -> Result<HashSet<Pair>, DbErr> {
    let mut found = HashSet::new();
    for some in pairs.chunks(STATEMENT_ROWS) {
        let query = mirror::Entity::find()
            .select_only()
            .columns([mirror::Column::Did, mirror::Column::Subject])
            .filter(mirror::Column::Collection.eq(collection))
            .filter(mirror::Column::Did.is_in(some.iter().map(|(owner, _)| *owner)))
            .filter(mirror::Column::Subject.is_in(some.iter().map(|(_, subject)| *subject)));
        found.extend(query.into_tuple::<Pair>().all(transaction).await?);
    }
    Ok(found)
}

/// The access rules of the streamers of `pairs`.
async fn rules(
    transaction: &DatabaseTransaction,
    pairs: &[(&str, &str)],
) -> Result<HashMap<String, Vec<AccessRule>>, DbErr> {
    let streamers: BTreeSet<&str> = pairs.iter().map(|(streamer, _)| *streamer).collect();
    let streamers: Vec<&str> = streamers.into_iter().collect();
    let mut rules: HashMap<String, Vec<AccessRule>> = HashMap::new();
    for some in streamers.chunks(STATEMENT_ROWS) {
        let query = mirror::Entity::find()
            .filter(mirror::Column::Collection.eq(ACCESS))
            .filter(mirror::Column::Did.is_in(some.iter().copied()));
        for row in query.all(transaction).await? {
            let rule = access_rule(&row);
            rules.entry(row.did).or_default().extend(rule);
        }
    }
    Ok(rules)
}

async fn follows(
    transaction: &DatabaseTransaction,
    pairs: &[(&str, &str)],
) -> Result<HashMap<Pair, i64>, DbErr> {
    let mut found = HashMap::new();
    for some in pairs.chunks(STATEMENT_ROWS) {
        let query = recent_follow::Entity::find()
            .filter(recent_follow::Column::StreamerDid.is_in(some.iter().map(|(streamer, _)| *streamer)))
            .filter(recent_follow::Column::FollowerDid.is_in(some.iter().map(|(_, follower)| *follower)));
        for row in query.all(transaction).await? {
            found.insert((row.streamer_did, row.follower_did), row.time_us);
        }
    }
    Ok(found)
}

async fn last_on_air(
    transaction: &DatabaseTransaction,
    pairs: &[(&str, &str)],
) -> Result<HashMap<String, i64>, DbErr> {
    let mut found = HashMap::new();
    for some in pairs.chunks(STATEMENT_ROWS) {
        let query = on_air::Entity::find()
            .filter(on_air::Column::StreamerDid.is_in(some.iter().map(|(streamer, _)| *streamer)));
        found.extend(query.all(transaction).await?.into_iter().map(|row| (row.streamer_did, row.time_us)));
    }
    Ok(found)
}
