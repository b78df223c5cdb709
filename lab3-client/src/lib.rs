//! `lab3`: the one-shot client of server A.
//!
//! One run reads a command line (`cli`), asks one thing (`request`), prints the answer (`words`,
//! `status`, `table` for people; `json` for programs) and exits with a code that says how it went
//! (`exit`). It keeps nothing but what this user was shown last (`shown`, `numbered`), for that is
//! what an index means. `lab3 id` and `lab3 trust` ask nobody (`trust`).

pub mod aside;
pub mod cli;
pub mod exit;
pub mod failure;
pub mod history;
pub mod json;
pub mod kept;
pub mod kept_json;
pub mod kept_words;
pub mod listing;
pub mod numbered;
pub mod request;
pub mod run;
pub mod shown;
pub mod span;
pub mod speed;
pub mod status;
pub mod table;
pub mod target;
pub mod terminal;
pub mod trust;
pub mod up;
pub mod verified;
pub mod words;
