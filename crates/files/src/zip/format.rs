//! The bytes of a ZIP archive written front to back (PKWARE APPNOTE 6.3.10). Pure: records in, bytes out.
//!
//! Sizes that are not known before the data use a data descriptor (section 4.3.9). Such an entry is always "deflated",
//! if only in stored blocks: that format says itself where it ends, so that programs which read an archive as it
//! arrives manage too.

/// How an entry's data are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Stored,
    Deflated,
}

/// What is known of an entry before its data.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// UTF-8, `/` between folders, and at the end of a folder's own entry.
    pub name: &'a str,
    pub method: Method,
    /// Seconds since 1970.
    pub modified: i64,
    /// Unix mode, file type included.
    pub mode: u32,
    pub sizes: Sizes,
}

/// When an entry's sizes and checksum are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// Before its data.
    Known(Measured),
    /// Only after them. `zip64` where they may exceed 32 bits.
    Later { zip64: bool },
}

/// An entry's checksum and sizes in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    pub crc32: u32,
    pub packed: u64,
    pub size: u64,
}

const UTF8: u16 = 1 << 11;
const DESCRIPTOR: u16 = 1 << 3;
const VERSION_DEFLATE: u16 = 20;
const VERSION_ZIP64: u16 = 45;
const MADE_BY_UNIX: u16 = 3 << 8;
const MAX_16: u64 = 0xFFFF;
const MAX_32: u64 = 0xFFFF_FFFF;

/// Appends what stands before an entry's data (section 4.3.7).
pub fn push_local_header(entry: &Entry<'_>, out: &mut Vec<u8>) {
    let (flags, measured, zip64) = match entry.sizes {
        Sizes::Known(measured) => (UTF8, measured, false),
        Sizes::Later { zip64 } => (UTF8 | DESCRIPTOR, Measured::default(), zip64),
    };
    let (packed, size) = if zip64 { (MAX_32, MAX_32) } else { (measured.packed, measured.size) };
    let (date, time) = dos_time(entry.modified);
    put32(out, 0x0403_4B50);
    put16(out, if zip64 { VERSION_ZIP64 } else { VERSION_DEFLATE });
    put16(out, flags);
    put16(out, method_code(entry.method));
    put16(out, time);
    put16(out, date);
    put32(out, measured.crc32);
    put32(out, clamp32(packed));
    put32(out, clamp32(size));
    put16(out, entry.name.len() as u16);
    put16(out, TIME_FIELD + if zip64 { 20 } else { 0 });
    out.extend_from_slice(entry.name.as_bytes());
    if zip64 {
        put16(out, 0x0001);
        put16(out, 16);
        put64(out, 0);
        put64(out, 0);
    }
    push_time_field(entry.modified, out);
}

/// Appends what stands after data whose sizes were not known before.
pub fn push_descriptor(measured: Measured, zip64: bool, out: &mut Vec<u8>) {
    put32(out, 0x0807_4B50);
    put32(out, measured.crc32);
    if zip64 {
        put64(out, measured.packed);
        put64(out, measured.size);
    } else {
        put32(out, clamp32(measured.packed));
        put32(out, clamp32(measured.size));
    }
}

/// Appends an entry's record in the directory at the end (section 4.3.12). `offset` is where its local header began.
pub fn push_central_record(entry: &Entry<'_>, measured: Measured, offset: u64, out: &mut Vec<u8>) {
    let wide: Vec<u64> = [measured.size, measured.packed, offset].into_iter().filter(|n| *n >= MAX_32).collect();
    let declared_zip64 = entry.sizes == Sizes::Later { zip64: true };
    let version = if declared_zip64 || !wide.is_empty() { VERSION_ZIP64 } else { VERSION_DEFLATE };
    let flags = UTF8 | if matches!(entry.sizes, Sizes::Later { .. }) { DESCRIPTOR } else { 0 };
    let (date, time) = dos_time(entry.modified);
    put32(out, 0x0201_4B50);
    put16(out, MADE_BY_UNIX | version);
    put16(out, version);
    put16(out, flags);
    put16(out, method_code(entry.method));
    put16(out, time);
    put16(out, date);
    put32(out, measured.crc32);
    put32(out, clamp32(measured.packed));
    put32(out, clamp32(measured.size));
    put16(out, entry.name.len() as u16);
    put16(out, TIME_FIELD + if wide.is_empty() { 0 } else { 4 + 8 * wide.len() as u16 });
    put16(out, 0); // comment
    put16(out, 0); // disk
    put16(out, 0); // internal attributes
    let folder_attribute = if entry.name.ends_with('/') { 0x10 } else { 0 };
    put32(out, (entry.mode << 16) | folder_attribute);
    put32(out, clamp32(offset));
    out.extend_from_slice(entry.name.as_bytes());
    if !wide.is_empty() {
        put16(out, 0x0001);
        put16(out, 8 * wide.len() as u16);
        for number in wide {
            put64(out, number);
        }
    }
    push_time_field(entry.modified, out);
}

