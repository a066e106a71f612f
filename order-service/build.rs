//! Embedded migrations are read at compile time; a changed folder must compile again. Tells the linker
//! how the program is to be put together.

fn main() {
    linker::save_memory();
    println!("cargo:rerun-if-changed=../migrations/order");
}
