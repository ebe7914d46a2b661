//! A row of one of the intake's tables, which all have lines of one kind.

use serde::{Deserialize, Serialize};

use crate::store::table::{
    intake, intake_gap, intake_sync, intake_unreadable, mirror, mirrored_owner, on_air, owner_status,
    recent_follow, record_webhook, reference,
};

/// A row of a table of the intake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum IntakeRow {
    Intake(intake::Model),
    IntakeGap(intake_gap::Model),
    IntakeSync(intake_sync::Model),
    IntakeUnreadable(intake_unreadable::Model),
    Mirror(mirror::Model),
    MirroredOwner(mirrored_owner::Model),
    OnAir(on_air::Model),
    RecentFollow(recent_follow::Model),
    OwnerStatus(owner_status::Model),
    RecordWebhook(Box<record_webhook::Model>),
    Reference(reference::Model),
}
