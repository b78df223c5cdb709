//! Ignore files: any bytes are patterns that can be obeyed, and nothing below what is ignored comes
//! back.

use common::path::RelPath;
use common::replica::ignore::{IGNORE_FILE, Patterns};
use common::replica::stamp::Stamp;
use common::time::Timestamp;

use crate::fuzzing::Target;

/// Patterns of the root, patterns of `d`, and paths, with a zero byte between any two.
pub(crate) const TARGET: Target = Target { name: "patterns", run, seeds, mutants: 1500 };

fn run(bytes: &[u8]) -> bool {
    let mut parts = bytes.split(|byte| *byte == 0);
    let (Some(root), Some(inner)) = (parts.next(), parts.next()) else { return false };
    let paths: Vec<RelPath> = parts.filter_map(|part| RelPath::new(part).ok()).take(8).collect();
    let directory = Some(RelPath::new("d").expect("a path"));
    let mut patterns = Patterns::default();
    assert!(patterns.set(&None, Some((stamp(1), root))));
    assert!(!patterns.set(&None, Some((stamp(2), root))), "the same says nothing else");
    patterns.set(&directory, Some((stamp(3), inner)));
    assert!(patterns.are_current(&None, Some(&stamp(2))));
    for path in &paths {
        for is_dir in [false, true] {
            let ignored = patterns.ignores(path, is_dir);
            if path.ancestors().any(|above| patterns.ignores(&above, true)) {
                assert!(ignored, "{path} is below what is ignored");
            } else {
                assert_eq!(ignored, patterns.matches(path, is_dir), "{path}");
                assert!(!ignored || is_dir || path.name() != IGNORE_FILE, "{path}");
            }
        }
    }
    assert!(patterns.set(&directory, None) && patterns.set(&None, None) && patterns.is_empty());
    assert!(!paths.iter().any(|path| patterns.ignores(path, true)), "nothing stays");
    !paths.is_empty()
}

fn stamp(ino: u64) -> Stamp {
    let zero = Timestamp::default();
    let (modified, changed) = (zero, zero);
    Stamp { dev: 1, ino, size: 1, modified, changed, mode: 0, links: 1 }
}

fn seeds() -> Vec<Vec<u8>> {
    let seed = |root: &str, inner: &str, paths: &[&str]| {
        [root, inner].iter().chain(paths).copied().collect::<Vec<_>>().join("\0").into_bytes()
    };
    vec![
        seed("*.o\n/build/\n# talk\n!keep.o\n", "!x.o\nlocal\n", &["a.o", "d/x.o", "d/local/y"]),
        seed("**/tmp/**\n[a-z]?.{c,h}\n\\#x\n", "", &["d/tmp/x", "ab.c", "#x"]),
        seed("d/\n!d/keep\n", "*", &["d/keep", "d/.lab3ignore", ".lab3ignore"]),
        seed("\u{feff}[!a]x \\ \r\n[[:alpha:]]\n", "[", &["bx", "q"]),
    ]
}
