//! Constants of the product's sources, and the values of those that are numbers or lengths of time.
//!
//! Reads the text, not the program: enough of Rust for `64 * 1024`, `Duration::from_secs(2)`, `2 * OTHER`,
//! `"text".len()` and a field of a struct of such values.

use super::tree::{File, files};

/// The crates whose sources are the product; their tests are not.
const PRODUCT: [&str; 8] = [
    "core-service/src/",
    "egress/src/",
    "gateway/src/",
    "jetstream/src/",
    "migrations/src/",
    "process/src/",
    "proto/src/",
    "src/",
];

/// `const NAME: TYPE = EXPRESSION;`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Constant {
    pub(super) file: String,
    pub(super) name: String,
    pub(super) kind: String,
    expression: String,
}

/// Every constant of the product.
pub(super) fn constants() -> Vec<Constant> {
    let found: Vec<_> = files().iter().filter(|file| is_product(&file.path)).flat_map(constants_of).collect();
    assert!(found.len() > 100, "the constants are elsewhere");
    found
}

fn is_product(path: &str) -> bool {
    let is_test = path.contains("/tests/") || path.ends_with("/tests.rs") || path.ends_with("/fixture.rs");
    path.ends_with(".rs") && !is_test && PRODUCT.iter().any(|folder| path.starts_with(folder))
}

fn constants_of(file: &File) -> Vec<Constant> {
    let product = before_tests(&file.text);
    let mut found = Vec::new();
    for (at, _) in product.match_indices("const ") {
        let line = product[..at].rsplit('\n').next().unwrap();
        let declares = line.trim().is_empty() || line.trim().starts_with("pub");
        let Some((name, rest)) = product[at + "const ".len()..].split_once(": ") else { continue };
        let is_name = name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        let Some((kind, rest)) = rest.split_once(" =").filter(|_| declares && is_name) else { continue };
        let Some(expression) = statement(rest) else { continue };
        let without_comments = expression.lines().map(|line| line.split("//").next().unwrap());
        found.push(Constant {
            file: file.path.clone(),
            name: name.to_owned(),
            kind: kind.trim().to_owned(),
            expression: without_comments.collect::<Vec<_>>().join(" "),
        });
    }
    found
}

/// `source` without the test module that it ends with.
fn before_tests(source: &str) -> &str {
    let mut modules = source.match_indices("#[cfg(test)]\nmod ");
    let inline =
        modules.find(|(at, found)| source[at + found.len()..].lines().next().unwrap().ends_with('{'));
    inline.map_or(source, |(at, _)| &source[..at])
}

/// `text` up to the semicolon that ends it.
fn statement(text: &str) -> Option<&str> {
    let mut depth = 0_i32;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            ';' if depth == 0 => return Some(&text[..at]),
            _ => {}
        }
    }
    None
}

/// A number without unit, or a length of time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    Number(i128),
    Milliseconds(i128),
}

/// The value of the constant `path` (`NAME`, or `NAME.field.field` of a struct) of `file`.
///
/// # Errors
///
/// What is wrong: there is no such constant, or its value is not of a kind that is read here.
pub(super) fn value(all: &[Constant], file: &str, path: &str) -> Result<Value, String> {
    let mut fields = path.split('.');
    let name = fields.next().unwrap();
    let constant = all.iter().find(|one| one.file == file && one.name == name).ok_or_else(|| {
        let elsewhere = all.iter().filter(|one| one.name == name).map(|one| one.file.as_str());
        format!("no such constant there; elsewhere: {:?}", elsewhere.collect::<Vec<_>>())
    })?;
    let mut expression = constant.expression.as_str();
    for field in fields {
        expression = field_of(expression, field).ok_or_else(|| format!("no field {field}"))?;
    }
    let mut parser = Parser { rest: expression, all, file, is_time: false };
    let number = parser.sum().filter(|_| parser.rest.trim().is_empty());
    let number = number.ok_or_else(|| format!("can't be read: {expression}"))?;
    let milliseconds = if parser.is_time { Some(1) } else { unit_of_name(name) };
    Ok(milliseconds.map_or(Value::Number(number), |unit| Value::Milliseconds(number * unit)))
}

/// A name ends with the unit of an integer that is a time; in milliseconds.
fn unit_of_name(name: &str) -> Option<i128> {
    let units = [("_MS", 1), ("_S", 1_000), ("_SECONDS", 1_000), ("_DAYS", 24 * 3_600_000)];
    units.iter().find(|(suffix, _)| name.ends_with(suffix)).map(|(_, unit)| *unit)
}

/// The value of `field: …` in a struct's expression, at its outermost braces.
fn field_of<'a>(expression: &'a str, field: &str) -> Option<&'a str> {
    let inner = &expression[expression.find('{')? + 1..expression.rfind('}')?];
    let mut depth = 0_i32;
    let parts = inner.split(|c| {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    });
    parts
        .filter_map(|part| part.split_once(':'))
        .find(|(name, _)| name.trim() == field)
        .map(|(_, value)| value)
}

