//! What events are judged by: blocks, rules of access to a chat, and verifications, kept as the network has
//! them.
//!
//! A deletion comes without its record, so each is known by its record key.

use jetstream::event::{Commit, Operation};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::did::Did;

pub(crate) const BLOCK: &str = "app.bsky.graph.block";
pub(crate) const ACCESS: &str = "place.stream.chat.access";
pub(crate) const VERIFICATION: &str = "app.bsky.graph.verification";

const VERIFIER_TYPE: &str = "place.stream.chat.access#verifier";
const LABEL_TYPE: &str = "place.stream.chat.access#label";

/// A record that is mirrored was written, or is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MirrorChange {
    /// Whose record: a streamer's, or a verifier's.
    pub(crate) owner: Did,
    pub(crate) kind: MirrorKind,
    pub(crate) rkey: String,
    /// A later one wins.
    pub(crate) rev: String,
    /// `None`: it is gone, or says nothing that is understood.
    pub(crate) content: Option<Mirrored>,
}

/// The collections that are mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum MirrorKind {
    Block,
    Access,
    Verification,
}

impl MirrorKind {
    pub(crate) fn of_collection(collection: &str) -> Option<Self> {
        match collection {
            BLOCK => Some(Self::Block),
            ACCESS => Some(Self::Access),
            VERIFICATION => Some(Self::Verification),
            _ => None,
        }
    }

    pub(crate) fn collection(self) -> &'static str {
        match self {
            Self::Block => BLOCK,
            Self::Access => ACCESS,
            Self::Verification => VERIFICATION,
        }
    }
}

/// What a mirrored record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mirrored {
    /// The owner blocks this one.
    Block(Did),
    /// The owner's chat has this rule.
    Access(AccessRule),
    /// The owner has verified this one.
    Verification(Did),
}

/// A rule of who may write in a chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AccessRule {
    pub(crate) action: Action,
    pub(crate) subject: Subject,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Allow,
    Deny,
}

/// Whom a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Everybody whom this one has verified.
    Verifier(Did),
    /// Everybody with some label. Labels are not read: nobody has one.
    Label,
}

/// What `commit` in the repository of `did` changes, if that kind of its records is mirrored for somebody.
pub(crate) fn mirror(
    did: &str,
    commit: &Commit,
    is_mirrored: impl FnOnce(MirrorKind, &str) -> bool,
) -> Option<MirrorChange> {
    let kind = MirrorKind::of_collection(&commit.collection)?;
    if !is_mirrored(kind, did) {
        return None;
    }
    let owner = did.parse().ok()?;
    let record = commit.record.as_deref().filter(|_| commit.operation != Operation::Delete);
    let content = record.and_then(|record| mirrored(kind, record));
    Some(MirrorChange { owner, kind, rkey: commit.rkey.clone(), rev: commit.rev.clone(), content })
}

/// What a record says, also one that was listed; `None` where that is nothing.
pub(crate) fn mirrored(kind: MirrorKind, record: &RawValue) -> Option<Mirrored> {
    match kind {
        MirrorKind::Block => subject(record).map(Mirrored::Block),
        MirrorKind::Access => access_rule(record).map(Mirrored::Access),
        MirrorKind::Verification => subject(record).map(Mirrored::Verification),
    }
}

/// Whether the rules of a chat let somebody write: a deny that fits refuses; if there is an allow, one must
/// fit.
pub(crate) fn may_chat<'a>(
    rules: impl IntoIterator<Item = &'a AccessRule>,
    is_verified_by: impl Fn(&Did) -> bool,
) -> bool {
    let (mut only_some, mut allowed) = (false, false);
    for AccessRule { action, subject } in rules {
        let fits = match subject {
            Subject::Verifier(did) => is_verified_by(did),
            Subject::Label => false,
        };
        match action {
            Action::Deny if fits => return false,
            Action::Deny => {}
            Action::Allow => {
                only_some = true;
                allowed |= fits;
            }
        }
    }
    allowed || !only_some
}

