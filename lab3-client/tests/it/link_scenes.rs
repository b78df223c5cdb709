//! Small sessions over a link that may break: what users do, and what must come of it.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use common::side::Side;

use crate::dice::Dice;
use crate::opened::{Opened, opened};
use crate::people::SERVERS;
use crate::proxy::{Fault, Proxy};
use crate::server::until;
use crate::system::System;
use crate::trees::{self, Node, put, remove, rename, text};

/// Two servers, the link between them, and what the users' files must be.
pub(crate) struct Rig {
    pub(crate) system: System,
    pub(crate) proxy: Proxy,
    /// Every file that must be there, on both sides; no other may be.
    pub(crate) left: BTreeMap<String, Vec<u8>>,
    /// What is being done, for the one who reads a failure.
    pub(crate) told: String,
    round: u64,
    _opened: Option<Opened>,
}

/// Something that users do.
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    /// Before the connection that is recorded, or cut.
    prepare: fn(&mut Rig),
    act: fn(&mut Rig),
}

/// All of them.
pub(crate) const SCENES: [Scene; 8] = [
    Scene { name: "hello", prepare: |_| {}, act: |_| {} },
    Scene { name: "edits", prepare: |_| {}, act: edits },
    Scene { name: "large", prepare: |_| {}, act: large },
    Scene { name: "delta", prepare: |_| {}, act: delta },
    Scene { name: "rename", prepare: |_| {}, act: renames },
    Scene { name: "delete", prepare: create, act: delete },
    Scene { name: "hold", prepare: lock, act: hold },
    Scene { name: "drain", prepare: held, act: unlock },
];

impl Rig {
    /// Both servers with a proxy between them, and a few files.
    pub(crate) fn start() -> Rig {
        let system = System::new();
        let proxy = Proxy::to(system.port_b);
        let peer = proxy.port;
        Rig::around(system, proxy, peer, None)
    }

    /// The same, with a proxy that sees frames.
    pub(crate) fn opened() -> Rig {
        let system = System::new();
        let (proxy, opened) = opened(&system.people.place(SERVERS), system.port_b);
        let peer = opened.port;
        Rig::around(system, proxy, peer, Some(opened))
    }

    fn around(mut system: System, proxy: Proxy, peer: u16, opened: Option<Opened>) -> Rig {
        system.peer = peer;
        system.start();
        let (left, told) = (BTreeMap::new(), "at the start".to_owned());
        let mut rig = Rig { system, proxy, left, told, round: 0, _opened: opened };
        for name in ["by_a", "by_b", "dir/one", "dir/two", "r0", "locked"] {
            rig.put(Side::A, name, "at first");
        }
        rig.is_settled();
        rig
    }

    /// A user writes a file.
    pub(crate) fn put(&mut self, side: Side, name: &str, content: impl AsRef<[u8]>) {
        put(self.system.root(side), name, &content);
        self.left.insert(name.to_owned(), content.as_ref().to_vec());
    }

    /// Plays a scene on a new connection, which may be cut, and requires what must come of it.
    pub(crate) fn play(&mut self, scene: &Scene, fault: Option<Fault>) {
        self.act_on_a_new_link(scene, fault);
        self.is_settled();
        self.proxy.arm(None);
    }

    /// Plays a scene on a new connection.
    pub(crate) fn act_on_a_new_link(&mut self, scene: &Scene, fault: Option<Fault>) {
        self.round += 1;
        (scene.prepare)(self);
        let before = self.proxy.connections();
        self.proxy.arm(fault);
        self.proxy.drop_all();
        until("A dials again", || self.proxy.connections() > before);
        (scene.act)(self);
    }

    /// Both trees are what the users left; then nothing moves any more.
    #[track_caller]
    pub(crate) fn is_settled(&self) {
        self.settle();
        for root in [&self.system.a, &self.system.b] {
            self.holds(root);
        }
        let before = self.stamps();
        self.settle();
        assert!(self.stamps() == before, "{}: something moved at rest", self.told);
    }

    fn stamps(&self) -> [Stamps; 2] {
        [stamps(&self.system.a), stamps(&self.system.b)]
    }

    /// Waits until everything is on both sides.
    #[track_caller]
    fn settle(&self) {
        let ran = self.system.lab3(&["wait", "--timeout", "60s"]);
        assert_eq!(ran.code, 0, "{}: {ran:?}", self.told);
    }

    #[track_caller]
    fn holds(&self, root: &Path) {
        let nodes = trees::read(root);
        let found: BTreeMap<String, Vec<u8>> = nodes
            .into_iter()
            .filter_map(|(name, node)| match node {
                Node::File { content, .. } => Some((String::from_utf8(name).ok()?, content)),
                _ => None,
            })
            .collect();
        if found == self.left {
            return;
        }
        let names = found.keys().chain(self.left.keys());
        for name in names.filter(|name| found.get(*name) != self.left.get(*name)) {
            let show = |from: &BTreeMap<String, Vec<u8>>| {
                let content = from.get(name)?;
                let text = String::from_utf8_lossy(&content[..content.len().min(40)]).into_owned();
                Some(format!("{} bytes {text:?}", content.len()))
            };
            eprintln!("`{name}`: found {:?}, left {:?}", show(&found), show(&self.left));
        }
        panic!("{}: `{}` is not what was left", self.told, root.display());
    }
}

