//! Verbs that a method does not take.

use http::Method;

use crate::harness::stack::Stack;

impl Stack {
    /// Asserts that the method takes none of `verbs`, and says which it does take: `allow`.
    pub(crate) async fn refuses_verbs(&self, nsid: &str, verbs: &[Method], allow: &str) {
        for verb in verbs {
            let answer = self.send(self.request(verb.clone(), &format!("/xrpc/{nsid}"))).await;
            assert_eq!((answer.status.as_u16(), answer.headers["allow"].to_str().unwrap()), (400, allow));
            // An answer to HEAD has no body to name the error in.
            if verb != Method::HEAD {
                answer.error(400, "InvalidRequest");
            }
        }
    }
}
