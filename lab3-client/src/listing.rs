//! The listing: printed as it arrives, and remembered while it is printed.
//!
//! What was remembered before is forgotten before the first row appears, and the new listing is
//! remembered when it is whole; see `shown`. No more than one part is ever held.

use common::path::RelPath;
use common::wire::client::{Answer, Generation, ListingPart};

use crate::failure::{Failure, chain};
use crate::json;
use crate::request::Answers;
use crate::shown::{Recorder, Shown, ShownError};
use crate::table::Table;
use crate::terminal::{Ink, Output, say};
use crate::words;

/// Prints the parts of a listing until the last.
pub async fn print(
    answers: &mut Answers,
    shown: Option<&Shown>,
    as_json: bool,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut part = next_part(answers).await?;
    let generation = part.generation;
    let mut memory = Memory::begin(shown, generation)?;
    let mut page = if as_json { Page::json(&part) } else { Page::table(&part) };
    page.head(out)?;
    let mut index = 0;
    loop {
        if part.generation != generation {
            return Err(Failure::unexpected());
        }
        for row in &part.rows {
            page.row(index, row, out)?;
            memory.add(&row.path);
            index += 1;
        }
        if part.last {
            break;
        }
        out.flush()?;
        part = next_part(answers).await?;
    }
    // Before the end of the output: who has read it all may use an index at once.
    memory.finish();
    page.end(out)?;
    out.flush()?;
    if let Some(away) = words::away(&part.b) {
        say(&away);
    }
    Ok(())
}

async fn next_part(answers: &mut Answers) -> Result<ListingPart, Failure> {
    match answers.next().await? {
        Answer::Listing(part) => Ok(part),
        Answer::Refused(refusal) => Err(refusal.into()),
        _ => Err(Failure::unexpected()),
    }
}

/// How rows are printed.
enum Page {
    Json { head: String },
    Table(Table),
}

impl Page {
    fn json(first: &ListingPart) -> Page {
        Page::Json { head: json::listing_head(first.generation, &first.b) }
    }

    fn table(first: &ListingPart) -> Page {
        let rows = first.rows.iter().zip(0..);
        let cells: Vec<_> = rows.map(|(row, index)| words::listing_row(index, row)).collect();
        Page::Table(Table::new(words::LISTING, &cells))
    }

    fn head(&self, out: &mut Output) -> std::io::Result<()> {
        match self {
            Page::Json { head } => out.text(head),
            Page::Table(table) => out.line(&table.header(), Ink::Title),
        }
    }

    fn row(
        &mut self,
        index: u64,
        row: &common::wire::client::ListingRow,
        out: &mut Output,
    ) -> std::io::Result<()> {
        match self {
            Page::Json { .. } => {
                out.text(if index == 0 { "" } else { "," })?;
                out.text(&json::listing_entry(index, row))
            }
            Page::Table(table) => {
                out.line(&table.line(&words::listing_row(index, row)), words::ink(row))
            }
        }
    }

    fn end(&self, out: &mut Output) -> std::io::Result<()> {
        match self {
            Page::Json { .. } => out.text(json::LISTING_END),
            Page::Table(_) => Ok(()),
        }
    }
}

/// Remembers, as long as that works.
struct Memory {
    recorder: Option<Recorder>,
}

impl Memory {
    fn begin(shown: Option<&Shown>, generation: Generation) -> Result<Memory, Failure> {
        let begun = match shown {
            Some(shown) => shown.begin(generation),
            None => Err(ShownError::NoPlace),
        };
        match begun {
            Ok(recorder) => Ok(Memory { recorder: Some(recorder) }),
            // An older listing that cannot be forgotten would give the indexes another meaning.
            Err(error) if shown.is_some_and(Shown::is_there) => Err(error.into()),
            Err(error) => {
                complain(&error);
                Ok(Memory { recorder: None })
            }
        }
    }

    fn add(&mut self, path: &RelPath) {
        if let Some(recorder) = &mut self.recorder
            && let Err(error) = recorder.add(path)
        {
            complain(&error);
            self.recorder = None;
        }
    }

    fn finish(self) {
        if let Some(recorder) = self.recorder
            && let Err(error) = recorder.finish()
        {
            complain(&error);
        }
    }
}

fn complain(error: &ShownError) {
    say(&format!("lab3: {}; these indexes cannot be used\nhint: {}\n", chain(error), error.hint()));
}
