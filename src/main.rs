//! The `kinprobe` program.

fn main() {}