/// Inode and change time of everything: whatever is touched changes them.
type Stamps = BTreeMap<Vec<u8>, (u64, i64, i64)>;

fn stamps(root: &Path) -> Stamps {
    let names = trees::read(root).into_keys();
    let stamp = |name: &Vec<u8>| {
        use std::os::unix::ffi::OsStrExt as _;
        let about = root.join(std::ffi::OsStr::from_bytes(name)).symlink_metadata();
        about.map_or((0, 0, 0), |about| (about.ino(), about.ctime(), about.ctime_nsec()))
    };
    names.map(|name| (name.clone(), stamp(&name))).collect()
}

/// Both users save.
fn edits(rig: &mut Rig) {
    let n = rig.round;
    rig.put(Side::A, "by_a", format!("a {n}"));
    rig.put(Side::B, "by_b", format!("b {n}"));
    rig.put(Side::B, &format!("new{}/file", n % 3), format!("new {n}"));
}

/// Both users save something that is pulled in pieces.
fn large(rig: &mut Rig) {
    let mut dice = Dice(rig.round);
    rig.put(Side::A, "large_a", dice.bytes(300_000));
    rig.put(Side::B, "large_b", dice.bytes(270_000));
}

/// B's user edits the middle of something of which A has an older version.
fn delta(rig: &mut Rig) {
    let mut content = match rig.left.get("delta") {
        Some(content) => content.clone(),
        None => Dice(7).bytes(1_500_000),
    };
    let at = 1_000 * (rig.round % 1_000) as usize;
    content[at..at + 8].copy_from_slice(&rig.round.to_be_bytes());
    let side = if rig.round.is_multiple_of(2) { Side::A } else { Side::B };
    rig.put(side, "delta", content);
}

/// A's user renames a file, B's a directory, back and forth.
fn renames(rig: &mut Rig) {
    fn there_and_back(rig: &mut Rig, side: Side, one: &str, other: &str) {
        let is_back = rig.system.root(side).join(other).exists();
        let (from, to) = if is_back { (other, one) } else { (one, other) };
        rename(rig.system.root(side), from, to);
        let moves = |name: &String| name == from || name.starts_with(&format!("{from}/"));
        let moved: Vec<String> = rig.left.keys().filter(|name| moves(name)).cloned().collect();
        for old in moved {
            let content = rig.left.remove(&old).expect("listed above");
            rig.left.insert(format!("{to}{}", &old[from.len()..]), content);
        }
    }
    there_and_back(rig, Side::A, "r0", "r1");
    there_and_back(rig, Side::B, "dir", "renamed");
}

fn create(rig: &mut Rig) {
    for name in ["gone/1", "gone/2", "gone_too"] {
        rig.put(Side::A, name, format!("for a moment, {}", rig.round));
    }
    rig.is_settled();
}

/// A's user removes a directory, B's a file.
fn delete(rig: &mut Rig) {
    remove(&rig.system.a, "gone");
    remove(&rig.system.b, "gone_too");
    rig.left.retain(|name, _| !name.starts_with("gone"));
}

fn lock(rig: &mut Rig) {
    rig.system.ok(&["-lock", "locked"]);
}

/// How the locked file is edited: short contents travel with the news, long ones are fetched.
fn edit_locked(rig: &mut Rig, n: u64) {
    let length = if rig.round.is_multiple_of(2) { 20 } else { 100_000 };
    let content = format!("{}.{n} ", rig.round).repeat(length);
    rig.put(Side::B, "locked", content);
}

/// B's user edits what is locked, which is held once; then it is unlocked.
fn hold(rig: &mut Rig) {
    let before = std::fs::read(rig.system.a.join("locked")).expect("a file");
    edit_locked(rig, 0);
    until("the edit is held", || {
        let held = rig.system.held(&["locked"]).len();
        assert!(held <= 1, "{}: one edit is held {held} times", rig.told);
        held == 1
    });
    let there = std::fs::read(rig.system.a.join("locked")).expect("a file");
    assert!(there == before, "{}: A's file changed under the lock", rig.told);
    let receipt = rig.system.json(&["-unlock", "locked"]);
    assert_eq!(receipt["applied"].as_array().map(Vec::len), Some(1), "{}: {receipt}", rig.told);
}

fn held(rig: &mut Rig) {
    lock(rig);
    for n in 0..3 {
        edit_locked(rig, n);
        until("the edit is held", || rig.system.held(&["locked"]).len() as u64 == n + 1);
    }
}

/// What was held is applied, each edit once and in order.
fn unlock(rig: &mut Rig) {
    let receipt = rig.system.json(&["-unlock", "locked"]);
    let applied = receipt["applied"].as_array().expect("an array");
    let seqs: Vec<u64> = applied.iter().map(|edit| edit["seq"].as_u64().expect("seq")).collect();
    assert!(seqs.len() == 3 && seqs.is_sorted(), "{}: {receipt}", rig.told);
    assert!(text(&rig.system.a, "locked").is_some_and(|now| now.as_bytes() == rig.left["locked"]));
}
