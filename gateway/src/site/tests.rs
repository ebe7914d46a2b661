//! The pages and documents of made-up methods.
