//! Events as an application reads them: each once and in order, unless a gap was told.

use crate::truth::Happened;

#[derive(Debug, Default)]
pub(crate) struct Run {
    last: Option<u64>,
    gaps: Vec<(u64, u64)>,
    /// A loss of unknown extent was told.
    is_broken: bool,
}

impl Run {
    pub(crate) fn read(&mut self, number: u64, all: &[Happened], life: u32) -> Result<(), String> {
        if let Some(last) = self.last {
            if number <= last {
                return Err(format!("event {number} came after {last}"));
            }
            self.miss(last + 1..number, all, life)?;
        }
        // A gap may be told before events that are older than it.
        let seq = all.get(number as usize - 1).map_or(0, |event| event.seq);
        self.gaps.retain(|(_, to)| *to > seq);
        (self.last, self.is_broken) = (Some(number), false);
        Ok(())
    }

    pub(crate) fn note_gap(&mut self, from: u64, to: u64) {
        self.gaps.push((from, to));
    }

    pub(crate) fn break_off(&mut self) {
        self.is_broken = true;
    }

    /// In the end nothing may be missing.
    pub(crate) fn end(&self, all: &[Happened], life: u32) -> Result<(), String> {
        self.last.map_or(Ok(()), |last| self.miss(last + 1..all.len() as u64 + 1, all, life))
    }

    /// Whatever is missing was told to be.
    fn miss(&self, numbers: std::ops::Range<u64>, all: &[Happened], life: u32) -> Result<(), String> {
        let told = |seq: u64| self.gaps.iter().any(|(from, to)| *from < seq && seq < *to);
        for number in numbers.filter(|_| !self.is_broken) {
            let Some(event) = all.get(number as usize - 1) else { continue };
            if event.life == life && !told(event.seq) {
                return Err(format!("event {number} at {} is missing after {:?}, gaps {:?}", event.seq, self.last, self.gaps));
            }
        }
        Ok(())
    }
}
