#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| turnbridge_fuzz::coturn::text(bytes));
