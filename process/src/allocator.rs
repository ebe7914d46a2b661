//! The allocator of every athook process: mimalloc. A request is many small allocations, freed where others were made; what
//! it saves over the system's allocator is measured by `cargo bench --bench load`.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
