//! Webhooks of earlier releases, whose URLs had another normal form: they are hashed again, once for each
//! database, before it is served from.
//!
//! Without that, a URL in the form of this release would not be found to be the one that is there already.
//! Of two webhooks that become one URL both stay, and a line of the log names them.

use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};
use uuid::Uuid;

use super::database::Database;
use super::index_key::{self, URL_FORM};
use super::row::open_webhook;
use super::sealer::Sealer;
use super::table::{index_key as index_key_table, webhook, webhook_state};
use super::transaction::Failure;

/// Rows that are read at once.
const PAGE: u64 = 500;

/// A row whose URL has another hash in the form of this release.
struct Rehashed {
    url_hash: Vec<u8>,
    origin: Vec<u8>,
}

/// Hashes the URLs of all webhooks again, unless they are of this release's form
/// ([`URL_FORM`]). Can be repeated.
///
/// # Errors
///
/// The database fails. What is written stays.
pub(super) async fn hash_again(database: &Database, sealer: &Sealer) -> Result<(), Failure> {
    let kept = || index_key_table::Entity::find_by_id(index_key::ID).one(&database.reading);
    let row = database.try_read(kept).await?;
    if row.is_none_or(|row| row.url_form >= URL_FORM) {
        return Ok(());
    }
    let mut after: Option<Uuid> = None;
    loop {
        let mut page = webhook::Entity::find().order_by_asc(webhook::Column::Id).limit(PAGE);
        if let Some(after) = after {
            page = page.filter(webhook::Column::Id.gt(after));
        }
        let rows = database.try_read(|| page.clone().all(&database.reading)).await?;
        let Some(last) = rows.last() else { break };
        after = Some(last.id);
        for row in &rows {
            if let Some(rehashed) = rehashed(sealer, row) {
                database
                    .transaction_once(async |transaction| {
                        write(transaction, row, &rehashed).await.map_err(Failure::from)
                    })
                    .await?;
            }
        }
    }
    database
        .transaction_once(async |transaction| {
            let done = index_key_table::Entity::update_many()
                .col_expr(index_key_table::Column::UrlForm, Expr::val(URL_FORM))
                .filter(index_key_table::Column::Id.eq(index_key::ID));
            done.exec(transaction).await.map(drop).map_err(Failure::from)
        })
        .await
}

/// `None`: the hash stays. A row that does not open is told of when it is used.
fn rehashed(sealer: &Sealer, row: &webhook::Model) -> Option<Rehashed> {
    let url = open_webhook(row, &sealer.keys).ok()?.config.url;
    let url_hash = sealer.index_key.hash(&url);
    (url_hash != row.url_hash).then(|| Rehashed { url_hash, origin: sealer.index_key.origin(&url).to_vec() })
}

async fn write(
    transaction: &DatabaseTransaction,
    row: &webhook::Model,
    rehashed: &Rehashed,
) -> Result<(), DbErr> {
    let Rehashed { url_hash, origin } = rehashed;
    webhook_state::Entity::update_many()
        .col_expr(webhook_state::Column::Origin, Expr::val(origin.clone()))
        .filter(webhook_state::Column::WebhookId.eq(row.id))
        .exec(transaction)
        .await?;
    let same = webhook::Entity::find()
        .filter(webhook::Column::OwnerDid.eq(&row.owner_did))
        .filter(webhook::Column::UrlHash.eq(url_hash.clone()))
        .one(transaction)
        .await?;
    if let Some(same) = same {
        tracing::warn!(
            owner = row.owner_did,
            webhook = %row.id,
            same_as = %same.id,
            "two webhooks have the same URL; both stay"
        );
        return Ok(());
    }
    webhook::Entity::update_many()
        .col_expr(webhook::Column::UrlHash, Expr::val(url_hash.clone()))
        .filter(webhook::Column::Id.eq(row.id))
        .filter(webhook::Column::UrlHash.eq(row.url_hash.clone()))
        .exec(transaction)
        .await
        .map(drop)
}
