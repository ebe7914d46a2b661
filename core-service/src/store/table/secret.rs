//! Signing secrets.

use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait, Uuid,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[sea_orm(table_name = "secret")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub owner_did: String,
    pub name: String,
    #[serde(with = "super::base64_text")]
    pub sealed_token: Vec<u8>,
    pub created_at_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_rotated_at_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "super::base64_text::optional")]
    pub previous_sealed_token: Option<Vec<u8>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_until_ms: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
