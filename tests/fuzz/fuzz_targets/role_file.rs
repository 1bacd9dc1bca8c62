//! See `mirrorvip::fuzzing::role_file`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mirrorvip::fuzzing::role_file(bytes));
