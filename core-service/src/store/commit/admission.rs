//! Decides which of the rows that a batch inserted stay within the limits of their owners. Pure.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

/// What becomes of a new row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// It stays.
    Created,
    /// Its owner has one with the same key.
    Exists,
    /// Its owner has as many as the limit allows. If the database took it, it must be deleted again.
    OverLimit,
}

/// A row that was offered to the database.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    pub(super) id: Uuid,
    pub(super) owner: &'a str,
    /// What is unique for each owner: a name, the hash of a URL.
    pub(super) key: &'a [u8],
}

/// Admits the first rows of each owner, as many as there is `room` for; one admission for each candidate, in
/// their order.
///
/// `inserted` has the ids of the rows that were inserted; the others exist already. But a row that was
/// refused only because it repeats a row over the limit is over the limit too.
pub(super) fn admit(
    candidates: &[Candidate<'_>],
    inserted: &HashSet<Uuid>,
    room: impl Fn(&str) -> u32,
) -> Vec<Admission> {
    let mut created = HashMap::new();
    let mut over_limit = HashSet::new();
    let mut admissions = vec![Admission::Exists; candidates.len()];
    for (admission, Candidate { id, owner, key }) in admissions.iter_mut().zip(candidates) {
        if inserted.contains(id) {
            let created: &mut u32 = created.entry(*owner).or_default();
            if *created < room(owner) {
                *created += 1;
                *admission = Admission::Created;
            } else {
                over_limit.insert((*owner, *key));
            }
        }
    }
    for (admission, Candidate { id: _, owner, key }) in admissions.iter_mut().zip(candidates) {
        if over_limit.contains(&(*owner, *key)) {
            *admission = Admission::OverLimit;
        }
    }
    admissions
}

#[cfg(test)]
mod tests {
    use super::*;
    use Admission::{Created, Exists, OverLimit};

    /// Each row is an owner, a key, and whether the database took it.
    fn admissions(rows: &[(&str, &str, bool)], room: u32) -> Vec<Admission> {
        let candidates = rows.iter().zip(0..).map(|((owner, key, _), id)| Candidate {
            id: Uuid::from_u128(id),
            owner,
            key: key.as_bytes(),
        });
        let candidates: Vec<Candidate> = candidates.collect();
        let inserted = candidates.iter().zip(rows).filter(|(_, (.., inserted))| *inserted);
        let inserted = inserted.map(|(candidate, _)| candidate.id).collect();
        admit(&candidates, &inserted, |_| room)
    }

    #[test]
    fn first_rows_of_each_owner_stay() {
        let rows = [("a", "1", true), ("a", "2", true), ("b", "1", true), ("a", "3", true)];
        assert_eq!(admissions(&rows, 1), [Created, OverLimit, Created, OverLimit]);
        assert_eq!(admissions(&rows, 3), [Created; 4]);
        assert_eq!(admissions(&rows, 0), [OverLimit; 4]);
    }

    #[test]
    fn existing_goes_before_the_limit() {
        assert_eq!(admissions(&[("a", "1", false)], 0), [Exists]);
        assert_eq!(admissions(&[("a", "1", true), ("a", "1", false)], 1), [Created, Exists]);
    }

    #[test]
    fn repeat_of_a_row_that_does_not_stay_is_over_the_limit() {
        let rows = [("a", "1", true), ("a", "1", false), ("b", "1", false)];
        assert_eq!(admissions(&rows, 0), [OverLimit, OverLimit, Exists]);
    }
}
