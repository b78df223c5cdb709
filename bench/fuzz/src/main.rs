//! One fuzz target: the one that this program has its name from.
#![no_main]

libfuzzer_sys::fuzz_target!(
    // A panic that the product itself catches is no finding; one that leaves a target is.
    init: std::panic::set_hook(Box::new(|panic| eprintln!("{panic}"))),
    |bytes: &[u8]| {
        fuzz::run(env!("CARGO_BIN_NAME"), bytes);
    }
);
