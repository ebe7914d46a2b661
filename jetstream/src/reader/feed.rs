//! Reading one connection: what is handed on, what is a gap, whether it is still alive, when it has caught
//! up.
//!
//! A v1 host can lose events where its replay meets what is live. So once a connection has caught up, a
//! second one repeats the last seconds while the first is still read, and then takes its place.

use std::fmt;
use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use tokio::select;
use tokio::time::{Instant, sleep_until, timeout};

use super::Reader;
use crate::connection::{Connection, Incoming};
use crate::dial::Refused;
use crate::event::{Event, Position, Wire};
use crate::frame::Frame;
use crate::host::{Cursor, OVERLAP_US};
use crate::notice::Notice;
use crate::options::Timing;

/// How long after the cursor of v1 the first event may be before that is a gap, in microseconds.
const GAP_US: i64 = 60_000_000;
/// How far ahead of our clock the time of an event may be, in microseconds.
const AHEAD_US: i64 = 600_000_000;
/// The longest name of an error that is repeated, in bytes.
const ERROR_MAX_BYTES: usize = 64;

/// Why reading ended.
#[derive(Debug)]
pub(super) enum End {
    /// The host never said a word of use.
    Barren(String),
    /// It did, and the connection ended.
    Cut(String),
    /// What was sent can't be read any further. The time of the last event before it, in microseconds since
    /// 1970.
    Broken { reason: &'static str, last_us: i64 },
    /// The host doesn't keep what follows the sequence number.
    TooOld,
    /// The host counts anew.
    Renumbered,
    /// It is time to try the first host again.
    FirstHost,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Barren(reason) | Self::Cut(reason) => reason,
            Self::Broken { reason, .. } => reason,
            Self::TooOld => "the cursor is too old",
            Self::Renumbered => "the sequence numbers are others",
            Self::FirstHost => "the first host is tried again",
        })
    }
}

/// A connection that is read.
pub(super) struct Feed {
    connection: Connection,
    cursor: Cursor,
    /// When it began to be opened.
    opened: Instant,
    /// When the host last said something.
    heard: Option<Instant>,
    last_frame: Instant,
    ping_at: Instant,
    /// The last sequence number.
    seq: Option<i64>,
    /// The time of the latest event, in microseconds since 1970.
    last_us: i64,
    has_events: bool,
    caught_up: bool,
    /// It repeats the end of a replay: it needs no repetition of its own.
    overlapping: bool,
}

/// Reads until the connection ends. Says too whether the end of its replay has still to be repeated.
pub(super) async fn read(reader: &Reader, mut feed: Feed) -> (End, bool) {
    let queue = &reader.shared.queue;
    let timing = reader.options.timing;
    let first_host = reader.shared.hosts().first_again(&timing);
    let mut alarm = pin!(sleep_until(Instant::now()));
    // The connection before, and until when it is read too.
    let mut before: Option<(Feed, Option<Instant>)> = None;
    loop {
        if queue.is_full() {
            queue.room().await;
            // The silence was ours.
            feed.excuse(Instant::now());
        }
        let end = select! {
            biased;
            incoming = feed.connection.next() => feed.take(reader, incoming),
            incoming = next_of(&mut before) => {
                let ended = before.as_mut().is_some_and(|(feed, _)| feed.take(reader, incoming).is_some());
                before = before.filter(|_| !ended);
                None
            }
            () = &mut alarm => {
                let now = Instant::now();
                let end = feed.look(reader, now, first_host).await;
                before = before.filter(|(_, until)| until.is_none_or(|until| now < until));
                let until = before.as_ref().and_then(|(_, until)| *until);
                alarm.as_mut().reset(feed.next_look(&timing, [first_host, until]));
                end
            }
        };
        if let Some(end) = end {
            return (end, before.is_some());
        }
        if feed.has_just_caught_up(reader) {
            if let Some((_, until)) = &mut before {
                *until = Some(Instant::now() + timing.near);
            } else if feed.connection.wire() == Wire::V1 && !feed.overlapping {
                let next = match feed.overlap(reader).await {
                    Ok(next) => next,
                    Err(end) => return (end, true),
                };
                before = Some((std::mem::replace(&mut feed, next), None));
            }
            alarm.as_mut().reset(Instant::now());
        }
    }
}

async fn next_of(feed: &mut Option<(Feed, Option<Instant>)>) -> Incoming {
    match feed {
        Some((feed, _)) => feed.connection.next().await,
        None => pending().await,
    }
}

/// Whether an event is to be handed on.
enum Passage {
    New,
    Repeated,
    Renumbered,
}

