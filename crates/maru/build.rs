//! Tells the linker how this program is to be put together.

fn main() {
    linker::save_memory();
}