/// Appends the end of the archive: `entries` records of `size` bytes in all, which began at `offset`
/// (sections 4.3.14 to 4.3.16).
pub fn push_end(entries: u64, size: u64, offset: u64, out: &mut Vec<u8>) {
    if entries >= MAX_16 || size >= MAX_32 || offset >= MAX_32 {
        put32(out, 0x0606_4B50);
        put64(out, 44);
        put16(out, MADE_BY_UNIX | VERSION_ZIP64);
        put16(out, VERSION_ZIP64);
        put32(out, 0);
        put32(out, 0);
        put64(out, entries);
        put64(out, entries);
        put64(out, size);
        put64(out, offset);
        put32(out, 0x0706_4B50);
        put32(out, 0);
        put64(out, offset + size);
        put32(out, 1);
    }
    put32(out, 0x0605_4B50);
    put16(out, 0);
    put16(out, 0);
    put16(out, entries.min(MAX_16) as u16);
    put16(out, entries.min(MAX_16) as u16);
    put32(out, clamp32(size));
    put32(out, clamp32(offset));
    put16(out, 0);
}

/// The largest piece of one stored block of deflate (RFC 1951, section 3.2.4).
pub const STORED_BLOCK: usize = 0xFFFF;

/// Appends `data` as stored blocks of deflate, none of them the last.
pub fn push_stored_blocks(data: &[u8], out: &mut Vec<u8>) {
    for block in data.chunks(STORED_BLOCK) {
        let length = block.len() as u16;
        out.push(0);
        put16(out, length);
        put16(out, !length);
        out.extend_from_slice(block);
    }
}

/// The empty last block that ends a run of stored blocks.
pub const LAST_STORED_BLOCK: [u8; 5] = [1, 0, 0, 0xFF, 0xFF];

/// Length of [`push_time_field`].
const TIME_FIELD: u16 = 9;

/// The extended timestamp (Info-ZIP, `UT`): seconds since 1970, which DOS time cannot say.
fn push_time_field(modified: i64, out: &mut Vec<u8>) {
    put16(out, 0x5455);
    put16(out, 5);
    out.push(1);
    put32(out, modified.clamp(0, i64::from(i32::MAX)) as u32);
}

/// Date and time as MS-DOS kept them, two seconds exact, 1980 to 2107, here in UTC.
fn dos_time(modified: i64) -> (u16, u16) {
    let Ok(when) = time::OffsetDateTime::from_unix_timestamp(modified) else { return (0x21, 0) };
    let Ok(years) = u16::try_from(when.year() - 1980) else { return (0x21, 0) };
    if years > 127 {
        return (0x21, 0);
    }
    let date = (years << 9) | (u16::from(u8::from(when.month())) << 5) | u16::from(when.day());
    let time = (u16::from(when.hour()) << 11) | (u16::from(when.minute()) << 5) | u16::from(when.second() / 2);
    (date, time)
}

fn method_code(method: Method) -> u16 {
    match method {
        Method::Stored => 0,
        Method::Deflated => 8,
    }
}

fn clamp32(number: u64) -> u32 {
    number.min(MAX_32) as u32
}

fn put16(out: &mut Vec<u8>, number: u16) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn put32(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn put64(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dos_time_is_packed_and_clamped() {
        assert_eq!(dos_time(1_795_442_531), ((46 << 9) | (11 << 5) | 23, (14 << 11) | (2 << 5) | 5));
        assert_eq!(dos_time(0), (0x21, 0));
        assert_eq!(dos_time(i64::MAX), (0x21, 0));
        assert_eq!(dos_time(4_400_000_000), (0x21, 0));
    }

    #[test]
    fn small_archives_need_no_zip64() {
        let mut out = Vec::new();
        push_end(3, 100, 1000, &mut out);
        assert_eq!(out.len(), 22);
        let mut wide = Vec::new();
        push_end(65_535, 100, 1000, &mut wide);
        assert_eq!(wide.len(), 56 + 20 + 22);
    }

    #[test]
    fn far_entries_say_their_offset_in_64_bits() {
        let entry = Entry {
            name: "a",
            method: Method::Stored,
            modified: 0,
            mode: 0o100_644,
            sizes: Sizes::Known(Measured::default()),
        };
        let mut near = Vec::new();
        push_central_record(&entry, Measured::default(), 1, &mut near);
        let mut far = Vec::new();
        push_central_record(&entry, Measured::default(), 5_000_000_000, &mut far);
        assert_eq!(far.len(), near.len() + 12);
        assert_eq!(far[far.len() - 17..far.len() - 9], 5_000_000_000_u64.to_le_bytes());
    }
}
