//! Rows into aligned text. Pure.
//!
//! Widths come from the first rows, so that a long listing is printed as it arrives; a later row
//! that is wider is printed whole and out of line. The last column is never padded.

/// Widest that a column is made, in characters.
const WIDTH_MAX: usize = 60;

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name in the header.
    pub title: &'static str,
    /// On which side it is even.
    pub align: Align,
    /// Its least width, for values that are yet to come.
    pub width_min: usize,
}

/// On which side a column is even.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A column of words.
#[must_use]
pub const fn words(title: &'static str) -> Column {
    Column { title, align: Align::Left, width_min: 0 }
}

/// A column of numbers.
#[must_use]
pub const fn numbers(title: &'static str, width_min: usize) -> Column {
    Column { title, align: Align::Right, width_min }
}

/// Columns whose widths are settled.
#[derive(Debug)]
pub struct Table {
    columns: &'static [Column],
    widths: Vec<usize>,
}

impl Table {
    /// Settles the widths by the titles and the first rows.
    #[must_use]
    pub fn new(columns: &'static [Column], first: &[Vec<String>]) -> Table {
        let widths = columns
            .iter()
            .enumerate()
            .map(|(at, column)| {
                let cells = first.iter().filter_map(|row| row.get(at));
                let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
                widest.min(WIDTH_MAX).max(column.title.chars().count()).max(column.width_min)
            })
            .collect();
        Table { columns, widths }
    }

    /// The line of titles.
    #[must_use]
    pub fn header(&self) -> String {
        let titles: Vec<String> = self.columns.iter().map(|c| c.title.to_owned()).collect();
        self.line(&titles)
    }

    /// The line of a row.
    #[must_use]
    pub fn line(&self, cells: &[String]) -> String {
        let mut line = String::new();
        for (at, (cell, column)) in cells.iter().zip(self.columns).enumerate() {
            let last = at + 1 == self.columns.len();
            let gap = self.widths[at].saturating_sub(cell.chars().count());
            let (before, after) = match column.align {
                Align::Right => (gap, 0),
                Align::Left => (0, if last { 0 } else { gap }),
            };
            line.extend(std::iter::repeat_n(' ', before));
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', after));
            if !last {
                line.push_str("  ");
            }
        }
        line.truncate(line.trim_end_matches(' ').len());
        line
    }
}

/// A whole table, with its header, when all rows are at hand.
#[must_use]
pub fn render(columns: &'static [Column], rows: &[Vec<String>]) -> String {
    let table = Table::new(columns, rows);
    let lines = rows.iter().map(|row| table.line(row));
    std::iter::once(table.header()).chain(lines).map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[numbers("n", 3), words("name"), words("state")];

    fn row(cells: [&str; 3]) -> Vec<String> {
        cells.map(str::to_owned).to_vec()
    }

    #[test]
    fn numbers_are_even_at_the_right_and_words_at_the_left() {
        let rows = [row(["0", "grün", "ok"]), row(["12", "b", ""])];
        assert_eq!(render(COLUMNS, &rows), "  n  name  state\n  0  grün  ok\n 12  b\n");
    }

    #[test]
    fn a_wide_latecomer_is_printed_whole() {
        let table = Table::new(COLUMNS, &[row(["0", "a", "ok"])]);
        assert_eq!(table.line(&row(["1000", "a-long-name", "ok"])), "1000  a-long-name  ok");
    }
}
