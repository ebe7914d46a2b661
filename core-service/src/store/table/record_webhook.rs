//! Records of the collection `place.wisp.v2.wh`.

use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait, Uuid,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[sea_orm(table_name = "record_webhook")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub owner_did: String,
    pub rkey: String,
    pub rev: String,
    pub state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub withheld_state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub withheld_reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "super::base64_text::optional")]
    pub sealed_url: Option<Vec<u8>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    pub backlinks: bool,
    pub events: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "super::base64_text::optional")]
    pub sealed_secret: Option<Vec<u8>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_us: Option<i64>,
    pub indexed_at_ms: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
