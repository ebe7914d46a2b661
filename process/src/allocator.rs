//! The global allocator of every athook process: mimalloc, for all memory that Rust code allocates.
//!
//! A request makes many small allocations and frees them elsewhere; mimalloc does that faster than the C
//! library's `malloc` (measured with `cargo bench --bench load`). C code, such as SQLite, keeps using
//! `malloc`.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
