//! The zlib streams of compressed frames, one for each direction. Each frame ends with a sync flush.

use bytes::{Bytes, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::error::PageKiteError;

/// Frames smaller than this are sent as they are.
const WORTH: usize = 128;
/// So many frames are sent as they are after one that did not get smaller.
const SKIP: u32 = 16;

/// Unpacks the frames of one direction.
pub struct Unpacker(Decompress);

impl Default for Unpacker {
    fn default() -> Self {
        Self(Decompress::new(true))
    }
}

impl std::fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unpacker")
    }
}

impl Unpacker {
    /// The next frame's `raw` bytes. No more than those are ever held, whatever the packed ones would become.
    ///
    /// # Errors
    /// When the packed bytes are not those of exactly `raw` others.
    pub fn unpack(&mut self, packed: &[u8], raw: usize) -> Result<Bytes, PageKiteError> {
        let lost = |what| PageKiteError::Compression(what);
        // One byte more than there may be, so that too much is seen and the flush at the end has room.
        let mut out = vec![0; raw + 1];
        let (from_in, from_out) = (self.0.total_in(), self.0.total_out());
        loop {
            let taken = usize::try_from(self.0.total_in() - from_in).unwrap_or(usize::MAX);
            let made = usize::try_from(self.0.total_out() - from_out).unwrap_or(usize::MAX);
            if made > raw {
                return Err(lost("a frame unpacks to more than it says"));
            }
            let rest = packed.get(taken..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            let room = out.get_mut(made..).unwrap_or_default();
            match self.0.decompress(rest, room, FlushDecompress::Sync) {
                Ok(Status::Ok) => {}
                Ok(Status::BufError) => break,
                Ok(Status::StreamEnd) => return Err(lost("the zlib stream ends within a tunnel")),
                Err(_) => return Err(lost("no zlib stream")),
            }
        }
        let made = usize::try_from(self.0.total_out() - from_out).unwrap_or(usize::MAX);
        if made != raw {
            return Err(lost("a frame unpacks to less than it says"));
        }
        out.truncate(raw);
        Ok(out.into())
    }
}

/// Packs the frames of one direction.
pub struct Packer {
    stream: Compress,
    /// The next frame says that the other side must begin anew.
    restarted: bool,
    skip: u32,
}

impl Default for Packer {
    fn default() -> Self {
        Self { stream: Compress::new(Compression::fast(), true), restarted: false, skip: 0 }
    }
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Packer")
    }
}

impl Packer {
    pub fn restart(&mut self) {
        *self = Self { restarted: true, ..Self::default() };
    }

    /// Whether to try with a frame of so many bytes.
    pub fn is_worth(&mut self, raw: usize) -> bool {
        let skipped = self.skip > 0;
        self.skip = self.skip.saturating_sub(u32::from(raw >= WORTH));
        raw >= WORTH && !skipped
    }

    /// The packed frame, and whether the zlib stream begins anew with it.
    pub fn pack(&mut self, head: &[u8], body: &[u8]) -> (BytesMut, bool) {
        let mut packed = Vec::with_capacity((head.len() + body.len()) / 2 + 64);
        self.feed(head, &mut packed, FlushCompress::None);
        self.feed(body, &mut packed, FlushCompress::Sync);
        if packed.len() >= head.len() + body.len() {
            self.skip = SKIP;
        }
        (BytesMut::from(&packed[..]), std::mem::take(&mut self.restarted))
    }

    fn feed(&mut self, bytes: &[u8], packed: &mut Vec<u8>, flush: FlushCompress) {
        let start = self.stream.total_in();
        loop {
            packed.reserve(bytes.len() / 2 + 64);
            let taken = usize::try_from(self.stream.total_in() - start).unwrap_or(usize::MAX);
            let rest = bytes.get(taken..).unwrap_or_default();
            let outcome = self.stream.compress_vec(rest, packed, flush);
            let all_in = self.stream.total_in() - start == bytes.len() as u64;
            // Done once everything went in and there was room left behind what came out.
            if outcome.is_err() || (all_in && packed.len() < packed.capacity()) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bombs_and_lies_are_refused() {
        let zeros = vec![0; 1 << 20];
        let (packed, _) = Packer::default().pack(&zeros, b"");
        assert!(packed.len() < 10_000, "{}", packed.len());
        assert_eq!(Unpacker::default().unpack(&packed, zeros.len()).unwrap(), zeros);
        for lie in [1, 1000, zeros.len() - 1, zeros.len() + 1] {
            assert!(matches!(Unpacker::default().unpack(&packed, lie), Err(PageKiteError::Compression(_))), "{lie}");
        }
        assert!(Unpacker::default().unpack(b"no zlib stream", 10).is_err());
    }

    #[test]
    fn what_does_not_get_smaller_is_not_tried_for_a_while() {
        let mut packer = Packer::default();
        let mut state = 1_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(5000)
        .collect();
        assert!(packer.is_worth(noise.len()));
        let (packed, _) = packer.pack(&noise, b"");
        assert_eq!(Unpacker::default().unpack(&packed, noise.len()).unwrap(), noise);
        assert_eq!((0..20).take_while(|_| !packer.is_worth(noise.len())).count(), SKIP as usize);
    }
}
