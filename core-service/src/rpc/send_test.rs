//! `DeliveryService.SendTest`, served as `internal.athook.webhook.sendTest` (docs/methods.md).

use std::sync::{Mutex, PoisonError};

use proto::athook::{SendTestRequest, SendTestResponse};
use tokio::time::Instant;

use super::webhook_target::webhook_target;
use super::{Context, caller};
use crate::domain::did::Did;
use crate::domain::rule::field;
use crate::error::Error;
use crate::sliding_window::SlidingWindow;

/// Tests a minute for each DID.
const TESTS_FOR_EACH_DID: usize = 10;

/// The tests of the last minute, by DID.
#[derive(Debug)]
pub(crate) struct TestLimit(Mutex<SlidingWindow<String, ()>>);

impl TestLimit {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(SlidingWindow::new(TESTS_FOR_EACH_DID)))
    }

    /// Counts a test of `owner`.
    ///
    /// # Errors
    ///
    /// There were too many. Then it is not counted.
    fn count(&self, owner: &Did) -> Result<(), Error> {
        let now = Instant::now();
        // Poison is no problem: no change panics half-way.
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        window.check(owner.as_str(), now).map_err(|retry_after| Error::TooManyTests { retry_after })?;
        window.add(owner.as_str().to_owned(), now, ());
        Ok(())
    }
}

/// Makes a delivery of a sample event for one of the caller's webhooks.
///
/// # Errors
///
/// `event` is no type; the caller has no such webhook, or has sent too many tests; the store's other errors.
pub(super) async fn send_test(
    context: &Context,
    request: SendTestRequest,
) -> Result<SendTestResponse, Error> {
    let SendTestRequest { caller_did, webhook_id: id, event } = request;
    let owner = caller(&caller_did)?;
    let event_type = event.map(|text| field("event", &text)).transpose()?;
    let id = webhook_target(context, &owner, &id).await?;
    context.tests.count(&owner)?;
    let delivery = context.store.send_test(&owner, id, event_type).await?;
    Ok(SendTestResponse { id: delivery.to_string() })
}
