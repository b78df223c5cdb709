//! One byte of a large file: changed where it stands, and inserted at the front. What travels is
//! counted by a link of our own between the servers.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "files, and time")]

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::pair::Pair;
use crate::proxy::Proxy;
use crate::run::{Bench, seconds};
use crate::tree::{self, Seen};
use crate::wait;

/// The file.
const NAME: &str = "large";

/// Both changes.
pub(crate) fn delta(bench: &mut Bench) -> Result<()> {
    let patience = bench.arguments.patience();
    let mut pair = bench.pair("delta")?;
    let file = pair.a.join(NAME);
    tree::make_large(&file, bench.arguments.delta, &mut bench.dice)?;
    let proxy = pair.start_counted()?;
    wait::converge(&pair.a, &pair.b, &tree::list(&pair.a), patience)?;
    pair.settle(patience)?;

    let size = fs::metadata(&file)?.len();
    let (place, was) = (size / 2, byte(&file, size / 2)?);
    let changed = |root: &Path| byte(&root.join(NAME), place).is_ok_and(|byte| byte == !was);
    measure(bench, &pair, &proxy, "one byte changed", changed, || {
        let file = File::options().write(true).open(&file)?;
        file.write_all_at(&[!was], place)
    })?;

    // A file of its own that is renamed over the old one, as editors do.
    let aside = bench.place("delta/aside");
    let mut longer = File::create(&aside)?;
    longer.write_all(b"x")?;
    io::copy(&mut File::open(&file)?, &mut longer)?;
    drop(longer);
    let inserted = |root: &Path| Seen::at(&root.join(NAME)) == Seen::File(size + 1);
    measure(bench, &pair, &proxy, "one byte inserted", inserted, || fs::rename(&aside, &file))?;
    pair.stop()
}

fn byte(file: &Path, place: u64) -> io::Result<u8> {
    let mut byte = [0];
    File::open(file)?.read_exact_at(&mut byte, place)?;
    Ok(byte[0])
}

fn measure(
    bench: &mut Bench,
    pair: &Pair,
    proxy: &Proxy,
    name: &str,
    is_seen: impl Fn(&Path) -> bool,
    act: impl FnOnce() -> io::Result<()>,
) -> Result<()> {
    let patience = bench.arguments.patience();
    rustix::fs::sync();
    let before = proxy.passed();
    act()?;
    let done = Instant::now();
    let seen = wait::until(name, patience, || is_seen(&pair.b))?;
    if !wait::is_same(&pair.a.join(NAME), &pair.b.join(NAME))? {
        bail!("{name}: the other side shows another content");
    }
    pair.settle(patience)?;
    let passed = (proxy.passed() - before) as f64;
    let size = fs::metadata(pair.a.join(NAME))?.len() as f64;
    bench.report.one(name, "s", seconds(done, seen), &[]);
    bench.report.one(&format!("{name}, on the link"), "bytes", passed, &[("the file", size)]);
    Ok(())
}
