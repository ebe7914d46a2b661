//! An answer of a gateway, and how tests compare answers: whole, status and body.

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// Status and body.
pub(crate) type Whole = (u16, String);

/// An error as a client reads it, byte for byte.
pub(crate) fn error(status: u16, name: &str, message: &str) -> Whole {
    (status, json!({ "error": name, "message": message }).to_string())
}

/// The error `InvalidRequest` with this message.
pub(crate) fn invalid(message: &str) -> Whole {
    error(400, "InvalidRequest", message)
}

impl Answer {
    /// Status and body.
    pub(crate) fn whole(&self) -> Whole {
        (self.status.as_u16(), self.body.clone())
    }

    /// The JSON of the body.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json", "{self:?}");
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The output of a call that succeeded.
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        self.json()
    }

    /// Asserts the status and the name of an error. Returns its message.
    ///
    /// That the body has nothing else, and that a name with one fixed text comes with that text, is checked
    /// for every answer by [`Contract`](crate::harness::contract::Contract).
    pub(crate) fn error(&self, status: u16, name: &str) -> String {
        let body = self.json();
        assert_eq!((self.status.as_u16(), body["error"].as_str()), (status, Some(name)), "{self:?}");
        self.message()
    }

    /// Asserts the error `InvalidRequest` with this message.
    pub(crate) fn invalid(&self, message: &str) {
        assert_eq!(self.whole(), invalid(message));
    }

    /// The message of an error.
    pub(crate) fn message(&self) -> String {
        self.json()["message"].as_str().expect("a string").to_owned()
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {self:?}")).to_str().unwrap()
    }
}

/// Asserts that `made` of the answers are successes, and that all others are the error `otherwise`. Returns
/// the successes.
pub(crate) fn so_many_succeed<'a>(answers: &'a [Answer], made: usize, otherwise: &str) -> Vec<&'a Answer> {
    let (ok, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(ok.len(), made, "{refused:?}");
    for answer in refused {
        answer.error(400, otherwise);
    }
    ok
}

/// Asserts that exactly one of the answers is a success, and that all others are the error `otherwise`.
/// Returns the success.
pub(crate) fn one_succeeds<'a>(answers: &'a [Answer], otherwise: &str) -> &'a Answer {
    so_many_succeed(answers, 1, otherwise)[0]
}
