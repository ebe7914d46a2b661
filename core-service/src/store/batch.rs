//! One transaction that writes the rows of many callers, each of which succeeds or fails by itself.
//!
//! Exact with any number of processes on one database: the owners' account rows are locked first, in the order
//! of their DIDs, and everything that touches an owner's rows does so. Then the database says which rows are
//! new, and the counts under the lock say which of those stay.

use std::collections::{BTreeMap, HashSet};

use sea_orm::sea_query::{Alias, Condition, Expr, ExprTrait as _, OnConflict};
use sea_orm::{
    ActiveModelTrait, ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait, QueryFilter as _,
    QuerySelect as _,
};
use uuid::Uuid;

use super::settle::{Candidate, Outcome, Settled, settle};
use super::table::{account, secret, webhook};

/// How much one owner may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// `--max-secrets`.
    pub(crate) secrets: u32,
    /// `--max-webhooks`.
    pub(crate) webhooks: u32,
}

/// A row to be inserted.
#[derive(Debug, Clone)]
pub(super) enum Row {
    Secret(secret::Model),
    Webhook(Box<webhook::Model>),
}

impl Row {
    pub(super) fn owner(&self) -> &str {
        match self {
            Self::Secret(row) => &row.owner_did,
            Self::Webhook(row) => &row.owner_did,
        }
    }
}

/// What an owner has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    secrets: u32,
    webhooks: u32,
}

/// By DID, in the order in which accounts are locked.
type Counts<'a> = BTreeMap<&'a str, Count>;

/// Rows of one INSERT; more rows take more statements. So there are few different texts, and a connection keeps them prepared.
const STATEMENT_ROWS: usize = 32;

/// The count that an account has, with what an insert adds to it.
fn sum(column: account::Column) -> Expr {
    Expr::col((account::Entity, column)).add(Expr::col((Alias::new("excluded"), column)))
}

/// Writes `rows` in `transaction`; an outcome for each row, in their order.
pub(super) async fn write(
    transaction: &DatabaseTransaction,
    limits: Limits,
    rows: &[&Row],
) -> Result<Vec<Outcome>, DbErr> {
    let (mut secrets, mut webhooks) = (Vec::new(), Vec::new());
    let mut asked = Counts::new();
    for (at, row) in rows.iter().enumerate() {
        let count = asked.entry(row.owner()).or_default();
        match row {
            Row::Secret(row) => {
                count.secrets += 1;
                secrets.push((at, row));
            }
            Row::Webhook(row) => {
                count.webhooks += 1;
                webhooks.push((at, &**row));
            }
        }
    }

    let before = lock_accounts(transaction, &asked).await?;
    let room = |owner: &str| limits.secrets.saturating_sub(before[owner].secrets);
    let secrets = insert_secrets(transaction, &secrets, room).await?;
    let room = |owner: &str| limits.webhooks.saturating_sub(before[owner].webhooks);
    let webhooks = insert_webhooks(transaction, &webhooks, room).await?;

    // `lock_accounts` counted every row as one that stays.
    let stay = |settled: &Settled, owner| settled.stay.get(owner).copied().unwrap_or(0);
    let stayed = asked.keys().map(|owner| {
        let count = Count { secrets: stay(&secrets, owner), webhooks: stay(&webhooks, owner) };
        (*owner, count)
    });
    let stayed: Counts = stayed.collect();
    if stayed != asked {
        set_counts(transaction, &before, &stayed).await?;
    }

    let mut outcomes = vec![Outcome::Exists; rows.len()];
    for (at, outcome) in secrets.outcomes.into_iter().chain(webhooks.outcomes) {
        outcomes[at] = outcome;
    }
    Ok(outcomes)
}

/// Makes or locks the account row of each owner, in the order of the DIDs, adds what is asked for to its
/// counts, and gives the counts as they were before.
async fn lock_accounts<'a>(
    transaction: &DatabaseTransaction,
    asked: &Counts<'a>,
) -> Result<Counts<'a>, DbErr> {
    let add = OnConflict::column(account::Column::Did)
        .value(account::Column::Secrets, sum(account::Column::Secrets))
        .value(account::Column::Webhooks, sum(account::Column::Webhooks))
        .to_owned();
    let mut rows = asked.iter().map(|(owner, count)| account::ActiveModel::from(account_row(owner, *count)));
    let mut sums: BTreeMap<String, Count> = BTreeMap::new();
    while rows.len() > 0 {
        let insert =
            account::Entity::insert_many(rows.by_ref().take(STATEMENT_ROWS)).on_conflict(add.clone());
        for account::Model { did, secrets, webhooks } in insert.exec_with_returning(transaction).await? {
            sums.insert(did, Count { secrets: secrets.cast_unsigned(), webhooks: webhooks.cast_unsigned() });
        }
    }
    let mut before = Counts::new();
    for (owner, asked) in asked {
        let sum = sums.get(*owner).ok_or_else(|| DbErr::RecordNotFound("account".to_owned()))?;
        let count = Count {
            secrets: sum.secrets.saturating_sub(asked.secrets),
            webhooks: sum.webhooks.saturating_sub(asked.webhooks),
        };
        before.insert(owner, count);
    }
    Ok(before)
}

