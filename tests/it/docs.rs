//! The documents of the repository: their links and citations, their sizes, and the tables that repeat what
//! the code says.
//!
//! `docs/settings.md` is generated from the programs' own `-h`. After a change of a setting, write it anew
//! with `UPDATE_DOCS=1 cargo test --workspace --test it docs::`.

mod citations;
mod constants;
mod limits;
mod links;
mod rules;
mod settings;
mod tables;
mod tree;

use self::tree::read;

/// The largest README, in bytes: what a first visit needs. The rest is in `docs/`.
const README_LIMIT: usize = 9_000;
/// The largest ARCHITECTURE.md, in bytes. A module's design stands in its `//!`.
const ARCHITECTURE_LIMIT: usize = 20_000;

#[test]
fn readme_and_architecture_are_short() {
    for (document, limit) in [("README.md", README_LIMIT), ("ARCHITECTURE.md", ARCHITECTURE_LIMIT)] {
        let bytes = read(document).len();
        assert!(bytes <= limit, "{document} has {bytes} bytes, of {limit}");
    }
}
