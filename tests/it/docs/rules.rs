//! The PrometheusRule of `components/monitoring`: it has the groups of `alerts.yaml`, which is for a
//! Prometheus without operator.

use super::tree::{read, root};

const ALERTS: &str = "deploy/observability/alerts.yaml";
const RULE: &str = "deploy/kubernetes/components/monitoring/rules.yaml";

#[test]
#[expect(clippy::disallowed_methods, reason = "asked by whoever runs the tests, not by the product")]
fn operator_gets_the_same_alerts() {
    let (alerts, rule) = (read(ALERTS), read(RULE));
    let (_, groups) = alerts.split_once("groups:\n").unwrap();
    let (head, _) = rule.split_once("spec:\n").unwrap();
    let indented =
        groups.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") });
    let expected = format!("{head}spec:\n  groups:\n{}", indented.collect::<String>());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(root().join(RULE), expected).unwrap();
    } else {
        assert!(rule == expected, "{RULE} differs from {ALERTS}: write it anew with UPDATE_DOCS=1");
    }
}
