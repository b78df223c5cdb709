//! Less to send: a content that changed in places travels as the places that changed.
//!
//! [`recipe`] cuts a content where the content itself says so, so that an insertion moves no cut
//! but those around it. [`assemble`] says, from two recipes, which parts are at hand and which must
//! be fetched; [`follow`] finds that out while the recipe arrives, from the older content itself.
//! All are pure; whoever reads and writes files is `replica`.

pub mod assemble;
pub mod follow;
pub mod recipe;
