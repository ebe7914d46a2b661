//! Tables of cases: all failures of a table are reported together, each with the name of its case.

use std::fmt::{Debug, Display};

/// The failures of a table so far. It has to be [finished](Self::finish).
#[derive(Default)]
#[must_use]
pub(crate) struct Table {
    cases: usize,
    failures: Vec<String>,
}

impl Table {
    /// Notes a case whose result is not the expected one.
    #[expect(clippy::needless_pass_by_value, reason = "cases are made for the one comparison")]
    pub(crate) fn check<T: PartialEq + Debug>(&mut self, case: impl Display, result: T, expected: T) {
        self.cases += 1;
        if result != expected {
            self.failures.push(format!("{case}\n       got: {result:?}\n  expected: {expected:?}"));
        }
    }

    /// Panics if there was a failure, or no case at all.
    pub(crate) fn finish(self) {
        let Self { cases, failures } = self;
        assert!(cases > 0, "an empty table");
        assert!(failures.is_empty(), "{} of {cases} cases fail:\n{}", failures.len(), failures.join("\n"));
    }
}
