//! The new rows of a batch, inserted together.
//!
//! The unique keys of the tables decide which rows are new, and the counts of the locked accounts decide
//! which of those stay.

use std::collections::HashSet;

use sea_orm::sea_query::{Condition, ExprTrait as _, OnConflict};
use sea_orm::{
    ActiveModelTrait, ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait, QueryFilter as _,
    QuerySelect as _,
};
use uuid::Uuid;

use super::accounts::Accounts;
use super::admission::{Admission, Candidate, admit};
use super::intake::{pause_new, stream_time_us};
use super::reply::Reply;
use super::rotate_secret::release_records;
use super::{Job, Limits, Queued, STATEMENT_ROWS, unknown_secret};
use crate::error::Error;
use crate::store::table::{secret, webhook};

/// Inserts the rows of the creations among `jobs` and decides their results. `accounts`, which has the owners
/// of all jobs, counts what is created. Returns whether deliveries may have waited for one of the secrets.
pub(super) async fn insert(
    transaction: &DatabaseTransaction,
    limits: Limits,
    accounts: &mut Accounts,
    jobs: &mut [Queued],
    now_ms: i64,
) -> Result<bool, DbErr> {
    let (mut secrets, mut webhooks) = (Vec::new(), Vec::new());
    for queued in jobs {
        match &mut queued.job {
            Job::CreateSecret { row, reply } => secrets.push((&*row, reply)),
            Job::CreateWebhook { row, reply } => webhooks.push((&**row, reply)),
            _ => {}
        }
    }
    // Webhooks may name the secrets.
    let released = insert_secrets(transaction, limits.secrets, accounts, secrets, now_ms).await?;
    insert_webhooks(transaction, limits.webhooks, accounts, webhooks).await?;
    Ok(released)
}

async fn insert_secrets(
    transaction: &DatabaseTransaction,
    limit: u32,
    accounts: &mut Accounts,
    secrets: Vec<(&secret::Model, &mut Reply<()>)>,
    now_ms: i64,
) -> Result<bool, DbErr> {
    let candidates: Vec<Candidate> = secrets
        .iter()
        .map(|(row, _)| Candidate { id: row.id, owner: &row.owner_did, key: row.name.as_bytes() })
        .collect();
    let rows: Vec<secret::ActiveModel> = secrets.iter().map(|(row, _)| (*row).clone().into()).collect();
    let unique = [secret::Column::OwnerDid, secret::Column::Name];
    let room = |owner: &str| limit.saturating_sub(accounts.of(owner).secrets);
    let admissions = insert_new(transaction, rows, unique, secret::Column::Id, &candidates, room).await?;
    let mut created = Vec::new();
    for ((row, reply), admission) in secrets.into_iter().zip(admissions) {
        reply.decide(match admission {
            Admission::Created => {
                accounts.of_mut(&row.owner_did).secrets += 1;
                created.push((row.owner_did.as_str(), row.name.as_str()));
                Ok(())
            }
            Admission::Exists => Err(Error::SecretExists),
            Admission::OverLimit => Err(Error::TooManySecrets { limit }),
        });
    }
    release_records(transaction, &created, now_ms).await
}

