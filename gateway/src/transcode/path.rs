//! The path of a value in a request or a response: `input.events[1]`.

use std::fmt;

/// The longest path that is shown, in bytes. In a recursive lexicon paths have no limit.
const MAX_PATH_BYTES: usize = 256;

/// The longest name that is shown, in characters. A client can send any name.
const MAX_NAME_CHARS: usize = 48;

/// A path as a link to the path of the enclosing value, so that no text is made until it is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Name(&'a str),
    Index(usize),
}

impl<'a> Path<'a> {
    /// `input`, `params` or `output`.
    pub(super) fn root(name: &'a str) -> Self {
        Self { parent: None, step: Step::Name(name) }
    }

    /// The path of a field of the object at this path.
    pub(super) fn name(&'a self, name: &'a str) -> Self {
        Self { parent: Some(self), step: Step::Name(name) }
    }

    /// The path of an element of the list at this path.
    pub(super) fn index(&'a self, index: usize) -> Self {
        Self { parent: Some(self), step: Step::Index(index) }
    }

    fn write(&self, text: &mut String) {
        if let Some(parent) = self.parent {
            parent.write(text);
        }
        match self.step {
            Step::Name(name) => {
                if self.parent.is_some() {
                    text.push('.');
                }
                let shown = name.chars().take(MAX_NAME_CHARS);
                text.extend(
                    shown.map(|character| if character.is_control() { '\u{fffd}' } else { character }),
                );
                if name.chars().nth(MAX_NAME_CHARS).is_some() {
                    text.push('…');
                }
            }
            Step::Index(index) => text.push_str(&format!("[{index}]")),
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write(&mut text);
        if text.len() > MAX_PATH_BYTES {
            text.truncate(text.floor_char_boundary(MAX_PATH_BYTES));
            text.push('…');
        }
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::Path;

    #[test]
    fn fields_and_elements() {
        let root = Path::root("input");
        let events = root.name("events");
        assert_eq!(events.index(1).to_string(), "input.events[1]");
        assert_eq!(events.index(1).name("a").to_string(), "input.events[1].a");
    }

    #[test]
    fn hostile_names_are_cut_and_made_harmless() {
        let long = "é".repeat(10_000);
        let shown = Path::root("input").name(&long).to_string();
        assert_eq!(shown, format!("input.{}…", "é".repeat(48)));
        assert_eq!(Path::root("input").name("a\nb\0").to_string(), "input.a\u{fffd}b\u{fffd}");
    }

    #[test]
    fn long_paths_are_cut() {
        fn deep(path: &Path<'_>, levels: usize) -> String {
            if levels == 0 { path.to_string() } else { deep(&path.name("ééé"), levels - 1) }
        }
        let shown = deep(&Path::root("input"), 90);
        assert!(shown.starts_with("input.ééé.ééé"), "{shown}");
        assert!(shown.len() <= 260 && shown.ends_with('…'), "{shown}");
    }
}
