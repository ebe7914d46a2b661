//! A parser of `/metrics` that checks the rules of the OpenMetrics text format 1.0.0.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// One line with a value: a name, labels and the value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// Everything in one reading.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reading {
    pub(crate) samples: Vec<Sample>,
}

impl Reading {
    /// Reads `text`, and panics at the first thing that the format does not allow.
    pub(crate) fn parse(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").expect("a reading ends with # EOF");
        let mut reading = Self::default();
        let mut types = HashMap::new();
        let mut helped = HashSet::new();
        let mut family: Option<(String, String)> = None;
        let mut seen = HashSet::new();
        for line in body.lines() {
            if let Some(rest) = line.strip_prefix("# ") {
                let mut words = rest.splitn(3, ' ');
                let (keyword, name) = (words.next().unwrap(), words.next().unwrap().to_owned());
                let value = words.next().unwrap_or_else(|| panic!("{line}"));
                match keyword {
                    "HELP" => assert!(helped.insert(name), "twice: {line}"),
                    "UNIT" => assert!(name.ends_with(&format!("_{value}")), "{line}"),
                    "TYPE" => {
                        assert!(["counter", "gauge", "histogram", "info"].contains(&value), "{line}");
                        assert!(types.insert(name.clone(), value.to_owned()).is_none(), "twice: {line}");
                        family = Some((name, value.to_owned()));
                    }
                    _ => panic!("{line}"),
                }
                continue;
            }
            let sample = sample(line);
            let (family, kind) = family.as_ref().expect("a type goes before its samples");
            let suffix = sample.name.strip_prefix(family.as_str()).unwrap_or_else(|| panic!("{line}"));
            let fits = match kind.as_str() {
                "counter" => suffix == "_total" && sample.value >= 0.0,
                "gauge" => suffix.is_empty(),
                "histogram" => ["_bucket", "_sum", "_count"].contains(&suffix),
                _ => suffix == "_info" && sample.value == 1.0,
            };
            assert!(fits, "{kind} {family}: {line}");
            assert!(seen.insert((sample.name.clone(), sample.labels.clone())), "twice: {line}");
            reading.samples.push(sample);
        }
        for (name, _) in types.iter().filter(|(_, kind)| *kind == "histogram") {
            reading.check_histogram(name);
        }
        reading
    }

    /// The classes of a histogram are cumulative and end with all values.
    fn check_histogram(&self, family: &str) {
        let mut classes: BTreeMap<BTreeMap<String, String>, Vec<(f64, f64)>> = BTreeMap::new();
        for sample in self.named(&format!("{family}_bucket")) {
            let mut labels = sample.labels.clone();
            let bound = labels.remove("le").expect("a class has a bound");
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() };
            classes.entry(labels).or_default().push((bound, sample.value));
        }
        assert!(!classes.is_empty(), "{family}");
        for (labels, classes) in classes {
            assert!(classes.is_sorted_by(|(a, low), (b, high)| a < b && low <= high), "{family} {labels:?}");
            let counts = self.named(&format!("{family}_count"));
            let count = counts.into_iter().find(|count| count.labels == labels).expect("a count");
            assert_eq!(classes.last(), Some(&(f64::INFINITY, count.value)), "{family} {labels:?}");
        }
    }

    /// The samples of that name.
    pub(crate) fn named(&self, name: &str) -> Vec<&Sample> {
        self.samples.iter().filter(|sample| sample.name == name).collect()
    }

    /// The sum of the samples of that name that have these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |sample: &&&Sample| {
            labels.iter().all(|&(label, value)| sample.labels.get(label).is_some_and(|has| has == value))
        };
        let named = self.named(name);
        let found: Vec<_> = named.iter().filter(has).collect();
        assert!(!found.is_empty(), "there is no {name} with {labels:?}");
        found.iter().map(|sample| sample.value).sum()
    }

    /// Names and labels, without the values.
    pub(crate) fn series(&self) -> BTreeSet<(&str, &BTreeMap<String, String>)> {
        self.samples.iter().map(|sample| (sample.name.as_str(), &sample.labels)).collect()
    }
}

fn sample(line: &str) -> Sample {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
    let (name, mut rest) = match series.split_once('{') {
        None => (series, ""),
        Some((name, rest)) => (name, rest.strip_suffix('}').unwrap_or_else(|| panic!("{line}"))),
    };
    assert!(is_name(name), "{line}");
    let mut labels = BTreeMap::new();
    while !rest.is_empty() {
        let (label, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
        assert!(is_name(label), "{line}");
        // No value here has anything to escape.
        let (value, after) = after.split_once('"').unwrap_or_else(|| panic!("{line}"));
        assert!(!value.contains('\\') && !value.is_empty(), "{line}");
        assert!(labels.insert(label.to_owned(), value.to_owned()).is_none(), "twice: {line}");
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    Sample { name: name.to_owned(), labels, value: value.parse().unwrap_or_else(|_| panic!("{line}")) }
}