async fn insert_webhooks(
    transaction: &DatabaseTransaction,
    limit: u32,
    accounts: &mut Accounts,
    webhooks: Vec<(&webhook::Model, &mut Reply<()>)>,
) -> Result<(), DbErr> {
    let known = known_secrets(transaction, webhooks.iter().map(|(row, _)| *row)).await?;
    let mut offered = Vec::new();
    for (row, reply) in webhooks {
        let named = row.secret_name.as_ref().map(|name| (row.owner_did.clone(), name.clone()));
        if named.is_none_or(|named| known.contains(&named)) {
            offered.push((row, reply));
        } else {
            reply.decide(Err(unknown_secret()));
        }
    }
    let candidates: Vec<Candidate> = offered
        .iter()
        .map(|(row, _)| Candidate { id: row.id, owner: &row.owner_did, key: &row.url_hash })
        .collect();
    if offered.is_empty() {
        return Ok(());
    }
    let since_us = stream_time_us(transaction).await?;
    let row = |row: &webhook::Model| webhook::Model { since_us, ..row.clone() }.into();
    let rows: Vec<webhook::ActiveModel> = offered.iter().map(|(new, _)| row(new)).collect();
    let unique = [webhook::Column::OwnerDid, webhook::Column::UrlHash];
    let room = |owner: &str| limit.saturating_sub(accounts.of(owner).webhooks);
    let admissions = insert_new(transaction, rows, unique, webhook::Column::Id, &candidates, room).await?;
    let mut created = Vec::new();
    for ((row, reply), admission) in offered.into_iter().zip(admissions) {
        reply.decide(match admission {
            Admission::Created => {
                created.push((row.id, row.owner_did.as_str()));
                accounts.of_mut(&row.owner_did).webhooks += 1;
                Ok(())
            }
            Admission::Exists => Err(Error::WebhookExists),
            Admission::OverLimit => Err(Error::TooManyWebhooks { limit }),
        });
    }
    pause_new(transaction, &created).await
}

/// Inserts `rows`, except those that exist already by the `unique` columns, and deletes those again for which
/// their owner has no `room`. `candidates` are the same rows, in the same order, and so are the results.
async fn insert_new<Row: ActiveModelTrait>(
    transaction: &DatabaseTransaction,
    rows: Vec<Row>,
    unique: [<Row::Entity as EntityTrait>::Column; 2],
    id: <Row::Entity as EntityTrait>::Column,
    candidates: &[Candidate<'_>],
    room: impl Fn(&str) -> u32,
) -> Result<Vec<Admission>, DbErr> {
    let unless_exists = OnConflict::columns(unique).do_nothing().to_owned();
    let mut rows = rows.into_iter();
    let mut written = 0;
    while rows.len() > 0 {
        let insert = Row::Entity::insert_many(rows.by_ref().take(STATEMENT_ROWS));
        written += insert.on_conflict(unless_exists.clone()).exec_without_returning(transaction).await?;
    }
    let mut inserted: HashSet<Uuid> = candidates.iter().map(|candidate| candidate.id).collect();
    // Nearly always all are new. Having each insert return its ids costs more than asking when some are not.
    if written < candidates.len() as u64 {
        let there = Row::Entity::find().select_only().column(id).filter(id.is_in(inserted));
        inserted = there.into_tuple().all(transaction).await?.into_iter().collect();
    }
    let admissions = admit(candidates, &inserted, room);
    let over_limit = candidates.iter().zip(&admissions).filter(|(_, one)| **one == Admission::OverLimit);
    let surplus: Vec<Uuid> = over_limit.map(|(candidate, _)| candidate.id).collect();
    if !surplus.is_empty() {
        Row::Entity::delete_many().filter(id.is_in(surplus)).exec(transaction).await?;
    }
    Ok(admissions)
}

/// Owner and name of those secrets that `webhooks` name and that exist. The account lock keeps them there.
async fn known_secrets(
    transaction: &DatabaseTransaction,
    webhooks: impl Iterator<Item = &webhook::Model>,
) -> Result<HashSet<(String, String)>, DbErr> {
    let mut named = Condition::any();
    for row in webhooks {
        if let Some(name) = &row.secret_name {
            let owner = secret::Column::OwnerDid.eq(&row.owner_did);
            named = named.add(owner.and(secret::Column::Name.eq(name)));
        }
    }
    if named.is_empty() {
        return Ok(HashSet::new());
    }
    let known = secret::Entity::find()
        .select_only()
        .columns([secret::Column::OwnerDid, secret::Column::Name])
        .filter(named);
    Ok(known.into_tuple::<(String, String)>().all(transaction).await?.into_iter().collect())
}
