//! An address as a QR code of half blocks, for a phone to scan.

use qrcode::types::Color;
use qrcode::{EcLevel, QrCode};

/// Light modules around the code (ISO/IEC 18004 section 6.3.8).
const QUIET: usize = 4;

/// A QR code as rows of text, two modules high each, light margin included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qr {
    pub rows: Vec<String>,
    /// Columns of every row.
    pub width: usize,
}

impl Qr {
    /// The code for `url`. An address without a path is written in capitals, which mean the same (RFC 3986 section
    /// 6.2.2.1) and make a smaller code. With `ink`, blocks are drawn where modules are dark, for dark ink on a light
    /// ground; without, where they are light, for a terminal whose colours we leave alone and whose ground is dark.
    pub fn new(url: &str, ink: bool) -> Option<Self> {
        let text =
            if url.bytes().filter(|b| *b == b'/').count() == 2 { url.to_ascii_uppercase() } else { url.to_owned() };
        let code = QrCode::with_error_correction_level(text.as_bytes(), EcLevel::L).ok()?;
        let (modules, side) = (code.to_colors(), code.width());
        let drawn = |x: usize, y: usize| {
            let inside = (QUIET..QUIET + side).contains(&x) && (QUIET..QUIET + side).contains(&y);
            let dark = inside && modules.get((y - QUIET) * side + (x - QUIET)) == Some(&Color::Dark);
            dark == ink
        };
        let full = side + 2 * QUIET;
        // An odd height leaves half a row over. Its lower half is light: a little more margin below.
        let rows = (0..full.div_ceil(2)).map(|row| {
            (0..full)
                .map(|x| match (drawn(x, 2 * row), drawn(x, 2 * row + 1)) {
                    (true, true) => '█',
                    (true, false) => '▀',
                    (false, true) => '▄',
                    (false, false) => ' ',
                })
                .collect()
        });
        Some(Self { rows: rows.collect(), width: full })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_small_for_an_ordinary_address() {
        let qr = Qr::new("http://192.168.1.23:8080", true).unwrap();
        assert_eq!((qr.width, qr.rows.len()), (29, 15));
        assert!(qr.rows.iter().all(|row| row.chars().count() == 29));
    }

    #[test]
    fn has_a_quiet_zone_of_four_modules_all_around() {
        let qr = Qr::new("http://192.168.1.23:8080", true).unwrap();
        for row in [&qr.rows[0], &qr.rows[1], &qr.rows[13], &qr.rows[14]] {
            assert!(row.trim().chars().all(|c| c == ' ' || row == &qr.rows[13] || row == &qr.rows[14]), "{row:?}");
        }
        assert!(qr.rows[14].trim().is_empty());
        assert!(qr.rows.iter().all(|row| row.starts_with("    ") && row.ends_with("    ")));
        // The finder pattern's upper edge (ISO/IEC 18004 section 6.3.3).
        assert_eq!(qr.rows[2].chars().skip(4).take(7).collect::<String>(), "█▀▀▀▀▀█");
        let light = Qr::new("http://192.168.1.23:8080", false).unwrap();
        assert_eq!(light.rows[0], "█".repeat(29));
    }
}
