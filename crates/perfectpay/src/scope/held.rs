//! What an import keeps of the rows that it put on a stage: what is told of them once they are made live.

use crate::store::StageId;

/// What is kept of rows that were put on a stage, two bytes each.
pub(super) struct Held {
    pub(super) stage: StageId,
    /// Whether something may be on it.
    pub(super) is_staged: bool,
    /// How many parts were put on it.
    pub(super) parts: u32,
    /// Whether a row was wrong, so that nothing is added.
    pub(super) is_wrong: bool,
    /// How far each row's line is behind the one before, seven bits a byte, the lowest first.
    lines: Vec<u8>,
    last_line: u64,
    duplicates: Vec<bool>,
}

impl Held {
    /// Nothing yet.
    pub(super) fn on(stage: StageId) -> Self {
        Self {
            stage,
            is_staged: false,
            parts: 0,
            is_wrong: false,
            lines: Vec::new(),
            last_line: 0,
            duplicates: Vec::new(),
        }
    }

    /// How many rows: the number of the next one.
    pub(super) fn len(&self) -> u64 {
        u64::try_from(self.duplicates.len()).unwrap_or(u64::MAX)
    }

    /// Keeps a row behind the others.
    pub(super) fn push(&mut self, line: u64, is_duplicate: bool) {
        let mut behind = line.saturating_sub(self.last_line);
        self.last_line = line;
        while behind > 0x7f {
            self.lines.push(u8::try_from(behind & 0x7f).unwrap_or_default() | 0x80);
            behind >>= 7;
        }
        self.lines.push(u8::try_from(behind).unwrap_or_default());
        self.duplicates.push(is_duplicate);
    }

    /// The rows with these numbers are duplicates.
    pub(super) fn mark(&mut self, taken: &[u64]) {
        for number in taken {
            let place = usize::try_from(*number).ok().and_then(|number| self.duplicates.get_mut(number));
            if let Some(duplicate) = place {
                *duplicate = true;
            }
        }
    }

    /// The numbers of all duplicates, in ascending order.
    pub(super) fn repeated(&self) -> Vec<u64> {
        (0..).zip(&self.duplicates).filter(|(_, is_duplicate)| **is_duplicate).map(|(number, _)| number).collect()
    }

    /// How many rows are no duplicates.
    pub(super) fn new_ones(&self) -> u64 {
        u64::try_from(self.duplicates.iter().filter(|duplicate| !**duplicate).count()).unwrap_or(u64::MAX)
    }

    /// The lines of all rows, and whether they are duplicates; nothing is held behind it.
    pub(super) fn take(&mut self) -> impl Iterator<Item = (u64, bool)> + use<> {
        let mut bytes = std::mem::take(&mut self.lines).into_iter();
        let duplicates = std::mem::take(&mut self.duplicates);
        self.last_line = 0;
        let mut line = 0;
        duplicates.into_iter().map(move |is_duplicate| {
            let (mut behind, mut shift) = (0, 0);
            for byte in bytes.by_ref() {
                behind |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            line += behind;
            (line, is_duplicate)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn lines_and_duplicates_come_back_as_they_were_held() {
        let mut held = Held::on(StageId::make(Timestamp::UNIX_EPOCH, &[7; 10]));
        let lines = [1, 1, 2, 129, 130, 130 + 127, 130 + 255, 70_000, u64::MAX];
        for (at, line) in lines.into_iter().enumerate() {
            held.push(line, at % 3 == 0);
        }
        assert_eq!((held.len(), held.new_ones(), held.repeated()), (9, 6, vec![0, 3, 6]));
        held.mark(&[1, 6, 9, u64::MAX]);
        assert_eq!((held.new_ones(), held.repeated()), (5, vec![0, 1, 3, 6]));
        let taken: Vec<(u64, bool)> = held.take().collect();
        let expected = [true, true, false, true, false, false, true, false, false];
        assert_eq!(taken, lines.into_iter().zip(expected).collect::<Vec<_>>());
        // Nothing is held behind it, and what comes then begins anew.
        assert_eq!((held.len(), held.take().count()), (0, 0));
        held.push(5, false);
        assert_eq!(held.take().collect::<Vec<_>>(), [(5, false)]);
    }
}
