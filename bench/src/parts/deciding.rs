//! What the core computes: what is to be done at a path, and the digest of a tree.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use common::path::RelPath;
use common::reconcile::{Next, View, decide as decide_one};
use common::side::PerSide;
use common::tree::Tree;

use super::{Ground, Work, made};
use crate::dice::Dice;

/// Of sixteen files, twelve are as they were; of the others A has edited one, B has edited one or
/// removed one, and both have edited one.
fn three_trees(files: usize, dice: &mut Dice) -> Result<(Tree, PerSide<Tree>)> {
    let archive: Tree = made::rows(files, dice)?.into_iter().collect();
    let mut seen = PerSide::of(|_| archive.clone());
    for number in 0..files {
        let path = made::path(number)?;
        match number % 16 {
            3 => drop(seen.a.set(&path, Some(made::file(dice)))),
            7 => drop(seen.b.set(&path, Some(made::file(dice)))),
            11 => drop(seen.b.set(&path, None)),
            15 => {
                seen.a.set(&path, Some(made::file(dice)));
                seen.b.set(&path, Some(made::file(dice)));
            }
            _ => {}
        }
    }
    Ok((archive, seen))
}

/// Every file is decided once.
pub(super) fn decide(ground: &mut Ground, files: usize) -> Result<Box<dyn Work>> {
    let (archive, seen) = three_trees(files, &mut ground.dice)?;
    let paths = (0..files).map(made::path).collect::<Result<Vec<RelPath>>>()?;
    Ok(Box::new(move || {
        let view = View { archive: &archive, seen: seen.as_ref() };
        let mut steps = 0;
        for path in &paths {
            steps += match decide_one(&view, path).next {
                Next::Steps(steps) => usize::from(!steps.is_empty()),
                Next::Agreed { .. } | Next::After { .. } => 0,
            };
        }
        ensure!(steps == paths.len() / 4, "{steps} of {} paths have steps", paths.len());
        Ok(paths.len())
    }))
}

/// Files change here and there; then the digest of the whole tree is asked for.
pub(super) fn digest_tree(ground: &mut Ground, changes: usize) -> Result<Box<dyn Work>> {
    const FILES: usize = 10_000;
    let mut tree: Tree = made::rows(FILES, &mut ground.dice)?.into_iter().collect();
    let mut dice = ground.dice.clone();
    let none = BTreeSet::new();
    let mut before = tree.sum(&none);
    let mut turn = 0;
    Ok(Box::new(move || {
        for number in (0..FILES).skip(turn % 2).step_by(FILES / changes) {
            tree.set(&made::path(number)?, Some(made::file(&mut dice)));
        }
        turn += 1;
        let sum = tree.sum(&none);
        ensure!(sum != before, "the digest does not tell of the changes");
        before = sum;
        Ok(changes)
    }))
}
