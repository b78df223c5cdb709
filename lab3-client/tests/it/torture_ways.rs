//! All the ways in which programs write: logs, savers, editors, tools that make trees. Each does
//! the system calls of the real ones; `sed`, `cp` and `vim` are the real ones where installed.

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::torture_hand::Hand;
use crate::torture_token::{holds, line, whole};

/// From this size on a text is begun anew.
const TEXT_BYTES_MAX: u64 = 20_000;
/// So many lines are written with one descriptor.
const LINES_PER_DESCRIPTOR: usize = 60;

/// Descriptors that live long.
#[derive(Default)]
pub(crate) struct Logs(BTreeMap<String, (File, usize)>);

/// One more line in a log: with a descriptor that lives long, or with one of its own.
pub(crate) fn log(hand: &mut Hand, logs: &mut Logs, path: &str, is_long: bool) {
    let way = if is_long { "log" } else { "append" };
    let token = hand.begin(way, path);
    let written = if is_long {
        logs.append(hand, path, &line(&token))
    } else {
        hand.append(path, &line(&token))
    };
    hand.outcome(&token, written);
}

impl Logs {
    fn append(&mut self, hand: &Hand, path: &str, line: &str) -> io::Result<()> {
        let (mut file, lines) = match self.0.remove(path) {
            Some(open) => open,
            None => (hand.log_file(path)?, 0),
        };
        file.write_all(line.as_bytes())?;
        if lines < LINES_PER_DESCRIPTOR {
            self.0.insert(path.to_owned(), (file, lines + 1));
        }
        Ok(())
    }
}

/// A new version, written aside and renamed over the old one.
pub(crate) fn save_over(hand: &mut Hand, path: &str) {
    let token = hand.begin("save", path);
    let content = hand.content(&token);
    let aside = hand.aside(path, content.as_bytes());
    let saved = aside.and_then(|aside| hand.over(&aside, path, content.as_bytes()));
    hand.outcome(&token, saved);
}

/// A new version, written where the old one was.
pub(crate) fn rewrite(hand: &mut Hand, path: &str) {
    let token = hand.begin("rewrite", path);
    let lines = hand.dice.below(60) as usize;
    let content = whole(&token, lines);
    let below = [1, 300, 3000][hand.dice.below(3) as usize];
    let written = hand.rewrite(path, content.as_bytes(), below);
    hand.outcome(&token, written);
}

/// Two files trade places.
pub(crate) fn exchange(hand: &mut Hand, one: &str, other: &str) {
    let (one, other) = (hand.root.join(one), hand.root.join(other));
    // One of them may be away for a moment, where others remove them.
    let _ = renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE);
}

/// Removed, and made again.
pub(crate) fn make_again(hand: &mut Hand, path: &str) {
    drop(hand.remove(path, b""));
    hand.pause(2000);
    let token = hand.begin("again", path);
    let content = hand.content(&token);
    let written = hand.rewrite(path, content.as_bytes(), 300);
    hand.outcome(&token, written);
}

/// An editor adds a line to a text.
pub(crate) fn edit(hand: &mut Hand, path: &str) {
    let full = hand.root.join(path);
    if fs::metadata(&full).is_ok_and(|about| about.len() > TEXT_BYTES_MAX) {
        let token = hand.begin("anew", path);
        let written = hand.rewrite(path, line(&token).as_bytes(), 300);
        return hand.outcome(&token, written);
    }
    let way = ["append", "vim copy", "vim move", "emacs", "sed", "real vim yes", "real vim no"];
    let way = match hand.dice.below(40) {
        at @ 38.. => way[at as usize - 33],
        at => way[at as usize % 5],
    };
    let token = hand.begin(&way.replace(' ', "-"), path);
    let written = match way {
        "append" => hand.append(path, &line(&token)),
        "vim copy" => vim_copies(hand, path, &token),
        "vim move" => vim_moves(hand, path, &token),
        "emacs" => emacs(hand, path, &token),
        "sed" => sed(&full, &token),
        _ => {
            let mut vim = Command::new("vim");
            vim.args(["-es", "-u", "NONE", "-i", "NONE", "-c"]);
            let copies = way.rsplit(' ').next().unwrap_or_default();
            vim.arg(format!("set writebackup backupcopy={copies}"));
            vim.args(["-c", &format!("call append(line('$'), '{}')", add("", &token))]);
            tool(vim.args(["-c", "wq!"]).arg(&full)).and_then(|()| wrote(&full, &token))
        }
    };
    hand.outcome(&token, written);
}

