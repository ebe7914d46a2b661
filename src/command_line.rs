//! Command lines that people paste into a shell: the name under which this program was started, and quoting.

use std::borrow::Cow;

/// How this process was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Started {
    /// The program as the shell was told it: `athook` where it was found in the search path, else a path.
    pub(crate) program: String,
    /// Whether more than the name of a command followed.
    pub(crate) with_flags: bool,
}

impl Started {
    /// This process.
    pub(crate) fn this_process() -> Self {
        let mut words = std::env::args_os();
        let program =
            words.next().map_or_else(|| "athook".into(), |word| word.to_string_lossy().into_owned());
        Self { program, with_flags: words.count() > 1 }
    }

    /// A line that runs this program with these arguments in the same folder.
    pub(crate) fn line(&self, arguments: &[&str]) -> String {
        let words = std::iter::once(self.program.as_str()).chain(arguments.iter().copied());
        words.map(quoted).collect::<Vec<_>>().join(" ")
    }
}

/// `word` as a POSIX shell, bash or zsh takes it for one word.
fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:,@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', r"'\''")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        let started = Started { program: "target/debug/athook".to_owned(), with_flags: false };
        for (arguments, line) in [
            (["listen", "--port", "9100"].as_slice(), "target/debug/athook listen --port 9100"),
            (&["--a", "sqlite://x.db?mode=rwc"], "target/debug/athook --a 'sqlite://x.db?mode=rwc'"),
            (&["it's", "", "~", "$HOME", "ä"], r"target/debug/athook 'it'\''s' '' '~' '$HOME' 'ä'"),
        ] {
            assert_eq!(started.line(arguments), line);
        }
    }
}