fn subject(record: &RawValue) -> Option<Did> {
    #[derive(Deserialize)]
    struct Record {
        subject: String,
    }
    let Record { subject } = object(record)?;
    subject.parse().ok()
}

fn access_rule(record: &RawValue) -> Option<AccessRule> {
    #[derive(Deserialize)]
    struct Record<'a> {
        action: String,
        #[serde(borrow)]
        subject: &'a RawValue,
    }
    #[derive(Deserialize)]
    struct RawSubject {
        #[serde(rename = "$type")]
        r#type: String,
        did: Option<String>,
    }
    let Record { action, subject } = object(record)?;
    let action = match action.as_str() {
        "allow" => Action::Allow,
        "deny" => Action::Deny,
        _ => return None,
    };
    let RawSubject { r#type, did } = object(subject)?;
    let subject = match r#type.as_str() {
        VERIFIER_TYPE => Subject::Verifier(did?.parse().ok()?),
        LABEL_TYPE => Subject::Label,
        _ => return None,
    };
    Some(AccessRule { action, subject })
}

/// An object; serde would take an array as a struct too.
fn object<'a, T: Deserialize<'a>>(json: &'a RawValue) -> Option<T> {
    let json = Some(json.get()).filter(|json| json.starts_with('{'));
    json.and_then(|json| serde_json::from_str(json).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::intake::interests::Interests;

    const STREAMER: &str = "did:plc:streamer";
    const VERIFIER: &str = "did:plc:verifier";

    fn interests() -> Interests {
        use crate::domain::event_type::EventType::{Chat, Follow, Livestream};
        let mut interests = Interests::default();
        interests.set_streamer(STREAMER.parse().unwrap(), [Chat]);
        interests.set_streamer("did:plc:followed".parse().unwrap(), [Follow, Livestream]);
        interests.set_streamer("did:plc:live".parse().unwrap(), [Livestream]);
        interests.set_verifiers([VERIFIER.parse().unwrap()]);
        interests
    }

    fn commit(collection: &str, operation: Operation, record: Option<&Value>) -> Commit {
        Commit {
            rev: "3l6oveex3ii2l".to_owned(),
            operation,
            collection: collection.to_owned(),
            rkey: "a".to_owned(),
            cid: None,
            record: record.map(|record| RawValue::from_string(record.to_string()).unwrap()),
        }
    }

    fn change(did: &str, collection: &str, record: Option<&Value>) -> Option<MirrorChange> {
        let operation = if record.is_some() { Operation::Create } else { Operation::Delete };
        mirror(did, &commit(collection, operation, record), |kind, did| interests().mirrors(kind, did))
    }

    #[test]
    fn records_of_those_who_matter() {
        let block = json!({"subject": "did:plc:troll", "createdAt": "2026-11-29T12:00:00Z"});
        let troll: Did = "did:plc:troll".parse().unwrap();
        let expected = MirrorChange {
            owner: STREAMER.parse().unwrap(),
            kind: MirrorKind::Block,
            rkey: "a".to_owned(),
            rev: "3l6oveex3ii2l".to_owned(),
            content: Some(Mirrored::Block(troll.clone())),
        };
        assert_eq!(change(STREAMER, BLOCK, Some(&block)), Some(expected.clone()));
        let update = mirror(STREAMER, &commit(BLOCK, Operation::Update, Some(&block)), |_, _| true);
        assert_eq!(update, Some(expected.clone()));
        let gone = MirrorChange { content: None, ..expected };
        assert_eq!(change(STREAMER, BLOCK, None), Some(gone.clone()));
        let unreadable = json!({"subject": "alice.example"});
        assert_eq!(change(STREAMER, BLOCK, Some(&unreadable)), Some(gone));
        let verification = change(VERIFIER, VERIFICATION, Some(&block)).unwrap();
        assert_eq!(verification.content, Some(Mirrored::Verification(troll)));
        assert_eq!(verification.kind.collection(), VERIFICATION);
    }

    #[test]
    fn records_of_no_concern() {
        let block = json!({"subject": "did:plc:troll"});
        let rule = json!({"action": "allow", "subject": {"$type": LABEL_TYPE}});
        assert!(change("did:plc:followed", BLOCK, Some(&block)).is_some());
        for (did, collection, record) in [
            ("did:plc:stranger", BLOCK, &block),
            ("did:plc:live", BLOCK, &block),
            (VERIFIER, BLOCK, &block),
            (STREAMER, VERIFICATION, &block),
            (STREAMER, "app.bsky.graph.follow", &block),
            ("did:plc:followed", ACCESS, &rule),
        ] {
            assert_eq!(change(did, collection, Some(record)), None, "{did} {collection}");
            assert_eq!(change(did, collection, None), None, "{did} {collection}");
        }
    }

    #[test]
    fn rules_of_access() {
        let rule = |action: &str, subject: Value| {
            let record = json!({"action": action, "subject": subject, "createdAt": "2026-11-29T12:00:00Z"});
            change(STREAMER, ACCESS, Some(&record)).unwrap().content
        };
        let verifier = Subject::Verifier(VERIFIER.parse().unwrap());
        let content = |action, subject| Some(Mirrored::Access(AccessRule { action, subject }));
        let of_verifier = json!({"$type": VERIFIER_TYPE, "did": VERIFIER});
        assert_eq!(rule("allow", of_verifier.clone()), content(Action::Allow, verifier.clone()));
        assert_eq!(rule("deny", of_verifier.clone()), content(Action::Deny, verifier));
        let label = json!({"$type": LABEL_TYPE, "labeler": "did:plc:l", "value": "spam*"});
        assert_eq!(rule("deny", label), content(Action::Deny, Subject::Label));
        for (action, subject) in [
            ("maybe", of_verifier),
            ("allow", json!({"$type": VERIFIER_TYPE, "did": "alice.example"})),
            ("allow", json!({"$type": VERIFIER_TYPE})),
            ("allow", json!({"$type": "place.stream.chat.access#newer", "did": VERIFIER})),
            ("allow", json!({"did": VERIFIER})),
            ("allow", json!([VERIFIER_TYPE, VERIFIER])),
            ("allow", json!(null)),
        ] {
            assert_eq!(rule(action, subject.clone()), None, "{action} {subject}");
        }
    }

    #[test]
    fn who_may_chat() {
        let by = |did: &str| Subject::Verifier(did.parse().unwrap());
        let allow = |subject| AccessRule { action: Action::Allow, subject };
        let deny = |subject| AccessRule { action: Action::Deny, subject };
        let (v, w) = ("did:plc:v", "did:plc:w");
        // The rules; then for somebody nobody has verified, somebody verified by v, and by both.
        for (rules, expected) in [
            (vec![], [true, true, true]),
            (vec![allow(by(v))], [false, true, true]),
            (vec![allow(by(w))], [false, false, true]),
            (vec![allow(by(v)), allow(by(w))], [false, true, true]),
            (vec![deny(by(v))], [true, false, false]),
            (vec![deny(by(w))], [true, true, false]),
            (vec![allow(by(v)), deny(by(w))], [false, true, false]),
            (vec![deny(by(w)), allow(by(v))], [false, true, false]),
            // Labels are not read: nobody has one.
            (vec![deny(Subject::Label)], [true, true, true]),
            (vec![allow(Subject::Label)], [false, false, false]),
            (vec![allow(Subject::Label), allow(by(v))], [false, true, true]),
        ] {
            let verified: [&[&str]; 3] = [&[], &[v], &[v, w]];
            let result = verified.map(|by| may_chat(&rules, |did| by.contains(&did.as_str())));
            assert_eq!(result, expected, "{rules:?}");
        }
    }
}