/// Sets the counts of locked accounts to what they were before and what stayed.
async fn set_counts(
    transaction: &DatabaseTransaction,
    before: &Counts<'_>,
    stayed: &Counts<'_>,
) -> Result<(), DbErr> {
    let rows = stayed.iter().map(|(owner, stayed)| {
        let before = before[owner];
        let count =
            Count { secrets: before.secrets + stayed.secrets, webhooks: before.webhooks + stayed.webhooks };
        account::ActiveModel::from(account_row(owner, count))
    });
    let replace = OnConflict::column(account::Column::Did)
        .update_columns([account::Column::Secrets, account::Column::Webhooks])
        .to_owned();
    account::Entity::insert_many(rows).on_conflict(replace).exec_without_returning(transaction).await?;
    Ok(())
}

fn account_row(owner: &str, count: Count) -> account::Model {
    account::Model {
        did: owner.to_owned(),
        secrets: count.secrets.cast_signed(),
        webhooks: count.webhooks.cast_signed(),
    }
}

async fn insert_secrets<'a>(
    transaction: &DatabaseTransaction,
    rows: &[(usize, &'a secret::Model)],
    room: impl Fn(&str) -> u32,
) -> Result<Settled<'a>, DbErr> {
    let candidates: Vec<Candidate> = rows
        .iter()
        .map(|(at, row)| Candidate { at: *at, id: row.id, owner: &row.owner_did, key: row.name.as_bytes() })
        .collect();
    let models: Vec<secret::ActiveModel> = rows.iter().map(|(_, row)| (*row).clone().into()).collect();
    let same = OnConflict::columns([secret::Column::OwnerDid, secret::Column::Name]).do_nothing().to_owned();
    insert_settled(transaction, models, same, secret::Column::Id, &candidates, room).await
}

async fn insert_webhooks<'a>(
    transaction: &DatabaseTransaction,
    rows: &[(usize, &'a webhook::Model)],
    room: impl Fn(&str) -> u32,
) -> Result<Settled<'a>, DbErr> {
    let known = known_secrets(transaction, rows).await?;
    let names_known = |row: &webhook::Model| {
        row.secret_name.as_ref().is_none_or(|name| known.contains(&(row.owner_did.clone(), name.clone())))
    };
    let (rows, unknown): (Vec<_>, Vec<_>) = rows.iter().copied().partition(|(_, row)| names_known(row));

    let candidates: Vec<Candidate> = rows
        .iter()
        .map(|(at, row)| Candidate { at: *at, id: row.id, owner: &row.owner_did, key: &row.url_hash })
        .collect();
    let models: Vec<webhook::ActiveModel> = rows.iter().map(|(_, row)| (*row).clone().into()).collect();
    let same =
        OnConflict::columns([webhook::Column::OwnerDid, webhook::Column::UrlHash]).do_nothing().to_owned();
    let mut settled =
        insert_settled(transaction, models, same, webhook::Column::Id, &candidates, room).await?;
    let unknown = unknown.into_iter().map(|(at, _)| (at, Outcome::UnknownSecret));
    settled.outcomes.extend(unknown);
    Ok(settled)
}

/// Inserts those of `models`, which are the `candidates`, that are not there by the key of `same`, and takes those out again that are beyond
/// the limit.
async fn insert_settled<'a, Row>(
    transaction: &DatabaseTransaction,
    models: Vec<Row>,
    same: OnConflict,
    id: <Row::Entity as EntityTrait>::Column,
    candidates: &[Candidate<'a>],
    room: impl Fn(&str) -> u32,
) -> Result<Settled<'a>, DbErr>
where
    Row: ActiveModelTrait,
{
    let mut models = models.into_iter();
    let mut written = 0;
    while models.len() > 0 {
        let insert = Row::Entity::insert_many(models.by_ref().take(STATEMENT_ROWS)).on_conflict(same.clone());
        written += insert.exec_without_returning(transaction).await?;
    }
    let mut inserted: HashSet<Uuid> = candidates.iter().map(|candidate| candidate.id).collect();
    // Nearly always all are new. To have the insert name each that was written costs more than to ask now and then.
    if written < candidates.len() as u64 {
        let there = Row::Entity::find().select_only().column(id).filter(id.is_in(inserted));
        inserted = there.into_tuple().all(transaction).await?.into_iter().collect();
    }
    let settled = settle(candidates, &inserted, room);
    if !settled.surplus.is_empty() {
        let surplus = id.is_in(settled.surplus.iter().copied());
        Row::Entity::delete_many().filter(surplus).exec(transaction).await?;
    }
    Ok(settled)
}

/// The secrets that `rows` name and that are there, as owner and name. The account lock keeps them there.
async fn known_secrets(
    transaction: &DatabaseTransaction,
    rows: &[(usize, &webhook::Model)],
) -> Result<HashSet<(String, String)>, DbErr> {
    let mut named = Condition::any();
    for (_, row) in rows {
        if let Some(name) = &row.secret_name {
            let owner = secret::Column::OwnerDid.eq(&row.owner_did);
            named = named.add(owner.and(secret::Column::Name.eq(name)));
        }
    }
    if named.is_empty() {
        return Ok(HashSet::new());
    }
    let known: Vec<(String, String)> = secret::Entity::find()
        .select_only()
        .columns([secret::Column::OwnerDid, secret::Column::Name])
        .filter(named)
        .into_tuple()
        .all(transaction)
        .await?;
    Ok(known.into_iter().collect())
}
