//! The mirror of records that events are judged by.

use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict};
use sea_orm::{ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _};

use super::fits_an_index;
use crate::domain::did::Did;
use crate::intake::mirror::{AccessRule, Action, MirrorChange, MirrorKind, Mirrored, Subject};
use crate::store::commit::STATEMENT_ROWS;
use crate::store::commit::event_batch::Now;
use crate::store::table::{mirror, mirrored_owner};

/// `mirror.detail` of an access rule.
const ALLOW: &str = "allow";
const DENY: &str = "deny";

/// Writes `changes`, unless what is stored is of a later revision.
pub(super) async fn write(transaction: &DatabaseTransaction, changes: &[MirrorChange]) -> Result<(), DbErr> {
    let stored = Expr::col((mirror::Entity, mirror::Column::Rev));
    let is_older = stored.lte(Expr::col(("excluded", mirror::Column::Rev)));
    let replace =
        OnConflict::columns([mirror::Column::Did, mirror::Column::Collection, mirror::Column::Rkey])
            .update_columns([mirror::Column::Rev, mirror::Column::Subject, mirror::Column::Detail])
            .action_and_where(is_older)
            .to_owned();
    // A statement can't write one row twice.
    let mut rest = changes;
    while !rest.is_empty() {
        let mut keys = std::collections::HashSet::new();
        let distinct = rest
            .iter()
            .take(STATEMENT_ROWS)
            .take_while(|change| keys.insert((&change.owner, change.kind, &change.rkey)))
            .count();
        let (some, others) = rest.split_at(distinct);
        rest = others;
        let models = some.iter().map(|change| mirror::ActiveModel::from(row(change)));
        let insert = mirror::Entity::insert_many(models).on_conflict(replace.clone());
        insert.exec_without_returning(transaction).await?;
    }
    Ok(())
}

/// The row of a change. What was deleted stays, without subject and detail, until the next listing: a record
/// that was listed before does not bring it back.
fn row(change: &MirrorChange) -> mirror::Model {
    let MirrorChange { owner, kind, rkey, rev, content } = change;
    let (subject, detail) = match content {
        None => (None, None),
        Some(Mirrored::Block(did) | Mirrored::Verification(did)) => (Some(did.to_string()), None),
        Some(Mirrored::Access(AccessRule { action, subject })) => {
            let action = match action {
                Action::Allow => ALLOW,
                Action::Deny => DENY,
            };
            let verifier = match subject {
                Subject::Verifier(did) => Some(did.to_string()),
                Subject::Label => None,
            };
            (verifier, Some(action.to_owned()))
        }
    };
    // So long a DID is nobody's.
    let subject = subject.filter(|subject| fits_an_index(&[owner.as_str(), kind.collection(), subject]));
    mirror::Model {
        did: owner.to_string(),
        collection: kind.collection().to_owned(),
        rkey: rkey.clone(),
        rev: rev.clone(),
        subject,
        detail,
    }
}

/// The access rule of a row; `None` if there is none any more.
pub(super) fn access_rule(row: &mirror::Model) -> Option<AccessRule> {
    let action = match row.detail.as_deref() {
        Some(ALLOW) => Action::Allow,
        Some(DENY) => Action::Deny,
        _ => return None,
    };
    let subject = match &row.subject {
        Some(did) => Subject::Verifier(did.parse().ok()?),
        None => Subject::Label,
    };
    Some(AccessRule { action, subject })
}

/// Ends a listing of one kind in the repository of `did` at `rev`: what was not in it is of an earlier
/// revision, and gone.
pub(super) async fn complete(
    transaction: &DatabaseTransaction,
    now: Now,
    did: &Did,
    kind: MirrorKind,
    rev: &str,
) -> Result<(), DbErr> {
    mirror::Entity::delete_many()
        .filter(mirror::Column::Did.eq(did.as_str()))
        .filter(mirror::Column::Collection.eq(kind.collection()))
        .filter(mirror::Column::Rev.lt(rev))
        .exec(transaction)
        .await?;
    let collection = kind.collection().to_owned();
    let row = mirrored_owner::Model { did: did.to_string(), collection, listed_at_ms: now.ms };
    let replace = OnConflict::columns([mirrored_owner::Column::Did, mirrored_owner::Column::Collection])
        .update_column(mirrored_owner::Column::ListedAtMs)
        .to_owned();
    let insert = mirrored_owner::Entity::insert(mirrored_owner::ActiveModel::from(row));
    insert.on_conflict(replace).exec_without_returning(transaction).await.map(drop)
}

/// Forgets that these are listed. What is known of them stays until the next listing.
pub(super) async fn forget(
    transaction: &DatabaseTransaction,
    keys: &[(Did, MirrorKind)],
) -> Result<(), DbErr> {
    for kind in [MirrorKind::Block, MirrorKind::Access, MirrorKind::Verification] {
        let of_kind = keys.iter().filter(|(_, of)| *of == kind).map(|(did, _)| did.as_str());
        for some in of_kind.collect::<Vec<_>>().chunks(STATEMENT_ROWS) {
            mirrored_owner::Entity::delete_many()
                .filter(mirrored_owner::Column::Collection.eq(kind.collection()))
                .filter(mirrored_owner::Column::Did.is_in(some.iter().copied()))
                .exec(transaction)
                .await?;
        }
    }
    Ok(())
}