impl Position {
    /// Makes a time that can't be one of `now_us`.
    fn not_of_the_future(&mut self, now_us: i64) {
        if self.time_us <= now_us.saturating_add(AHEAD_US) {
            return;
        }
        self.time_us = now_us;
        if self.wire == Wire::V1 {
            self.cursor = now_us;
        }
    }
}

impl Feed {
    pub(super) fn new(connection: Connection, cursor: Cursor, opened: Instant, overlapping: bool) -> Self {
        Self {
            connection,
            cursor,
            opened,
            heard: None,
            last_frame: opened,
            ping_at: opened,
            seq: cursor.seq,
            last_us: cursor.from_us,
            has_events: false,
            caught_up: false,
            overlapping,
        }
    }

    /// Another connection, that repeats the last seconds.
    async fn overlap(&mut self, reader: &Reader) -> Result<Self, End> {
        let cursor = Cursor::time(self.last_us, OVERLAP_US);
        let number = reader.shared.hosts().current();
        let opened = Instant::now();
        match reader.open(number, cursor).await {
            Ok(connection) => Ok(Self::new(connection, cursor, opened, true)),
            // Perhaps the host takes one connection of each client: then this one has to end first.
            Err(Refused::TooOld) => Err(End::Cut("no second connection".to_owned())),
            Err(Refused::Because(reason)) => Err(End::Cut(format!("no second connection: {reason}"))),
        }
    }

    /// Nothing was read for a while, by our own choice.
    fn excuse(&mut self, now: Instant) {
        self.heard = self.heard.map(|_| now);
        self.opened = if self.heard.is_none() { now } else { self.opened };
        self.last_frame = now;
    }

    fn take(&mut self, reader: &Reader, incoming: Incoming) -> Option<End> {
        let now = Instant::now();
        let (frame, bytes) = match incoming {
            Incoming::Alive => {
                self.heard = Some(now);
                return None;
            }
            Incoming::Frame(frame, bytes) => (frame, bytes),
            Incoming::Closed(reason) => return Some(self.ended(reason, now, &reader.options.timing)),
            Incoming::Broken(reason) => return Some(End::Broken { reason, last_us: self.last_us }),
        };
        self.heard = Some(now);
        self.last_frame = now;
        match frame {
            Frame::Event(mut event) => {
                event.position.not_of_the_future(reader.now_us());
                return self.event(reader, event, bytes);
            }
            Frame::Unreadable(mut unreadable) => {
                if let Some(position) = &mut unreadable.position {
                    position.not_of_the_future(reader.now_us());
                }
                let passage = unreadable.position.as_ref().map_or(Passage::New, |at| self.passage(at));
                match passage {
                    Passage::New => reader.push(Notice::Unreadable(unreadable), bytes),
                    Passage::Repeated => {}
                    Passage::Renumbered => return Some(End::Renumbered),
                }
            }
            Frame::Info(name) if name == "OutdatedCursor" => {
                reader.shared.queue.lost_from(self.cursor.from_us);
            }
            Frame::Info(name) if name == "FutureCursor" && self.cursor.seq.is_some() => {
                return Some(End::Renumbered);
            }
            Frame::Error(name) if name == "CursorTooOld" && self.cursor.seq.is_some() => {
                return Some(End::TooOld);
            }
            Frame::Error(name) => {
                let plain = name.len() <= ERROR_MAX_BYTES && name.bytes().all(|b| b.is_ascii_alphanumeric());
                let name = if plain { &name } else { "an error" };
                return Some(self.ended(
                    format!("ended by the host with {name}"),
                    now,
                    &reader.options.timing,
                ));
            }
            Frame::Info(_) | Frame::Unknown => {}
        }
        None
    }

    /// A connection that breaks at once is as good as none.
    fn ended(&self, reason: String, now: Instant, timing: &Timing) -> End {
        let barren = !self.has_events && now < self.opened + timing.barren;
        if barren { End::Barren(reason) } else { End::Cut(reason) }
    }

    fn event(&mut self, reader: &Reader, event: Event, bytes: usize) -> Option<End> {
        match self.passage(&event.position) {
            Passage::New => {}
            Passage::Repeated => return None,
            Passage::Renumbered => return Some(End::Renumbered),
        }
        let time_us = event.position.time_us;
        if !self.has_events {
            self.has_events = true;
            reader.shared.hosts().heard();
            let lost = reader.shared.queue.take_lost_from();
            let lost = lost.or_else(|| self.is_gap(time_us).then_some(self.cursor.from_us));
            if let Some(from_us) = lost.filter(|from_us| *from_us < time_us) {
                self.tell_gap(reader, from_us, Some(time_us));
            }
        }
        self.last_us = self.last_us.max(time_us);
        reader.push(Notice::Event(event), bytes);
        None
    }

