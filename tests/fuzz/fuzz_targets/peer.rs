//! See `mirrorvip::fuzzing::peer`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mirrorvip::fuzzing::peer(bytes));
