//! What events are judged by: whose blocks, rules and verifications are followed, and when they are listed.
//!
//! What is not followed any more counts as not listed: its changes are not read meanwhile. So it is listed
//! anew when it is wanted once more.

use tokio::time::Instant;

use super::{Ended, MATCHED_WAIT, ROUND_INTERVAL, Session};
use crate::domain::did::Did;
use crate::error::Error;
use crate::intake::batch::Change;
use crate::intake::derive::Candidate;
use crate::intake::listing::Listed;
use crate::intake::mirror::MirrorKind;

impl Session<'_> {
    /// Follows the verifications of those whom access rules name.
    pub(super) async fn set_verifiers(&mut self) -> Result<(), Error> {
        let verifiers = self.intake.store.verifiers().await?;
        self.processing.interests.set_verifiers(verifiers.values().flatten().cloned());
        self.pins.verifiers = verifiers;
        self.follow();
        Ok(())
    }

    /// Has listed what events are judged by from now on, and forgets what they are not judged by any more.
    pub(super) fn follow(&mut self) {
        let interests = &self.processing.interests;
        for (did, kind) in interests.mirrored() {
            if !self.mirrored.contains(&(did.clone(), kind)) && self.pins.list(&did, kind) {
                self.listings.mirror(did, kind);
            }
        }
        let wanted = |(did, kind): &(Did, MirrorKind)| interests.mirrors(*kind, did.as_str());
        self.stale.extend(self.pins.unlisted().filter(|key| !wanted(key)).cloned());
        let gone: Vec<_> = self.mirrored.extract_if(|key| !wanted(key)).collect();
        if !gone.is_empty() {
            self.batch.changes.push(Change::Unmirrored(gone));
        }
    }

    /// Lists everything anew: some of the stream is lost.
    pub(super) fn list_anew(&mut self) {
        self.stale.extend(self.pins.unlisted().cloned());
        self.batch.changes.push(Change::Unmirrored(self.mirrored.drain().collect()));
        self.begin_round();
    }

    /// Has all wh records listed, and what could not be listed of the mirror.
    pub(super) fn begin_round(&mut self) {
        self.round_at = Instant::now() + ROUND_INTERVAL;
        self.follow();
        self.listings.round(self.processing.known.iter().cloned());
    }

    /// Takes what was listed into the next batch.
    pub(super) async fn take_listed(&mut self, listed: Listed) -> Result<Option<Ended>, Error> {
        match listed {
            Listed::Part(change) => self.push(change),
            Listed::MirrorEnded { did, kind, rev } => {
                let key = (did.clone(), kind);
                if self.stale.remove(&key) {
                    // Changes since the listing began may be missing.
                    if self.processing.interests.mirrors(kind, did.as_str()) {
                        self.listings.mirror(did, kind);
                        return Ok(None);
                    }
                } else if let Some(rev) = rev {
                    self.push(Change::Mirrored { did: did.clone(), kind, rev });
                    self.mirrored.insert(key);
                }
                // What waits for rules waits for those whom they name, too.
                if self.verifiers_changed
                    && let Some(ended) = self.flush().await?
                {
                    return Ok(Some(ended));
                }
                let ready = self.pins.listed(did, kind);
                self.judge(ready);
            }
        }
        self.flush_at = self.flush_at.min(Instant::now() + MATCHED_WAIT);
        Ok(None)
    }

    /// Puts a change into the batch.
    pub(super) fn push(&mut self, change: Change) {
        if let Change::Mirror(changes) = &change {
            self.verifiers_changed |= changes.iter().any(|change| change.kind == MirrorKind::Access);
        }
        self.batch.changes.push(change);
    }

    /// Puts what need not wait into the batch.
    pub(super) fn judge(&mut self, ready: impl IntoIterator<Item = Candidate>) {
        self.batch.changes.extend(ready.into_iter().map(Box::new).map(Change::Streamer));
    }

    /// Has those events judged by what is known that take all the room.
    pub(super) fn give_up(&mut self) {
        let Some((streamer, ready)) = self.pins.give_up() else { return };
        self.intake.lists.metrics.listings_failed.inc();
        process::once_a_second!(
            warn,
            %streamer,
            "too many events wait for the records of a streamer to be listed; they go on"
        );
        self.judge(ready);
        self.flush_at = Instant::now();
    }
}
