//! See `mirrorvip::fuzzing::proxy`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mirrorvip::fuzzing::proxy(bytes));
