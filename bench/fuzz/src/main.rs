//! One fuzz target: the one that this program has its name from.
#![no_main]

libfuzzer_sys::fuzz_target!(
    // A panic that the product itself catches is no finding; one that leaves a target is.
    init: std::panic::set_hook(Box::new(|panic| eprintln!("{panic}"))),
    |bytes: &[u8]| {
        fuzz::run(env!("CARGO_BIN_NAME"), bytes);
        if option_env!("LAB3_FUZZ_PLANTED").is_some() {
            planted(bytes);
        }
    }
);

/// A mistake that nobody finds by chance, to see that it is found.
fn planted(bytes: &[u8]) {
    let number = bytes.get(4..12).and_then(|part| part.try_into().ok()).map(u64::from_be_bytes);
    assert!(!(bytes.starts_with(b"l3") && number == Some(0x6d61_6769_6320_3137)), "planted");
}
