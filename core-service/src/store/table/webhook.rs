//! Webhooks.

use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait, Uuid,
};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "webhook")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub owner_did: String,
    pub sealed_url: Vec<u8>,
    pub url_hash: Vec<u8>,
    pub events: String,
    pub active: bool,
    pub name: Option<String>,
    pub description: Option<String>,
    pub prefix: Option<String>,
    pub suffix: Option<String>,
    pub rewrite: String,
    pub mute_words: String,
    pub streamplace_format: bool,
    pub secret_name: Option<String>,
    pub created_at_ms: i64,
    pub updated_at_ms: Option<i64>,
    pub last_triggered_at_ms: Option<i64>,
    pub error_count: i32,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
