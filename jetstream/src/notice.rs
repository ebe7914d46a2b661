//! What a subscription tells its caller.

use std::sync::Arc;

use crate::event::{Event, Wire};
use crate::frame::Unreadable;

/// Something that a subscription has to say.
#[derive(Debug, Clone)]
pub enum Notice {
    /// An event. Events of one DID come in their order; after a reconnect some come again.
    Event(Event),
    /// A frame that can't be read. Reading goes on behind it.
    Unreadable(Unreadable),
    /// Events are lost: the host doesn't keep them any more, or could not send them.
    Gap {
        /// Who says so.
        host: Arc<str>,
        /// The time of what was read last, in microseconds since 1970.
        from_us: i64,
        /// The time of the first event behind the gap; `None` if none has come yet.
        to_us: Option<i64>,
    },
    /// A connection is open. What follows it follows the position that was acknowledged last.
    Connected {
        /// To whom.
        host: Arc<str>,
        /// The wire that it speaks.
        wire: Wire,
        /// Whether it resumes after a sequence number. If not, it resumes at a time some seconds back, and
        /// the sequence numbers that follow may be lower than those before.
        exact: bool,
    },
    /// A connection ended or could not be opened. The next try is made without being asked for.
    Disconnected {
        /// With whom.
        host: Arc<str>,
        /// Why, without a word of the host's own.
        reason: String,
    },
    /// What happened before has been read: from here on events come as they happen.
    CaughtUp {
        /// From whom.
        host: Arc<str>,
    },
}
