//! Long files with patterns: all of them are obeyed, or people are told.

use common::path::RelPath;
use common::replica::ignore::{IGNORE_BYTES_MAX, Patterns};
use common::replica::stamp::Stamp;
use common::time::Timestamp;

const MEGABYTE_OF: [(&str, &str, &str); 4] = [
    ("*a{}*b?[a-z]*\n", "xa777xb1cx", "xa777x"),
    ("/dir-{}/name.txt\n", "dir-777/name.txt", "d/dir-777/name.txt"),
    ("name-{}\n", "d/name-777", "d/name-777.txt"),
    ("*.x{}\n", "d/d/y.x777", "d/d/y.x777.txt"),
];

#[test]
fn a_file_with_patterns_as_long_as_one_may_be_is_obeyed() {
    for (line, ignored, other) in MEGABYTE_OF {
        let mut text: String = (0..IGNORE_BYTES_MAX / line.len() as u64 - 20_000)
            .map(|n| line.replace("{}", &n.to_string()))
            .collect();
        text.truncate(IGNORE_BYTES_MAX as usize - 100);
        text += "\n!*-kept-*\n";
        let zero = Timestamp::default();
        let (modified, changed) = (zero, zero);
        let stamp = Stamp { dev: 1, ino: 1, size: 1, modified, changed, mode: 0, links: 1 };
        let mut patterns = Patterns::default();
        patterns.set(&None, Some((stamp, text.as_bytes())));
        let ignores = |name: &str| patterns.ignores(&RelPath::new(name).expect("a path"), false);
        assert!(ignores(ignored), "{line:?} ignores {ignored}");
        assert!(!ignores(other), "{line:?} does not ignore {other}");
        assert!(!ignores("xa777xb1cx-kept-"), "the last pattern decides");
    }
}