fn add(before: &str, token: &str) -> String {
    format!("{before}{}", line(token).trim_end())
}

/// `sed` adds something after the last line, and says which that was: an empty file has none, and
/// `sed` is as content as ever.
fn sed(full: &Path, token: &str) -> io::Result<()> {
    let mut sed = Command::new("sed");
    sed.args(["-i", "-e", &add("$a ", token), "-e", "$w /dev/stdout"]).arg(full);
    let ran = sed.stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    match ran.status.success() && !ran.stdout.is_empty() {
        true => Ok(()),
        false => Err(io::Error::other("it failed, or there was no last line")),
    }
}

fn tool(command: &mut Command) -> io::Result<()> {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if command.status()?.success() { Ok(()) } else { Err(io::Error::other("it failed")) }
}

/// Whether a program that says nothing wrote: `vim` passes over a file that changed meanwhile. What
/// it wrote may be beside the name already.
fn wrote(path: &Path, token: &str) -> io::Result<()> {
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    for item in fs::read_dir(path.parent().expect("a directory"))? {
        let item = item?;
        let is_near = item.file_name().to_string_lossy().starts_with(&name);
        if is_near && fs::read(item.path()).is_ok_and(|text| holds(&text, token)) {
            return Ok(());
        }
    }
    Err(io::Error::other("it did not write"))
}

/// What a buffer holds after a line was added to what the file held.
fn buffer(hand: &mut Hand, path: &str, token: &str) -> io::Result<Vec<u8>> {
    let mut content = hand.read(path)?;
    content.extend_from_slice(line(token).as_bytes());
    hand.pause(5000);
    Ok(content)
}

/// `backupcopy=yes`: a copy is made, and the file itself is written anew.
fn vim_copies(hand: &mut Hand, path: &str, token: &str) -> io::Result<()> {
    let new = buffer(hand, path, token)?;
    let backup = format!("{path}~");
    let old = hand.read(path)?;
    hand.rewrite(&backup, &old, 1)?;
    hand.rewrite(path, &new, 300)?;
    // Another editor may have removed its own of this name.
    drop(hand.remove(&backup, &new));
    Ok(())
}

/// `backupcopy=no`: the file becomes the backup, and a new one is written.
fn vim_moves(hand: &mut Hand, path: &str, token: &str) -> io::Result<()> {
    let new = buffer(hand, path, token)?;
    let (dir, _) = path.rsplit_once('/').expect("a directory");
    let (probe, backup) = (hand.root.join(dir).join("4913"), format!("{path}~"));
    drop(File::create(&probe)?);
    drop(fs::remove_file(probe));
    hand.over(path, &backup, &new)?;
    hand.rewrite(path, &new, 300)?;
    drop(hand.remove(&backup, &new));
    Ok(())
}

/// A link that is a lock, an auto-save, a backup that stays, and a new file.
fn emacs(hand: &mut Hand, path: &str, token: &str) -> io::Result<()> {
    let new = buffer(hand, path, token)?;
    let (dir, name) = path.rsplit_once('/').expect("a directory");
    let lock = hand.root.join(format!("{dir}/.#{name}"));
    let auto = format!("{dir}/#{name}#");
    // The other side's editor may have its own.
    drop(std::os::unix::fs::symlink("ann@mill.4711:1700000000", &lock));
    fs::write(hand.root.join(&auto), &new)?;
    hand.over(path, &format!("{path}~"), &new)?;
    hand.rewrite(path, &new, 1)?;
    drop(hand.remove(&auto, &new));
    drop(fs::remove_file(lock));
    Ok(())
}

