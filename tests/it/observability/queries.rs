//! The PromQL of the dashboard and of the alerts, and whether the metrics that it asks for exist.

use std::collections::BTreeSet;

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{Expr, VectorSelector, parse};
use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

use super::exposition::{Reading, Sample};

/// Labels that Prometheus itself puts on what it reads.
const OF_PROMETHEUS: [&str; 2] = ["instance", "job"];

/// An alert rule.
pub(crate) struct Alert {
    pub(crate) name: String,
    pub(crate) query: String,
    annotations: Yaml,
}

impl Alert {
    /// An annotation of the rule.
    pub(crate) fn annotation(&self, name: &str) -> &str {
        self.annotations[name].as_str().unwrap_or_else(|| panic!("{} has no {name}", self.name))
    }
}

fn file(name: &str) -> String {
    let path = format!("{}/deploy/observability/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every rule of `alerts.yaml`.
pub(crate) fn alerts() -> Vec<Alert> {
    let documents = YamlLoader::load_from_str(&file("alerts.yaml")).unwrap();
    let groups = documents[0]["groups"].as_vec().unwrap();
    let rules = groups.iter().flat_map(|group| group["rules"].as_vec().unwrap());
    let text = |value: &Yaml| value.as_str().unwrap().to_owned();
    let alert = |rule: &Yaml| Alert {
        name: text(&rule["alert"]),
        query: text(&rule["expr"]),
        annotations: rule["annotations"].clone(),
    };
    rules.map(alert).collect()
}

/// Every query of `dashboard.json`, by the title of its panel, with Grafana's variables filled in.
pub(crate) fn panels() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&file("dashboard.json")).unwrap();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert!(variables.iter().any(|variable| variable["type"] == "datasource"), "a data source to be chosen");
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        if panel["type"] == "row" {
            continue;
        }
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{title}");
        for target in targets {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            let query = target["expr"].as_str().unwrap();
            let query = query.replace("$__rate_interval", "5m").replace("$instance", ".+");
            assert!(!query.contains('$'), "{title}: {query}");
            queries.push((title.to_owned(), query));
        }
    }
    queries
}

/// The metrics, labels and values of labels in `query` that do not exist in `reading`.
pub(crate) fn problems(query: &str, reading: &Reading) -> Vec<String> {
    let expression = match parse(query) {
        Ok(expression) => expression,
        Err(error) => return vec![error],
    };
    let mut problems = Vec::new();
    let found = check(&expression, reading, &mut problems);
    if found.is_empty() {
        problems.push("it asks for nothing".to_owned());
    }
    problems
}

/// Checks `expression`, and gives the labels that its metrics have.
fn check(expression: &Expr, reading: &Reading, problems: &mut Vec<String>) -> BTreeSet<String> {
    let grouped = |labels: &BTreeSet<String>, by: &[String], problems: &mut Vec<String>| {
        for label in by.iter().filter(|label| !labels.contains(*label)) {
            problems.push(format!("no metric here has the label {label}"));
        }
    };
    match expression {
        Expr::Aggregate(aggregate) => {
            let labels = check(&aggregate.expr, reading, problems);
            if let Some(modifier) = &aggregate.modifier {
                grouped(&labels, &modifier.labels().labels, problems);
            }
            labels
        }
        Expr::Binary(binary) => {
            let mut labels = check(&binary.lhs, reading, problems);
            labels.extend(check(&binary.rhs, reading, problems));
            if let Some(matching) = binary.modifier.as_ref().and_then(|modifier| modifier.matching.as_ref()) {
                grouped(&labels, &matching.labels().labels, problems);
            }
            labels
        }
        Expr::Call(call) => {
            call.args.args.iter().flat_map(|argument| check(argument, reading, problems)).collect()
        }
        Expr::MatrixSelector(matrix) => select(&matrix.vs, reading, problems),
        Expr::VectorSelector(vector) => select(vector, reading, problems),
        Expr::Paren(paren) => check(&paren.expr, reading, problems),
        Expr::Unary(unary) => check(&unary.expr, reading, problems),
        Expr::Subquery(subquery) => check(&subquery.expr, reading, problems),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => BTreeSet::new(),
        Expr::Extension(_) => panic!("not PromQL: {expression:?}"),
    }
}

fn select(selector: &VectorSelector, reading: &Reading, problems: &mut Vec<String>) -> BTreeSet<String> {
    let mut labels = BTreeSet::from(OF_PROMETHEUS.map(str::to_owned));
    let Some(name) = &selector.name else {
        problems.push("a selector without a metric".to_owned());
        return labels;
    };
    // Whether a target answers: Prometheus's own.
    if name == "up" {
        return labels;
    }
    let samples = reading.named(name);
    if samples.is_empty() {
        problems.push(format!("there is no {name}"));
    }
    labels.extend(samples.iter().flat_map(|sample| sample.labels.keys().cloned()));
    let matchers = &selector.matchers;
    assert!(matchers.or_matchers.is_empty(), "not in any Prometheus");
    let ours: Vec<_> =
        matchers.matchers.iter().filter(|matcher| !OF_PROMETHEUS.contains(&matcher.name.as_str())).collect();
    for matcher in &ours {
        for alternative in alternatives(matcher) {
            let exists = |sample: &&Sample| {
                sample.labels.get(&matcher.name).is_some_and(|value| alternative.is_match(value))
            };
            if !samples.iter().any(exists) {
                problems.push(format!("{name} has no {}={:?}", matcher.name, alternative.value));
            }
        }
    }
    let all = |sample: &&Sample| {
        ours.iter()
            .all(|matcher| sample.labels.get(&matcher.name).is_some_and(|value| matcher.is_match(value)))
    };
    if !samples.iter().any(all) {
        problems.push(format!("no {name} is selected by {matchers}"));
    }
    labels
}

/// The values, or patterns of values, that a matcher names, each to be looked for.
fn alternatives(matcher: &Matcher) -> Vec<Matcher> {
    match &matcher.op {
        MatchOp::Equal | MatchOp::NotEqual => {
            vec![Matcher::new(MatchOp::Equal, &matcher.name, &matcher.value)]
        }
        MatchOp::Re(_) | MatchOp::NotRe(_) => {
            let each = matcher.value.split('|').map(|value| {
                let query = format!("up{{{}=~\"{value}\"}}", matcher.name);
                let Ok(Expr::VectorSelector(selector)) = parse(&query) else { panic!("{query}") };
                selector.matchers.matchers.into_iter().next().expect("the one above")
            });
            each.collect()
        }
    }
}
