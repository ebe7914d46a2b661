//! Which rows of a batch stay, once the database has said which of them are new. Pure.

use std::collections::{BTreeMap, HashSet};

use uuid::Uuid;

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is stored.
    Written,
    /// Its owner has one of that name, or with that URL.
    Exists,
    /// Its owner has as many as may be.
    OverLimit,
    /// It names a secret that its owner does not have.
    UnknownSecret,
}

/// A row that was offered to the database.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    /// Its place in the batch.
    pub(super) at: usize,
    pub(super) id: Uuid,
    pub(super) owner: &'a str,
    /// What is unique for each owner: a name, the hash of a URL.
    pub(super) key: &'a [u8],
}

/// The verdict on all candidates.
#[derive(Debug, Default)]
pub(super) struct Settled<'a> {
    /// What became of the row at each place.
    pub(super) outcomes: Vec<(usize, Outcome)>,
    /// New rows that are beyond a limit, to be taken out again.
    pub(super) surplus: Vec<Uuid>,
    /// How many rows stay, for each owner.
    pub(super) stay: BTreeMap<&'a str, u32>,
}

/// Lets the first rows of each owner stay, as many as there is `room` for.
///
/// `inserted` has the ids of the rows that the database took: the others are there already. A row that was
/// refused only because of a row that does not stay is over the limit too: there is nothing that it repeats.
pub(super) fn settle<'a>(
    candidates: &[Candidate<'a>],
    inserted: &HashSet<Uuid>,
    room: impl Fn(&str) -> u32,
) -> Settled<'a> {
    let mut settled = Settled::default();
    let mut surplus_keys = HashSet::new();
    for candidate in candidates.iter().filter(|candidate| inserted.contains(&candidate.id)) {
        let Candidate { at, id, owner, key } = *candidate;
        let stay = settled.stay.entry(owner).or_default();
        if *stay < room(owner) {
            *stay += 1;
            settled.outcomes.push((at, Outcome::Written));
        } else {
            surplus_keys.insert((owner, key));
            settled.surplus.push(id);
            settled.outcomes.push((at, Outcome::OverLimit));
        }
    }
    for candidate in candidates.iter().filter(|candidate| !inserted.contains(&candidate.id)) {
        let Candidate { at, id: _, owner, key } = *candidate;
        let outcome = if surplus_keys.contains(&(owner, key)) { Outcome::OverLimit } else { Outcome::Exists };
        settled.outcomes.push((at, outcome));
    }
    settled
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each candidate is an owner, a key, and whether the database took it.
    fn outcomes(rows: &[(&str, &str, bool)], room: u32) -> (Vec<Outcome>, usize) {
        let candidates: Vec<Candidate> = rows
            .iter()
            .zip(0..)
            .map(|((owner, key, _), id)| Candidate {
                at: usize::try_from(id).unwrap(),
                id: Uuid::from_u128(id),
                owner,
                key: key.as_bytes(),
            })
            .collect();
        let taken = candidates.iter().zip(rows).filter(|(_, (.., taken))| *taken);
        let inserted = taken.map(|(candidate, _)| candidate.id).collect();
        let mut settled = settle(&candidates, &inserted, |_| room);
        settled.outcomes.sort_by_key(|(at, _)| *at);
        let outcomes = settled.outcomes.into_iter().map(|(_, outcome)| outcome).collect();
        (outcomes, settled.surplus.len())
    }

    #[test]
    fn first_rows_of_each_owner_stay() {
        let rows = [("a", "1", true), ("a", "2", true), ("b", "1", true), ("a", "3", true)];
        let (written, over) = (Outcome::Written, Outcome::OverLimit);
        assert_eq!(outcomes(&rows, 1), (vec![written, over, written, over], 2));
        assert_eq!(outcomes(&rows, 3), (vec![written; 4], 0));
        assert_eq!(outcomes(&rows, 0), (vec![over; 4], 4));
    }

    #[test]
    fn existing_goes_before_the_limit() {
        assert_eq!(outcomes(&[("a", "1", false)], 0), (vec![Outcome::Exists], 0));
        let rows = [("a", "1", true), ("a", "1", false)];
        assert_eq!(outcomes(&rows, 1), (vec![Outcome::Written, Outcome::Exists], 0));
    }

    #[test]
    fn repeat_of_a_row_that_does_not_stay_is_over_the_limit() {
        let rows = [("a", "1", true), ("a", "1", false), ("b", "1", false)];
        let expected = vec![Outcome::OverLimit, Outcome::OverLimit, Outcome::Exists];
        assert_eq!(outcomes(&rows, 0), (expected, 1));
    }
}
