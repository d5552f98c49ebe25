use std::cell::RefCell;
use std::io::{self, Write};

use brotli::CompressorWriter;
use bytes::Bytes;
use flate2::write::GzEncoder;

use super::Coding;

const GZIP_LEVEL: u32 = 5;
const ZSTD_LEVEL: i32 = 3;
const BROTLI_QUALITY: u32 = 4;
/// Base-2 logarithm of the window in bytes, for brotli and zstd: what an encoder holds in memory grows with it.
const WINDOW_LOG: u32 = 19;

/// Up to this many bytes a thread keeps what it needs to compress them: to make it anew would take longer than the work.
const KEPT_UP_TO: usize = 64 * 1024;

thread_local! {
    static KEPT: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
}

/// Compresses what is in memory. Takes milliseconds for tens of kilobytes.
///
/// # Errors
/// Only where there is no memory.
pub fn compress(coding: Coding, bytes: &[u8]) -> io::Result<Bytes> {
    if coding == Coding::Zstd && bytes.len() <= KEPT_UP_TO {
        return KEPT.with_borrow_mut(|kept| {
            let compressor = match kept {
                Some(compressor) => compressor,
                None => kept.insert(zstd::bulk::Compressor::new(ZSTD_LEVEL)?),
            };
            compressor.compress(bytes).map(Bytes::from)
        });
    }
    let mut encoder = Encoder::new(coding)?;
    encoder.write_all(bytes)?;
    encoder.finish().map(Bytes::from)
}

/// Compresses a stream, in bounded memory (some megabytes at most).
pub struct Encoder(Kind);

enum Kind {
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Gzip(GzEncoder<Vec<u8>>),
}

impl Encoder {
    /// # Errors
    /// Only where there is no memory.
    pub fn new(coding: Coding) -> io::Result<Self> {
        Ok(Self(match coding {
            Coding::Brotli => {
                Kind::Brotli(Box::new(CompressorWriter::new(Vec::new(), 32 * 1024, BROTLI_QUALITY, WINDOW_LOG)))
            }
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.window_log(WINDOW_LOG)?;
                Kind::Zstd(encoder)
            }
            Coding::Gzip => Kind::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL))),
        }))
    }

    /// # Errors
    /// Only where there is no memory.
    pub fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.0 {
            Kind::Brotli(encoder) => encoder.write_all(bytes),
            Kind::Zstd(encoder) => encoder.write_all(bytes),
            Kind::Gzip(encoder) => encoder.write_all(bytes),
        }
    }

    /// Brings out whatever was written, so that the other side can read it all. Costs some bytes each time.
    ///
    /// # Errors
    /// Only where there is no memory.
    pub fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Kind::Brotli(encoder) => encoder.flush(),
            Kind::Zstd(encoder) => encoder.flush(),
            Kind::Gzip(encoder) => encoder.flush(),
        }
    }

    /// What has come out so far.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(match &mut self.0 {
            Kind::Brotli(encoder) => encoder.get_mut(),
            Kind::Zstd(encoder) => encoder.get_mut(),
            Kind::Gzip(encoder) => encoder.get_mut(),
        })
    }

    /// What has not been taken, to the end.
    ///
    /// # Errors
    /// Only where there is no memory.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        match self.0 {
            Kind::Brotli(encoder) => Ok(encoder.into_inner()),
            Kind::Zstd(encoder) => encoder.finish(),
            Kind::Gzip(encoder) => encoder.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    fn decompress(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        match coding {
            Coding::Brotli => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut plain),
            Coding::Zstd => zstd::stream::read::Decoder::new(bytes).unwrap().read_to_end(&mut plain),
            Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain),
        }
        .unwrap();
        plain
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn what_goes_in_comes_out(bytes in prop::collection::vec(any::<u8>(), 0..5000)) {
            for coding in Coding::BY_SIZE {
                prop_assert_eq!(decompress(coding, &compress(coding, &bytes).unwrap()), &bytes[..]);
            }
        }
    }

    #[test]
    fn a_flush_brings_out_what_was_written() {
        for coding in Coding::BY_SIZE {
            let mut encoder = Encoder::new(coding).unwrap();
            let mut wire = Vec::new();
            for word in ["first ", "second"] {
                encoder.write_all(word.as_bytes()).unwrap();
                encoder.flush().unwrap();
                let out = encoder.take();
                assert!(!out.is_empty(), "{coding:?}");
                wire.extend(out);
            }
            wire.extend(encoder.finish().unwrap());
            assert_eq!(decompress(coding, &wire), b"first second", "{coding:?}");
        }
    }
}
