//! One line of what was found.

use std::fmt;

/// How good it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Ok,
    /// `athook` starts and works, but somebody may miss something.
    Warn,
    /// `athook` does not start, or does not do what the settings ask for.
    Fail,
}

/// `ok    PLC directory   https://plc.directory answers (--plc-url)`.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) level: Level,
    what: &'static str,
    told: String,
    /// Which flags change it; empty: none does.
    flags: &'static str,
}

impl Finding {
    pub(super) fn ok(what: &'static str, told: impl fmt::Display, flags: &'static str) -> Self {
        Self { level: Level::Ok, what, told: told.to_string(), flags }
    }

    pub(super) fn warn(what: &'static str, told: impl fmt::Display, flags: &'static str) -> Self {
        Self { level: Level::Warn, ..Self::ok(what, told, flags) }
    }

    pub(super) fn fail(what: &'static str, told: impl fmt::Display, flags: &'static str) -> Self {
        Self { level: Level::Fail, ..Self::ok(what, told, flags) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { level, what, told, flags } = self;
        let level = match level {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "FAIL",
        };
        // What comes from elsewhere may hold anything.
        let told = told.replace(char::is_control, " ");
        write!(f, "{level:<5} {what:<15} {told}")?;
        if flags.is_empty() { Ok(()) } else { write!(f, " ({flags})") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let line = Finding::ok("PLC directory", "https://plc.directory answers", "--plc-url").to_string();
        assert_eq!(line, "ok    PLC directory   https://plc.directory answers (--plc-url)");
        let line = Finding::fail("clock", "40 s\nbehind", "").to_string();
        assert_eq!(line, "FAIL  clock           40 s behind");
        assert_eq!(Finding::warn("a", "b", "--c").to_string(), "warn  a               b (--c)");
    }
}
