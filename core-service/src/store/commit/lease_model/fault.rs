//! Faults that the product does not have. The model must notice each.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The publisher has its answer before the event is stored.
    AnsweredBeforeTheCommit,
    /// An event is stored, and nobody notes that its webhook has something due.
    PublishedWithoutDueTime,
    /// A publication attempts a delivery without taking its lease.
    PublishedWithoutTheLease,
    /// A claim takes deliveries of an older generation.
    ClaimIgnoresTheGeneration,
    /// A claim writes no end of its lease.
    LeaseWithoutEnd,
    /// A claim leaves deliveries alone whose leases have ended.
    EndedLeasesLeft,
    /// An attempt starts however long it has waited.
    StartedLate,
    /// An outcome is written whatever the delivery's lease is.
    OutcomeWithoutFence,
    /// An outcome is written, and nobody looks up when the webhook is next due.
    OutcomeWithoutDueTime,
    /// Switching a webhook off does not begin the next generation.
    SwitchedOffInTheSameGeneration,
    /// A pause leaves the due time, and claims don't look at it.
    PauseIgnoredByClaims,
    /// A publication takes a lease although the webhook is paused.
    PauseIgnoredByPublications,
    /// A pause ends, and nobody looks up when the webhook is next due.
    ResumedWithoutDueTime,
    /// Deleting a webhook does not cancel its deliveries.
    DeletedWithoutCancelling,
}
