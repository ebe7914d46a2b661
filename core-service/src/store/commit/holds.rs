//! Holds that bind all replicas: of all webhooks of Discord at once.

use sea_orm::sea_query::{Alias, Expr, ExprTrait as _, OnConflict};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _,
};

use super::event_batch::Now;
use crate::store::table::host_hold;

/// The host of the row that holds all webhooks of Discord.
const DISCORD: &str = "discord.com";

/// Whether all deliveries to Discord are held.
pub(in crate::store) async fn discord_is_held(
    connection: &impl ConnectionTrait,
    now: Now,
) -> Result<bool, DbErr> {
    let held = host_hold::Entity::find_by_id(DISCORD)
        .filter(host_hold::Column::HeldUntilMs.gt(now.ms))
        .one(connection)
        .await?;
    Ok(held.is_some())
}

/// Holds all deliveries to Discord, at least until then.
pub(super) async fn hold_discord(transaction: &DatabaseTransaction, until_ms: i64) -> Result<(), DbErr> {
    let held = Expr::col((host_hold::Entity, host_hold::Column::HeldUntilMs));
    let later = Expr::col((Alias::new("excluded"), host_hold::Column::HeldUntilMs));
    let replace = OnConflict::column(host_hold::Column::Host)
        .update_column(host_hold::Column::HeldUntilMs)
        .action_and_where(held.lt(later))
        .to_owned();
    let row = host_hold::Model { host: DISCORD.to_owned(), held_until_ms: until_ms };
    host_hold::Entity::insert(host_hold::ActiveModel::from(row))
        .on_conflict(replace)
        .exec_without_returning(transaction)
        .await
        .map(drop)
}
