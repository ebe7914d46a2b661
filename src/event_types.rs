//! The names of the types of events, as the methods have them.

use process::settings::Problems;

/// All of them.
pub(crate) const EVENT_TYPES: [&str; 5] = ["chat", "livestream", "follow", "mention", "stream.received"];

/// `text`, which was given with `flag`, if it is a type. `None`: it is not, and the problem is recorded.
pub(crate) fn event_type(flag: &str, text: &str, problems: &mut Problems) -> Option<String> {
    let text = text.trim();
    if EVENT_TYPES.contains(&text) {
        return Some(text.to_owned());
    }
    problems.note(flag, format_args!("{text:?}: one of {}", EVENT_TYPES.join(", ")));
    None
}