/// What tools do that make, copy, link, move and change files in trees.
pub(crate) fn tree(hand: &mut Hand, dir: &str) {
    let number = hand.dice.below(6);
    match hand.dice.below(9) {
        0 | 1 => make_and_write(hand, dir, number),
        2 => make_again(hand, &format!("{dir}/again-{number}")),
        3 => link(hand, dir, number),
        4 => {
            let (from, to) = (format!("{dir}/again-{number}"), format!("{dir}/copy-{number}"));
            drop(tool(Command::new("cp").arg(hand.root.join(from)).arg(hand.root.join(to))));
        }
        5 => attributes(hand, &format!("{dir}/again-{number}")),
        _ => inside(hand, dir, number),
    }
}

/// A directory and a file in it at once; or both go again.
fn make_and_write(hand: &mut Hand, dir: &str, number: u64) {
    let new = format!("{dir}/new-{number}");
    if fs::create_dir(hand.root.join(&new)).is_err() {
        for name in ["f", "deep/er/leaf"] {
            drop(hand.remove(&format!("{new}/{name}"), b""));
        }
        for name in ["/deep/er", "/deep", ""] {
            drop(fs::remove_dir(hand.root.join(format!("{new}{name}"))));
        }
        return;
    }
    let deep = format!("{new}/deep/er");
    fs::create_dir_all(hand.root.join(deep)).expect("directories");
    for name in ["f", "deep/er/leaf"] {
        let path = format!("{new}/{name}");
        let token = hand.begin("made", &path);
        let content = hand.content(&token);
        let written = fs::write(hand.root.join(&path), content);
        hand.outcome(&token, written);
    }
}

/// A second name for a file, and a line written through it.
fn link(hand: &mut Hand, dir: &str, number: u64) {
    let (one, other) = (format!("{dir}/one-{number}"), format!("{dir}/other-{number}"));
    let token = hand.begin("link", &other);
    let written = hand.append(&one, &line(&token));
    hand.outcome(&token, written);
    if hand.dice.below(3) == 0 {
        drop(hand.remove(&other, b""));
    }
    // It may be there already.
    drop(fs::hard_link(hand.root.join(&one), hand.root.join(&other)));
    let token = hand.begin("linked", &other);
    let written = hand.append(&other, &line(&token));
    hand.outcome(&token, written);
}

/// Mode and time alone.
pub(crate) fn attributes(hand: &mut Hand, path: &str) {
    let full = hand.root.join(path);
    let mode = [0o644, 0o600, 0o755][hand.dice.below(3) as usize];
    drop(fs::set_permissions(&full, Permissions::from_mode(mode)));
    if hand.dice.below(2) == 0 {
        let since = Duration::new(1_700_000_000 + hand.dice.below(1000), 5);
        let times = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH + since);
        let file = OpenOptions::new().read(true).open(full);
        drop(file.and_then(|file| file.set_times(times)));
    }
}

/// A file in a directory that another process keeps renaming.
fn inside(hand: &mut Hand, dir: &str, number: u64) {
    for busy in ["busy", "moved"] {
        let path = format!("{dir}/{busy}/f-{number}");
        let token = hand.begin("inside", &path);
        let content = hand.content(&token);
        let written = match hand.dice.below(3) {
            0 => hand.rewrite(&path, content.as_bytes(), 2000),
            1 => hand.append(&format!("{dir}/{busy}/log"), &line(&token)),
            _ => {
                let aside = hand.aside(&path, content.as_bytes());
                aside.and_then(|aside| hand.over(&aside, &path, content.as_bytes()))
            }
        };
        let is_done = written.is_ok();
        hand.outcome(&token, written);
        if is_done {
            return;
        }
    }
}

/// Renames the directory that others use, to and fro.
pub(crate) fn move_directory(hand: &mut Hand, dir: &str) {
    let (one, other) = (hand.root.join(dir).join("busy"), hand.root.join(dir).join("moved"));
    if fs::rename(&one, &other).is_err() {
        // After a kill both may be there: what was just moved away came back.
        drop(fs::rename(&other, &one));
    }
    hand.pause(150_000);
}
