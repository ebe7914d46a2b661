//! `docs/limits.md`: each row has the value that the code has, and no limit of the code is left out.
//!
//! The last cell of a row says where the value comes from: a constant (`gateway/src/xrpc.rs: MAX_CALLS`) or a
//! field of one (`….rs: DEFAULT.time`), a rule of a lexicon (`….json: name.maxLength`), or a setting
//! (`--rate-limit`).

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::constants::{Value, constants, value};
use super::settings::default_of;
use super::tables::rows;
use super::tree::read;

const DOCUMENT: &str = "docs/limits.md";
/// A constant whose name has one of these words is a limit.
const WORDS: [&str; 7] = ["MAX", "LIMIT", "HIGHEST", "LONGEST", "MOST", "QUEUE", "TIMEOUT"];

#[test]
fn every_row_has_the_value_of_the_code() {
    let text = read(DOCUMENT);
    let rows = limits(&text);
    assert!(rows.len() > 80, "the rows are not found");
    let wrong: Vec<_> = rows.iter().filter_map(|row| row.check().err()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let sources: BTreeSet<_> = rows.iter().map(|row| row.source).collect();
    assert_eq!(sources.len(), rows.len(), "a limit is there twice");
}

#[test]
fn every_limit_has_a_row() {
    let text = read(DOCUMENT);
    let sources: Vec<_> = limits(&text).into_iter().map(|row| row.source).collect();
    let all = constants();
    let missing = all.iter().filter(|one| !one.kind.starts_with('&') && is_limit(&one.name)).filter(|one| {
        let source = format!("{}: {}", one.file, one.name);
        let field = format!("{source}.");
        !sources.iter().any(|row| **row == *source || row.starts_with(&field))
    });
    let missing: Vec<_> = missing.map(|one| format!("{}: {}", one.file, one.name)).collect();
    assert!(missing.is_empty(), "{DOCUMENT} has no row for {missing:#?}");
}

fn is_limit(name: &str) -> bool {
    name.split('_').any(|word| WORDS.contains(&word))
}

/// A row: `| name | value | what happens above it | source |`.
struct Limit<'a> {
    name: &'a str,
    value: &'a str,
    source: &'a str,
}

fn limits(markdown: &str) -> Vec<Limit<'_>> {
    rows(markdown).iter().filter_map(|cells| limit(cells)).collect()
}

/// `None`: a row of another table.
fn limit<'a>(cells: &[&'a str]) -> Option<Limit<'a>> {
    let (&[name, value], &[.., source]) = (cells.first_chunk()?, cells) else { return None };
    let source = source.strip_prefix('`')?.strip_suffix('`')?;
    let is_source = source.starts_with("--") || source.contains(".rs: ") || source.contains(".json: ");
    is_source.then_some(Limit { name, value, source })
}

impl Limit<'_> {
    fn check(&self) -> Result<(), String> {
        let Self { name, value: written, source } = self;
        let told = |problem: String| format!("{name} ({source}): {problem}");
        let here = quantity(written).ok_or_else(|| told(format!("no value: {written}")))?;
        let there = self.value_of_code().map_err(told)?;
        if here == there { Ok(()) } else { Err(told(format!("{written}, but the code has {there:?}"))) }
    }

    fn value_of_code(&self) -> Result<Value, String> {
        let Some((file, path)) = self.source.split_once(": ") else {
            let default = default_of(self.source).ok_or("no such setting")?;
            return quantity(&default).ok_or(format!("the default is {default}"));
        };
        if file.ends_with(".json") { rule_of_lexicon(file, path) } else { value(&constants(), file, path) }
    }
}

/// `path` is a field of the input and a rule of it: `name.maxLength`.
fn rule_of_lexicon(file: &str, path: &str) -> Result<Value, String> {
    let lexicon: Json = serde_json::from_str(&read(file)).unwrap();
    let main = &lexicon["defs"]["main"];
    let fields = main.pointer("/input/schema/properties").or(main.pointer("/parameters/properties"));
    let rule = fields.and_then(|fields| fields.pointer(&format!("/{}", path.replace('.', "/"))));
    let number = rule.and_then(Json::as_i64).ok_or("no such rule")?;
    Ok(Value::Number(number.into()))
}

/// `1,024`, `64 KiB`, `1.4 s`, `8s`: a number and perhaps a unit; what follows is left out.
fn quantity(text: &str) -> Option<Value> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != ',' && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let unit = rest.split_whitespace().next().unwrap_or_default().trim_end_matches([',', ';']);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: i128 = whole.replace(',', "").parse().ok()?;
    let with = |factor: i128| {
        let parts = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
        let fraction: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
        Some(whole * factor + fraction * factor / parts)
    };
    let time = match unit {
        "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" | "days" => 24 * 3_600_000,
        "KiB" => return with(1024).map(Value::Number),
        "MiB" => return with(1024 * 1024).map(Value::Number),
        _ if fraction.is_empty() => return Some(Value::Number(whole)),
        _ => return None,
    };
    with(time).map(Value::Milliseconds)
}

#[test]
fn quantities_are_read() {
    for (text, expected) in [
        ("1,024", Some(Value::Number(1024))),
        ("64 KiB", Some(Value::Number(65_536))),
        ("4 MiB, all together", Some(Value::Number(4 << 20))),
        ("8s", Some(Value::Milliseconds(8_000))),
        ("1.4 s", Some(Value::Milliseconds(1_400))),
        ("24 h", Some(Value::Milliseconds(86_400_000))),
        ("7d", Some(Value::Milliseconds(604_800_000))),
        ("50 bytes", Some(Value::Number(50))),
        ("1.5 calls", None),
        ("none", None),
    ] {
        assert_eq!(quantity(text), expected, "{text}");
    }
}
