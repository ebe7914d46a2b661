//! The body of a first attempt that has names in it: looked up, then made and stored, before it is sent.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use crate::delivery::lease::{Body, Leased, Named, may_start};
use crate::delivery::naming::{FoundNames, Naming, Unnamed};
use crate::identity::Identity;
use crate::request_id::RequestId;
use crate::store::Store;

/// A lease whose body is there.
///
/// # Errors
///
/// The lease is to be given back: it is lost, or there is nothing to send now.
pub(super) async fn named(
    store: &Arc<Store>,
    identity: &Identity,
    leased: Leased,
) -> Result<Leased<Bytes>, Leased<()>> {
    let (leased, body) = leased.take_body();
    let unnamed = match body {
        Body::Made(bytes) => return Ok(leased.with_body(bytes)),
        Body::Unnamed(unnamed) => unnamed,
    };
    if !may_start(leased.taken.elapsed()) {
        return Err(leased);
    }
    let names = look_up(identity, unnamed).await;
    let Leased { delivery, event, webhook, lease, .. } = leased;
    let naming = Naming { delivery, event, webhook, lease, names };
    let stored = RequestId::of_delivery(delivery).scope(store.name(naming)).await;
    // An error is logged.
    let Ok(Some(Named { url, signing, body })) = stored else { return Err(leased) };
    Ok(Leased { url, signing, taken: Instant::now(), ..leased.with_body(body) })
}

async fn look_up(identity: &Identity, unnamed: Unnamed) -> FoundNames {
    let Unnamed { subject, thumbnail_cid } = unnamed;
    let names = identity.names(&subject).await;
    FoundNames {
        handle: names.handle.clone(),
        avatar_url: names.avatar_url.clone(),
        thumbnail_url: thumbnail_cid.and_then(|cid| names.blob_url(&subject, &cid)),
    }
}
