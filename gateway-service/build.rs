//! Embedded migrations are read at compile time; a changed folder must compile again.

fn main() {
    println!("cargo:rerun-if-changed=../migrations/gateway");
}
