//! Bytes kept for later in bounded memory: what is beyond the bound goes to an unnamed temporary file.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// Written first, then read back once.
#[derive(Debug)]
pub struct Spool {
    memory: Vec<u8>,
    most_in_memory: usize,
    file: Option<File>,
    length: u64,
}

impl Spool {
    pub fn new(most_in_memory: usize) -> Self {
        Self { memory: Vec::new(), most_in_memory, file: None, length: 0 }
    }

    /// Bytes written so far.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// # Errors
    /// The temporary folder cannot be written.
    pub fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.memory.extend_from_slice(bytes);
        self.length += bytes.len() as u64;
        if self.memory.len() > self.most_in_memory {
            if self.file.is_none() {
                self.file = Some(tempfile::tempfile()?);
            }
            if let Some(file) = &mut self.file {
                file.write_all(&self.memory)?;
                self.memory.clear();
            }
        }
        Ok(())
    }

    /// Ends writing and gives everything back from the start.
    ///
    /// # Errors
    /// The temporary file cannot be read.
    pub fn into_reader(self) -> io::Result<Box<dyn Read + Send>> {
        let rest = io::Cursor::new(self.memory);
        match self.file {
            None => Ok(Box::new(rest)),
            Some(mut file) => {
                file.seek(SeekFrom::Start(0))?;
                Ok(Box::new(file.chain(rest)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        for most in [0, 10, 1000] {
            let mut spool = Spool::new(most);
            for n in 0..100_u8 {
                spool.push(&[n; 3]).unwrap();
            }
            assert_eq!(spool.len(), 300);
            let mut all = Vec::new();
            spool.into_reader().unwrap().read_to_end(&mut all).unwrap();
            assert_eq!(all, (0..100_u8).flat_map(|n| [n; 3]).collect::<Vec<_>>());
        }
    }
}