    /// A sequence number below the one that was asked for belongs to another count.
    fn passage(&mut self, position: &Position) -> Passage {
        if position.wire == Wire::V1 {
            return Passage::New;
        }
        if self.cursor.seq.is_some_and(|asked| position.cursor < asked) {
            return Passage::Renumbered;
        }
        if self.seq.is_some_and(|last| position.cursor <= last) {
            return Passage::Repeated;
        }
        self.seq = Some(position.cursor);
        Passage::New
    }

    /// Whether a first event at `time_us` shows that the host did not keep what followed the cursor. Only v1
    /// says it no other way. A stream that was silent for so long looks the same, unless it is silent still.
    fn is_gap(&self, time_us: i64) -> bool {
        let is_far = time_us > self.cursor.from_us.saturating_add(GAP_US);
        self.connection.wire() == Wire::V1 && !self.overlapping && is_far
    }

    fn tell_gap(&self, reader: &Reader, from_us: i64, to_us: Option<i64>) {
        reader.push(Notice::Gap { host: self.connection.host().clone(), from_us, to_us }, 0);
    }

    /// What is due: a ping, the end of a connection that says nothing.
    async fn look(&mut self, reader: &Reader, now: Instant, first_host: Option<Instant>) -> Option<End> {
        let timing = &reader.options.timing;
        match self.heard {
            None if now >= self.opened + timing.barren => {
                return Some(End::Barren("no word from the host".to_owned()));
            }
            Some(heard) if now >= heard + timing.silence => {
                return Some(End::Cut("the host fell silent".to_owned()));
            }
            Some(_) if now >= self.opened + timing.barren => reader.shared.hosts().heard(),
            Some(_) | None => {}
        }
        if first_host.is_some_and(|at| now >= at) {
            return Some(End::FirstHost);
        }
        if now >= self.ping_at {
            self.ping_at = now + timing.ping;
            if !matches!(timeout(timing.barren, self.connection.ping()).await, Ok(Ok(()))) {
                return Some(self.ended("cut while it was written to".to_owned(), now, timing));
            }
        }
        None
    }

    fn next_look(&self, timing: &Timing, others: [Option<Instant>; 2]) -> Instant {
        let alive = match self.heard {
            None => self.opened + timing.barren,
            Some(heard) => heard + timing.silence,
        };
        let outlived = Some(self.opened + timing.barren).filter(|at| *at > Instant::now());
        let quiet = (!self.caught_up).then_some(self.last_frame + timing.quiet);
        let all = [Some(alive), Some(self.ping_at), outlived, quiet].into_iter().chain(others).flatten();
        all.min().unwrap_or(alive)
    }

    /// Once: when an event is of now, or when the host has said nothing but pongs for a moment.
    fn has_just_caught_up(&mut self, reader: &Reader) -> bool {
        if self.caught_up {
            return false;
        }
        let timing = &reader.options.timing;
        let near = self.has_events && self.last_us >= reader.now_us().saturating_sub(micros(timing.near));
        let quiet = self.heard.is_some() && Instant::now() >= self.last_frame + timing.quiet;
        self.caught_up = near || quiet;
        if self.caught_up {
            if let Some(from_us) = reader.shared.queue.take_lost_from() {
                self.tell_gap(reader, from_us, None);
            }
            reader.push(Notice::CaughtUp { host: self.connection.host().clone() }, 0);
        }
        self.caught_up
    }
}

pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_future() {
        const NOW_US: i64 = 1_795_953_600_000_000;
        let at = |wire, ahead_us| {
            let (cursor, time_us) = (NOW_US + ahead_us, NOW_US + ahead_us);
            let mut position = Position { host: "wss://a.example/subscribe".into(), wire, cursor, time_us };
            position.not_of_the_future(NOW_US);
            (position.cursor - NOW_US, position.time_us - NOW_US)
        };
        for wire in [Wire::V1, Wire::V2] {
            assert_eq!(at(wire, -1), (-1, -1));
            assert_eq!(at(wire, AHEAD_US), (AHEAD_US, AHEAD_US));
        }
        assert_eq!(at(Wire::V1, AHEAD_US + 1), (0, 0));
        assert_eq!(at(Wire::V2, AHEAD_US + 1), (AHEAD_US + 1, 0));
    }
}
