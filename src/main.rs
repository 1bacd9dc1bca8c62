//! The `mirrorvip` command.
fn main() {}
