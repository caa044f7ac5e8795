// SPDX-License-Identifier: BSD-2-Clause
//! Tables and sizes for people.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Where a column's text stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Rows of text below a headline.
pub struct Table<const N: usize> {
    columns: [(&'static str, Align); N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// A table without rows.
    pub fn new(columns: [(&'static str, Align); N]) -> Self {
        Self {
            columns,
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }
}

impl<const N: usize> core::fmt::Display for Table<N> {
    /// One line for each row; no blanks at the ends of lines.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let widths: [usize; N] = core::array::from_fn(|column| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0).max(self.columns[column].0.len())
        });
        let titles = self.columns.map(|(title, _)| title.to_string());
        for row in core::iter::once(&titles).chain(&self.rows) {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let width = widths[column];
                line += &match self.columns[column].1 {
                    Align::Left => format!("{cell:<width$}  "),
                    Align::Right => format!("{cell:>width$}  "),
                };
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Bytes, in the largest unit that leaves a number of two digits or more: `812 B`, `48 KiB`, `11.5 MiB`.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} B"),
        10_240..10_485_760 => format!("{} KiB", bytes >> 10),
        _ => format!("{}.{} MiB", bytes >> 20, ((bytes >> 10 & 1023) * 10) >> 10),
    }
}

/// Pages, likewise; a page is 4 KiB.
pub fn pages(pages: u64) -> String {
    match pages {
        0..2560 => format!("{} KiB", pages * 4),
        _ => size(pages.saturating_mul(4096)),
    }
}

/// A number with a comma between thousands.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new([("ID", Align::Right), ("NAME", Align::Left)]);
        table.row(["7".into(), "é".into()]);
        table.row(["1234".into(), "a longer one".into()]);
        assert_eq!(
            table.to_string(),
            "  ID  NAME\n   7  é\n1234  a longer one\n"
        );
    }

    #[test]
    fn sizes_keep_two_digits() {
        for (bytes, text) in [
            (0, "0 B"),
            (10_239, "10239 B"),
            (10_240, "10 KiB"),
            (10 << 20, "10.0 MiB"),
            ((10 << 20) + (512 << 10), "10.5 MiB"),
            (u64::MAX, "17592186044415.9 MiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        assert_eq!(pages(0), "0 KiB");
        assert_eq!(pages(12), "48 KiB");
        assert_eq!(pages(2560), "10.0 MiB");
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(123), "123");
        assert_eq!(thousands(1234), "1,234");
        assert_eq!(thousands(1_234_567), "1,234,567");
    }
}