/// Reads an expression from left to right; a length of time is in milliseconds.
struct Parser<'a> {
    rest: &'a str,
    all: &'a [Constant],
    file: &'a str,
    is_time: bool,
}

impl<'a> Parser<'a> {
    fn sum(&mut self) -> Option<i128> {
        let mut value = self.product()?;
        while self.take("+") {
            value += self.product()?;
        }
        if self.take("<<") {
            value <<= self.product()?;
        }
        Some(value)
    }

    fn product(&mut self) -> Option<i128> {
        let mut value = self.factor()?;
        while self.take("*") {
            value *= self.factor()?;
        }
        Some(value)
    }

    fn factor(&mut self) -> Option<i128> {
        self.rest = self.rest.trim_start();
        if self.take("(") {
            let value = self.sum()?;
            return self.take(")").then_some(value);
        }
        if let Some(text) = self.rest.strip_prefix('"') {
            let (text, rest) = text.split_once('"')?;
            self.rest = rest.strip_prefix(".len()")?;
            return i128::try_from(text.len()).ok();
        }
        let word = self.word();
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            return self.cast(word.replace('_', "").parse().ok()?);
        }
        let name = word.rsplit("::").next()?;
        if !self.take("(") {
            let value = self.constant(name)?;
            return self.cast(value);
        }
        let argument = self.sum()?;
        if !self.take(")") {
            return None;
        }
        match name {
            // A number that is not zero: `NonZeroU32::new(50).expect("not zero")`.
            "new" => {
                let (_, rest) = self.rest.strip_prefix(".expect(\"")?.split_once("\")")?;
                self.rest = rest;
                Some(argument)
            }
            _ => {
                self.is_time = true;
                Some(argument * milliseconds(name)?)
            }
        }
    }

    /// `value as TYPE` is `value`.
    fn cast(&mut self, value: i128) -> Option<i128> {
        if self.take("as ") {
            self.word();
        }
        Some(value)
    }

    fn constant(&mut self, name: &str) -> Option<i128> {
        let here = self.all.iter().find(|one| one.file == self.file && one.name == name);
        let constant = here.or_else(|| self.all.iter().find(|one| one.name == name))?;
        let mut parser =
            Parser { rest: &constant.expression, all: self.all, file: &constant.file, is_time: false };
        let value = parser.sum()?;
        self.is_time |= parser.is_time;
        Some(value)
    }

    fn word(&mut self) -> &'a str {
        self.rest = self.rest.trim_start();
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let (word, rest) = self.rest.split_at(self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len()));
        self.rest = rest;
        word
    }

    fn take(&mut self, text: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }
}

/// The milliseconds of the unit in `Duration::from_…`.
fn milliseconds(constructor: &str) -> Option<i128> {
    match constructor {
        "from_millis" => Some(1),
        "from_secs" => Some(1_000),
        "from_mins" => Some(60_000),
        "from_hours" => Some(3_600_000),
        _ => None,
    }
}

#[test]
fn values_are_read() {
    let text = r#"
#[cfg(test)]
mod more_tests;
const BYTES: usize = 64 * 1024;
pub(crate) const TWICE: u32 = 2 * (BYTES as u32 + 1);
const SHIFTED: u64 = 1 << 20;
const NAME_BYTES: usize = "did:web:".len() + other::TWICE;
const PAUSE: Duration = Duration::from_millis(1_400);
const LONG: std::time::Duration = Duration::from_secs(5 * 60);
const KEPT_MS: i64 = 24 * HOUR_MS;
const HOUR_MS: i64 = 60 * 60_000;
const DEFAULT: Self = Self {
    time: Duration::from_secs(3),
    web: Allowance { rate: NonZeroU32::new(10).expect("not zero"), at_once: 32 },
};
const TEXT: &str = "50";
#[cfg(test)]
mod tests {
const TESTED: u32 = 1;
}
"#;
    let all = constants_of(&File { path: "a.rs".to_owned(), text: text.to_owned() });
    let read = |path: &str| value(&all, "a.rs", path);
    for (path, expected) in [
        ("BYTES", Value::Number(65_536)),
        ("TWICE", Value::Number(131_074)),
        ("SHIFTED", Value::Number(1 << 20)),
        ("NAME_BYTES", Value::Number(131_082)),
        ("PAUSE", Value::Milliseconds(1_400)),
        ("LONG", Value::Milliseconds(300_000)),
        ("KEPT_MS", Value::Milliseconds(86_400_000)),
        ("DEFAULT.time", Value::Milliseconds(3_000)),
        ("DEFAULT.web.rate", Value::Number(10)),
        ("DEFAULT.web.at_once", Value::Number(32)),
    ] {
        assert_eq!(read(path), Ok(expected), "{path}");
    }
    for unreadable in ["TEXT", "TESTED", "DEFAULT.none"] {
        assert!(read(unreadable).is_err(), "{unreadable}");
    }
    assert_eq!(value(&all, "b.rs", "BYTES"), Err("no such constant there; elsewhere: [\"a.rs\"]".to_owned()));
}
