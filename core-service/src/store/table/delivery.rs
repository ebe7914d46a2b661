//! Deliveries: the queue.

use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait, Uuid,
};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[cfg_attr(test, derive(Hash))]
#[sea_orm(table_name = "delivery")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub event_id: Uuid,
    pub webhook_id: Uuid,
    pub generation: i32,
    pub state: i16,
    pub next_at_ms: Option<i64>,
    pub lease: Option<Uuid>,
    pub retried: bool,
    pub attempts: i32,
    pub body: Option<Vec<u8>>,
    pub last_outcome: Option<String>,
    pub last_status: Option<i32>,
    pub last_attempt_at_ms: Option<i64>,
    pub ended_at_ms: Option<i64>,
    pub created_at_ms: i64,
    pub redelivered_at_ms: Option<i64>,
    pub attempts_before: i32,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
