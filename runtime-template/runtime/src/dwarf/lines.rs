//! A source line → the address of its first code.

use std::collections::BTreeMap;

use super::{DebugInfo, Slice, Unit};
use crate::{Context, Error};

/// Addresses of a file's statements, by line and column: the lowest of each.
type Statements = BTreeMap<(u64, u64), u64>;

impl DebugInfo<'_> {
    /// The lowest address of a line's code, or of what begins at a column of it (0: any). `file` is the end of a path.
    ///
    /// # Errors
    /// No such file, several of them, no code at the line.
    pub fn address_of_line(&self, file: &str, line: u32, column: u32) -> Result<u64, Error> {
        let mut files: BTreeMap<String, Statements> = BTreeMap::new();
        for start in self.starts()? {
            let unit = self.unit(*start)?;
            let read = self.read_lines(&unit, file, &mut files);
            read.context(|| self.damaged())?;
            // Each is looked at once, and a large binary has thousands.
            self.units.borrow_mut().clear();
        }
        self.choose(&files, file, u64::from(line), u64::from(column))
    }

    /// Takes in the statements of one unit that are in a wanted file.
    fn read_lines(
        &self,
        unit: &Unit<'_>,
        wanted: &str,
        files: &mut BTreeMap<String, Statements>,
    ) -> gimli::Result<()> {
        let Some(program) = unit.line_program.clone() else {
            return Ok(());
        };
        let mut paths: Vec<Option<String>> = Vec::new();
        let mut rows = program.rows();
        while let Some((header, row)) = rows.next_row()? {
            if row.end_sequence() || !row.is_stmt() {
                continue;
            }
            let index = row.file_index() as usize;
            if paths.len() <= index {
                let new = paths.len()..=index;
                paths.extend(new.map(|index| {
                    let path = self.path(unit, header, index as u64)?;
                    ends_with(&path, wanted).then_some(path)
                }));
            }
            let (Some(path), Some(line)) = (&paths[index], row.line()) else {
                continue;
            };
            // Code that the linker dropped keeps its lines, at addresses that are none.
            if self.binary.file_offset(row.address()).is_err() {
                continue;
            }
            let column = match row.column() {
                gimli::ColumnType::LeftEdge => 0,
                gimli::ColumnType::Column(column) => column.get(),
            };
            let statements = files.entry(path.clone()).or_default();
            let lowest = statements.entry((line.get(), column)).or_insert(u64::MAX);
            *lowest = row.address().min(*lowest);
        }
        Ok(())
    }

    /// A file of the line table, from the root where its directory is known.
    fn path(
        &self,
        unit: &Unit<'_>,
        header: &gimli::LineProgramHeader<Slice<'_>>,
        index: u64,
    ) -> Option<String> {
        let text = |value| {
            let text = self.dwarf.attr_string(unit, value).ok()?;
            Some(text.to_string_lossy().into_owned())
        };
        let file = header.file(index)?;
        let mut path = text(file.path_name())?;
        if !path.starts_with('/')
            && let Some(directory) = file.directory(header).and_then(text)
        {
            path = format!("{directory}/{path}");
        }
        if !path.starts_with('/')
            && let Some(directory) = unit.comp_dir
        {
            path = format!("{}/{path}", directory.to_string_lossy());
        }
        Some(path)
    }

    fn choose(
        &self,
        files: &BTreeMap<String, Statements>,
        file: &str,
        line: u64,
        column: u64,
    ) -> Result<u64, Error> {
        let binary = self.binary.path().display();
        if files.is_empty() {
            return Err(Error::new(format!(
                "{binary} has no code of a source file `{file}`"
            )));
        }
        let of_line = |statements: &Statements| -> Vec<(u64, u64)> {
            let all = statements.range((line, 0)..=(line, u64::MAX));
            let fits = all.filter(|((_, found), _)| column == 0 || *found == column);
            fits.map(|((_, column), address)| (*address, *column))
                .collect()
        };
        let found = files.iter().map(|(path, of)| (path, of_line(of)));
        let found: Vec<_> = found.filter(|(_, found)| !found.is_empty()).collect();
        match found.as_slice() {
            [(_, addresses)] => Ok(addresses
                .iter()
                .map(|(address, _)| *address)
                .min()
                .unwrap_or(0)),
            [] => Err(Error::new(format!(
                "{binary}: no code at {file}:{line}{}: {}",
                if column == 0 {
                    String::new()
                } else {
                    format!(":{column}")
                },
                nearest(files, line, column)
            ))),
            several => {
                let paths: Vec<&str> = several.iter().map(|(path, _)| path.as_str()).collect();
                Err(Error::new(format!(
                    "{binary}: `{file}` is more than one source file: {}",
                    paths.join(", ")
                )))
            }
        }
    }
}

/// What would have been found.
fn nearest(files: &BTreeMap<String, Statements>, line: u64, column: u64) -> String {
    let mut columns: Vec<u64> = Vec::new();
    let (mut before, mut after) = (None, None);
    for (at, its_column) in files.values().flat_map(BTreeMap::keys).copied() {
        match at.cmp(&line) {
            std::cmp::Ordering::Less => before = before.max(Some(at)),
            std::cmp::Ordering::Greater => after = Some(after.map_or(at, |a: u64| a.min(at))),
            std::cmp::Ordering::Equal => columns.push(its_column),
        }
    }
    if column > 0 && !columns.is_empty() {
        columns.sort_unstable();
        columns.dedup();
        let columns: Vec<String> = columns.iter().map(u64::to_string).collect();
        return format!("its code begins at column {}", columns.join(", "));
    }
    match (before, after) {
        (Some(before), Some(after)) => {
            format!("the nearest lines with code are {before} and {after}")
        }
        (Some(only), None) | (None, Some(only)) => format!("the nearest line with code is {only}"),
        (None, None) => "the file has none".to_owned(),
    }
}

/// Whether whole components at the end of a path are what is wanted.
fn ends_with(path: &str, wanted: &str) -> bool {
    let wanted = wanted.strip_prefix("./").unwrap_or(wanted);
    let Some(rest) = path.strip_suffix(wanted) else {
        return false;
    };
    rest.is_empty() || rest.ends_with('/') || wanted.starts_with('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_paths() {
        assert!(ends_with("/src/a/b.c", "b.c"));
        assert!(ends_with("/src/a/b.c", "a/b.c"));
        assert!(ends_with("/src/a/b.c", "/src/a/b.c"));
        assert!(!ends_with("/src/a/bb.c", "b.c"));
        assert!(!ends_with("/src/a/b.c", "c/b.c"));
        assert!(!ends_with("b.c", "a/b.c"));
    }
}
