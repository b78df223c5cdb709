//! What must hold at the end of a round: both trees are what users made of them, every version is
//! somewhere, nothing is half done, and nothing moves any more.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::replica::life;
use common::side::Side;

use crate::server::PATIENCE;
use crate::sweep_round::{Round, Want};
use crate::trees::{self, Node};

impl Round {
    /// Everything that must hold in the end; then both servers are started once more, and nothing
    /// moves.
    pub(crate) fn verify(&mut self) {
        self.settle();
        for reader in self.readers.drain(..) {
            reader.stop();
        }
        let nodes = self.system.agree();
        self.extra = self.is_as_wanted(&nodes);
        // An older kernel does not tell a kill from a power cut.
        let known = self.fails || life::of(&self.system.a).is_none();
        assert!(known || self.extra == 0, "{} conflict copies too many: {nodes:#?}", self.extra);
        self.nothing_is_lost(&nodes);
        if !self.leaves {
            self.nothing_is_half_done();
        }
        self.system.stop(&[Side::A, Side::B]);
        self.system.start();
        let again = self.system.agree();
        assert!(again == nodes, "it moved: {nodes:?}\n{again:?}");
        for side in Side::BOTH {
            let said = self.system.server(side).said();
            assert!(!said.contains('→'), "something moved after all was done: {said}");
        }
        self.nothing_is_half_done();
    }

    /// The tree is what users made of it; answers how many conflict copies there are too many.
    fn is_as_wanted(&self, nodes: &trees::Nodes) -> usize {
        let mut found: BTreeMap<String, Want> = BTreeMap::new();
        for (name, node) in nodes {
            let want = match node {
                Node::File { content, .. } => Want::File(content.clone()),
                Node::Dir { .. } => Want::Dir,
                Node::Link { target } => Want::Link(target.clone()),
                Node::Other => panic!("nobody made {name:?}"),
            };
            found.insert(String::from_utf8(name.clone()).expect("UTF-8"), want);
        }
        for (name, content) in &self.beside {
            let stem = name.split('.').next().unwrap_or_default();
            let start = format!("{stem}.conflict-");
            let is_it = |path: &String, want: &Want| {
                path.starts_with(&start) && *want == Want::File(content.clone())
            };
            let copies: Vec<String> = found
                .iter()
                .filter(|(path, want)| is_it(path, want))
                .map(|it| it.0.clone())
                .collect();
            // What cannot be read counts as an edit, and is beside it once more.
            let right = copies.len() == 1 || (self.fails && !copies.is_empty());
            assert!(right, "what lost `{name}` is beside it, once: {nodes:?}");
            found.remove(&copies[0]);
        }
        let all = found.len();
        let written = self.written.lock().expect("no panic");
        found.retain(|path, want| {
            let is_written = matches!(want, Want::File(content) if written.contains(content));
            !(path.contains(".conflict-") && is_written)
        });
        assert!(found == self.want, "wanted {:?}\nfound {nodes:?}", self.want.keys());
        all - found.len()
    }

    /// Every version that a user wrote is in the tree or in a trash. After a failed call it may
    /// take a moment until it is there.
    fn nothing_is_lost(&self, nodes: &trees::Nodes) {
        let mut lost = self.lost(nodes);
        let begun = Instant::now();
        while self.fails && !lost.is_empty() && begun.elapsed() < PATIENCE {
            sleep(Duration::from_millis(20));
            lost = self.lost(nodes);
        }
        assert!(lost.is_empty(), "lost: {lost:?}");
    }

    fn lost(&self, nodes: &trees::Nodes) -> Vec<String> {
        let mut kept: BTreeSet<Vec<u8>> = BTreeSet::new();
        for node in nodes.values() {
            if let Node::File { content, .. } = node {
                kept.insert(content.clone());
            }
        }
        for side in Side::BOTH {
            let trash = fs::read_dir(self.system.root(side).join(".lab3/trash"));
            for item in trash.into_iter().flatten().flatten() {
                kept.extend(fs::read(item.path()));
            }
        }
        let written = self.written.lock().expect("no panic");
        let given_up = self.given_up.borrow();
        let lost = written.difference(&given_up).filter(|content| !kept.contains(*content));
        lost.map(|it| String::from_utf8_lossy(&it[..it.len().min(40)]).into_owned()).collect()
    }

    fn nothing_is_half_done(&self) {
        let mut left = self.half_done();
        let begun = Instant::now();
        while self.fails && !left.is_empty() && begun.elapsed() < PATIENCE {
            sleep(Duration::from_millis(20));
            left = self.half_done();
        }
        assert!(left.is_empty(), "half done: {left:?}");
    }

    /// What is in `stage/` and `pending/`.
    fn half_done(&self) -> Vec<String> {
        let mut left = Vec::new();
        for side in Side::BOTH {
            for name in ["stage", "pending"] {
                let path = self.system.root(side).join(".lab3").join(name);
                let names = fs::read_dir(path).into_iter().flatten().flatten();
                let names = names.map(|item| item.file_name().to_string_lossy().into_owned());
                // The mark of the next number stays for ever.
                let names = names.filter(|name| !name.ends_with(".next"));
                left.extend(names.map(|item| format!("{name}/{item} of {side}")));
            }
        }
        left
    }

    /// What A's trash has of a file that was replaced: each version once.
    pub(crate) fn replaced_at_a(&self, name: &str) -> Vec<String> {
        let trash = trees::trash(&self.system.a);
        let is_of = |(path, why, _): &(String, String, String)| path == name && why == "replaced";
        let mut found: Vec<String> = trash.into_iter().filter(is_of).map(|it| it.2).collect();
        found.sort();
        found
    }
}
