//! Answers: tables for people, JSON for scripts, bars on standard error for whoever waits at a terminal.

use std::io::{self, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::failure::Failure;

pub(crate) struct Show {
    json: bool,
}

impl Show {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// An answer: the value as JSON, or what `table` makes of it.
    pub(crate) fn answer<T: Serialize>(&self, value: &T, table: impl FnOnce(&T) -> Table) -> Result<(), Failure> {
        let text = if self.json { serde_json::to_string_pretty(value)? } else { table(value).text() };
        print(text.trim_end())
    }

    /// An answer that is one of many: a line of JSON, or a line of text.
    pub(crate) fn line<T: Serialize>(&self, value: &T, text: impl FnOnce(&T) -> String) -> Result<(), Failure> {
        print(&if self.json { serde_json::to_string(value)? } else { text(value) })
    }
}

/// Whoever reads may have gone: `head` has its lines. That is no failure.
fn print(text: &str) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        done => Ok(done?),
    }
}

/// Rows below headings.
pub(crate) struct Table(Vec<Vec<String>>);

impl Table {
    pub(crate) fn new<const N: usize>(headings: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> Self {
        let headings = headings.map(str::to_owned).to_vec();
        Self(std::iter::once(headings).chain(rows.into_iter().map(Vec::from)).collect())
    }

    /// A pair a row, without headings.
    pub(crate) fn pairs(rows: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        Self(rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect())
    }

    fn text(&self) -> String {
        let columns = self.0.first().map_or(0, Vec::len);
        let width = |at: usize| self.0.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|at| width(at).unwrap_or(0)).collect();
        let mut text = String::new();
        for row in &self.0 {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

/// A bar on standard error, if that is a terminal. `total` is how many there are to do, where that is known.
pub(crate) fn bar(total: Option<u64>, what: &'static str) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (ProgressBar::new(total), "{msg} [{wide_bar}] {percent:>3} % {eta}"),
        None => (ProgressBar::new_spinner(), "{spinner} {msg} {human_pos} in {elapsed}"),
    };
    // A template that was written here is right.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style);
    bar.set_message(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
