//! The allocator of every athook process: mimalloc, in the place of the C library's `malloc` too (its feature `override`),
//! which SQLite calls. A request is many small allocations, freed where others were made; what it saves over the system's
//! allocator is measured by `cargo bench --bench load`.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
