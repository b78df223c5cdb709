//! Real input: what the tests of real trees, storms, sizes, names and writers have in common.
//!
//! By default they are small. At full size, minutes and gigabytes, they run by
//! `LAB3_FULL=1 cargo test --release -p lab3-client --test it real_ -- --test-threads 1`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::side::Side;

use crate::system::System;

/// Whether to run at full size.
pub(crate) fn full() -> bool {
    std::env::var_os("LAB3_FULL").is_some_and(|value| value == "1")
}

/// One of two sizes.
pub(crate) fn size<T>(short: T, long: T) -> T {
    if full() { long } else { short }
}

/// Waits like [`System::agree`], but longer, and compares by `diff` and by `find`: contents need
/// not fit into memory.
#[track_caller]
pub(crate) fn agree(system: &System) {
    settle(system);
    let diff = Command::new("diff")
        .args(["-r", "-q", "--no-dereference", "-x", ".lab3"])
        .args([&system.a, &system.b])
        .output()
        .expect("diff runs");
    assert!(diff.status.success(), "{}", String::from_utf8_lossy(&diff.stdout));
    let (a, b) = (outline(&system.a), outline(&system.b));
    let differing = a.iter().zip(&b).find(|(a, b)| a != b);
    assert!(a == b, "the directories differ: {differing:?}");
}

/// Waits until everything done before is on both sides.
#[track_caller]
pub(crate) fn settle(system: &System) {
    let ran = system.lab3(&["wait", "--timeout", size("60s", "900s")]);
    assert_eq!(ran.code, 0, "{ran:?}");
}

/// Name, type, mode, target, size and time, but no sizes of directories, and times only of files.
fn outline(root: &Path) -> Vec<String> {
    let found = Command::new("find")
        .current_dir(root)
        .args([".", "-path", "./.lab3", "-prune", "-o", "-mindepth", "1"])
        .args(["-type", "d", "-printf", "%p d %m\\n"])
        .args(["-o", "-type", "l", "-printf", "%p l %l\\n"])
        .args(["-o", "-printf", "%p %y %m %s %T@\\n"])
        .output()
        .expect("find runs");
    let mut lines: Vec<String> =
        String::from_utf8_lossy(&found.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// The most memory that a server ever had, in MiB.
pub(crate) fn peak_mib(system: &System, side: Side) -> u64 {
    let pid = system.server(side).pid().as_raw_nonzero();
    peak_mib_of(u32::try_from(pid.get()).expect("a process id"))
}

/// The most memory that a process ever had, in MiB.
pub(crate) fn peak_mib_of(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a status");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    let kib = line.split_whitespace().nth(1).expect("a number");
    kib.parse::<u64>().expect("a number") / 1024
}

/// Fills a directory with so many real files, sources of packages, in their own directories; with
/// made-up ones when there are too few. Answers their total size.
pub(crate) fn sources(into: &Path, count: usize) -> u64 {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let mut real = Vec::new();
    if let Some(home) = home {
        gather(&home.join("registry/src"), &mut Vec::new(), count, &mut real);
    }
    let mut bytes = 0;
    for number in 0..count {
        // More than there are: the same again, elsewhere and with other content.
        let round = number.checked_div(real.len()).unwrap_or(0);
        let (name, mut content) = match real.get(number - round * real.len()) {
            Some((name, path)) => (name.clone(), fs::read(path).expect("a source file")),
            None => (format!("made/{}/{number}.txt", number % 97), vec![b'x'; number % 5000]),
        };
        if round > 0 || real.is_empty() {
            content.extend_from_slice(format!("\n// {number}\n").as_bytes());
        }
        let path = into.join(format!("round-{round}")).join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(&path, &content).expect("a file");
        bytes += content.len() as u64;
    }
    bytes
}

fn gather(
    directory: &Path,
    above: &mut Vec<String>,
    most: usize,
    found: &mut Vec<(String, PathBuf)>,
) {
    let Ok(items) = fs::read_dir(directory) else { return };
    let mut items: Vec<PathBuf> = items.flatten().map(|item| item.path()).collect();
    items.sort();
    for path in items {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        above.push(name.to_owned());
        let about = fs::symlink_metadata(&path).expect("metadata");
        if about.is_dir() {
            gather(&path, above, most, found);
        } else if about.is_file() && found.len() < most && about.len() < 1 << 20 {
            found.push((above.join("/"), path));
        }
        above.pop();
    }
}

/// Runs a command that must succeed; answers what it said.
#[track_caller]
pub(crate) fn done(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {}", said(&output.stderr));
    said(&output.stdout)
}

/// Whether a program is installed.
pub(crate) fn has(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Numbers that look random and are the same in every run.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count.div_ceil(8))
            .flat_map(|_| self.below(u64::MAX).to_le_bytes())
            .take(count)
            .collect()
    }
}
