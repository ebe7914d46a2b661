//! What deliveries know of a webhook; no row before its first delivery.

use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait, Uuid,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Serialize, Deserialize)]
#[cfg_attr(test, derive(Hash))]
#[serde(deny_unknown_fields)]
#[sea_orm(table_name = "webhook_state")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub webhook_id: Uuid,
    pub generation: i32,
    #[serde(with = "super::base64_text")]
    pub origin: Vec<u8>,
    pub discord: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_until_ms: Option<i64>,
    pub held_for_secret: bool,
    pub pending: i32,
    pub dropped: i64,
    pub last_failed: bool,
    pub error_count: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing_since_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_triggered_at_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled_at_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancelling_since_ms: Option<i64>,
    pub paused: bool,
    pub origin_paused: bool,
    #[serde(default)]
    pub owner_paused: bool,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
