#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pavise_fuzz::access(bytes));
