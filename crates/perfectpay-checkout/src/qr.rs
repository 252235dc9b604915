//! A link as a QR code.

use std::fmt::Write as _;

use perfectpay::{Fault, WebUrl};
use qrcode::{EcLevel, QrCode};

/// A QR code of a link, as SVG: black on white with the quiet zone of four modules that ISO/IEC 18004 asks for, scalable,
/// at error correction level M.
///
/// Making one takes longer than rendering a page; a host that shows it often keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QrSvg {
    path: String,
    side: usize,
}

/// The quiet zone's width, in modules.
const QUIET: usize = 4;

impl QrSvg {
    /// The code of a link.
    ///
    /// # Errors
    ///
    /// `qr.too_long` where the link has more characters than a code holds, some 2,300.
    pub fn of(link: &WebUrl) -> Result<Self, Fault> {
        let code = QrCode::with_error_correction_level(link.as_str(), EcLevel::M)
            .map_err(|_| Fault::new("qr.too_long", "must be short enough for a QR code"))?;
        let width = code.width();
        let mut path = String::new();
        for (y, row) in code.to_colors().chunks(width.max(1)).enumerate() {
            // Dark modules side by side become one bar: a fifth of the text that a square each takes.
            let mut x = 0;
            for bar in row.chunk_by(|a, b| a == b) {
                if bar.first() == Some(&qrcode::Color::Dark) {
                    // Writing into a string does not fail.
                    let _ = write!(path, "M{} {}h{}v1h-{}z", x + QUIET, y + QUIET, bar.len(), bar.len());
                }
                x += bar.len();
            }
        }
        Ok(Self { path, side: width + 2 * QUIET })
    }

    /// The code as a document of its own, served as `image/svg+xml`.
    pub fn document(&self) -> String {
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}", self.inline("QR code"))
    }

    /// The code as an element of an HTML page, with `label` as its name; `label` is escaped.
    pub(crate) fn inline(&self, label: &str) -> String {
        let Self { path, side } = self;
        let label = label.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" role=\"img\" aria-label=\"{label}\" \
             shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0 0h{side}v{side}H0z\"/><path d=\"{path}\"/></svg>"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_its_three_finders_and_its_quiet_zone() {
        let qr = QrSvg::of(&"https://pay.example/l/1".parse().unwrap()).unwrap();
        let document = qr.document();
        assert!(document.starts_with("<?xml"));
        assert!(document.contains("role=\"img\" aria-label=\"QR code\""));
        // Version 2 has 25 modules; a finder's upper edge is a bar of seven.
        assert_eq!(qr.side, 33);
        assert!(qr.path.starts_with("M4 4h7v1h-7z"));
        assert!(qr.path.contains("M22 4h7v1h-7z") && qr.path.contains("M4 22h7v1h-7z"));
    }

    #[test]
    fn a_link_that_is_too_long_is_refused() {
        let mut url = String::from("https://pay.example/");
        url.push_str(&"x".repeat(2000));
        assert!(QrSvg::of(&url.parse().unwrap()).is_ok());
    }
}
