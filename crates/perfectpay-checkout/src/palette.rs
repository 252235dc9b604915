//! The page's colours: from the branding's few to all that the page needs, in light and in dark, each text readable.
//!
//! Contrast is WCAG 2.2's ratio `(L1 + 0.05) / (L2 + 0.05)` of relative luminances
//! (<https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio>). What comes out is written as `#rrggbb`, whatever form came in.

use std::fmt;

use color::{AlphaColor, OpaqueColor, Srgb};
use perfectpay::{Branding, Colour};

use crate::finding::Finding;

/// The least contrast of a text: WCAG 2.2, success criterion 1.4.3 (level AA).
const TEXT: f32 = 4.5;
/// The least contrast of a control's boundary: WCAG 2.2, success criterion 1.4.11.
const CONTROL: f32 = 3.0;

/// An opaque colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rgb([u8; 3]);

const WHITE: Rgb = Rgb([255, 255, 255]);
const BLACK: Rgb = Rgb::BLACK;

impl Rgb {
    /// What the payment form stands on in light mode.
    pub(crate) const SURFACE: Self = WHITE;
    pub(crate) const BLACK: Self = Self([0, 0, 0]);

    /// A branding's colour, laid over `behind` where it is translucent; `None` where a browser would not take it.
    pub(crate) fn of(colour: &Colour, behind: Self) -> Option<Self> {
        let parsed: AlphaColor<Srgb> = color::parse_color(colour.as_str()).ok()?.to_alpha_color();
        let [r, g, b, alpha] = parsed.components;
        let front = OpaqueColor::<Srgb>::new([r, g, b].map(|channel| channel.clamp(0.0, 1.0)));
        let front = front.to_rgba8();
        Some(Self([front.r, front.g, front.b]).mix(behind, 1.0 - alpha.clamp(0.0, 1.0)))
    }

    /// This colour with a share of another, channel by channel as a browser lays one over the other.
    fn mix(self, other: Self, share: f32) -> Self {
        let mut channels = self.0;
        for (from, to) in channels.iter_mut().zip(other.0) {
            *from = channel(f32::from(*from) + (f32::from(to) - f32::from(*from)) * share);
        }
        Self(channels)
    }

    fn luminance(self) -> f32 {
        let [r, g, b] = self.0.map(|channel| f32::from(channel) / 255.0);
        OpaqueColor::<Srgb>::new([r, g, b]).relative_luminance()
    }

    /// The ratio of contrast, 1 to 21; the same both ways.
    pub(crate) fn contrast(self, other: Self) -> f32 {
        let (a, b) = (self.luminance(), other.luminance());
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    /// White or the darker ink, whichever reads better here; black where the ink would not do. One of white and black
    /// always reaches 4.58.
    fn ink(self, dark: Self) -> Self {
        if WHITE.contrast(self) >= TEXT {
            return WHITE;
        }
        if dark.contrast(self) >= TEXT { dark } else { BLACK }
    }

    /// This colour, moved towards `end` as far as it takes to reach the contrast on all of `behind`.
    fn until(self, end: Self, needed: f32, behind: &[Self]) -> Self {
        (0..=20_u8)
            .map(|step| self.mix(end, f32::from(step) / 20.0))
            .find(|colour| behind.iter().all(|other| colour.contrast(*other) >= needed))
            .unwrap_or(end)
    }
}

/// A channel's number, rounded; what is out of range comes from the arithmetic of floats alone.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=255 and whole just before")]
fn channel(value: f32) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

impl fmt::Display for Rgb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [r, g, b] = self.0;
        write!(f, "#{r:02x}{g:02x}{b:02x}")
    }
}

/// The colours of one mode.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scheme {
    canvas: Rgb,
    on_canvas: Rgb,
    surface: Rgb,
    ink: Rgb,
    muted: Rgb,
    line: Rgb,
    panel: Rgb,
    on_panel: Rgb,
    muted_on_panel: Rgb,
    line_on_panel: Rgb,
    accent: Rgb,
    button: Rgb,
    on_button: Rgb,
    button_line: Rgb,
}

impl fmt::Display for Scheme {
    /// The custom properties of a style sheet.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, colour) in [
            ("canvas", self.canvas),
            ("on-canvas", self.on_canvas),
            ("surface", self.surface),
            ("ink", self.ink),
            ("muted", self.muted),
            ("line", self.line),
            ("panel", self.panel),
            ("on-panel", self.on_panel),
            ("muted-on-panel", self.muted_on_panel),
            ("line-on-panel", self.line_on_panel),
            ("accent", self.accent),
            ("button", self.button),
            ("on-button", self.on_button),
            ("button-line", self.button_line),
        ] {
            write!(f, "--{name}:{colour};")?;
        }
        Ok(())
    }
}

/// What a mode begins with.
struct Base {
    canvas: Rgb,
    surface: Rgb,
    ink: Rgb,
    muted: Rgb,
    line: Rgb,
    /// Where colours go that cannot be told from the surface.
    end: Rgb,
}

const LIGHT: Base = Base {
    canvas: Rgb([0xf5, 0xf6, 0xf8]),
    surface: WHITE,
    ink: Rgb([0x15, 0x18, 0x1e]),
    muted: Rgb([0x5a, 0x62, 0x70]),
    line: Rgb([0xe2, 0xe5, 0xea]),
    end: BLACK,
};

const DARK: Base = Base {
    canvas: Rgb([0x0c, 0x0e, 0x12]),
    surface: Rgb([0x15, 0x18, 0x1e]),
    ink: Rgb([0xee, 0xf0, 0xf4]),
    muted: Rgb([0xa6, 0xae, 0xbb]),
    line: Rgb([0x2c, 0x31, 0x3a]),
    end: WHITE,
};

/// The contract's built-in theme.
const THEME: Rgb = Rgb([0x21, 0x2e, 0x46]);

/// The page's colours in both modes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Palette {
    pub(crate) light: Scheme,
    pub(crate) dark: Scheme,
}

/// A branding's colours in one mode.
#[derive(Debug, Clone, Copy)]
struct Asked {
    theme: Rgb,
    background: Option<Rgb>,
    button: Option<Rgb>,
    button_text: Option<Rgb>,
}

impl Palette {
    pub(crate) fn of(branding: &Branding, findings: &mut Vec<Finding>) -> Self {
        let light = asked(branding, LIGHT.surface, Some(findings));
        let dark = asked(branding, DARK.surface, None);
        Self { light: scheme(&LIGHT, light, false, Some(findings)), dark: scheme(&DARK, dark, true, None) }
    }
}

fn asked(branding: &Branding, behind: Rgb, mut findings: Option<&mut Vec<Finding>>) -> Asked {
    let mut read = |field: &'static str, colour: Option<&Colour>, behind: Rgb| {
        let colour = colour?;
        let rgb = Rgb::of(colour, behind);
        if let (None, Some(findings)) = (rgb, findings.as_mut()) {
            findings.push(Finding::ColourIgnored { field });
        }
        rgb
    };
    let theme = read("theme", Some(&branding.theme.value), behind).unwrap_or(THEME);
    let button = read("payment_button_colour", branding.payment_button_colour.value.as_ref(), behind);
    Asked {
        theme,
        background: read("background_colour", branding.background_colour.value.as_ref(), behind),
        button,
        button_text: read(
            "payment_button_text_colour",
            branding.payment_button_text_colour.value.as_ref(),
            button.unwrap_or(theme),
        ),
    }
}

fn scheme(base: &Base, asked: Asked, dark: bool, findings: Option<&mut Vec<Finding>>) -> Scheme {
    // In dark mode a large ground keeps its hue, but is no bright wall.
    let ground = |colour: Rgb| match dark {
        true if colour.contrast(WHITE) < TEXT => colour.mix(DARK.canvas, 0.86),
        true => colour.mix(DARK.canvas, 0.5),
        false => colour,
    };
    let canvas = asked.background.map_or(base.canvas, ground);
    let panel = ground(asked.background.unwrap_or(asked.theme));
    let on_panel = panel.ink(LIGHT.ink);
    let accent = asked.theme.until(base.end, TEXT, &[base.surface, base.canvas]);
    let button = asked.button.unwrap_or(if dark { accent } else { asked.theme });
    let on_button = match asked.button_text {
        Some(text) if text.contrast(button) >= TEXT => text,
        Some(text) => {
            let used = button.ink(LIGHT.ink);
            if let Some(findings) = findings {
                findings.push(Finding::LowContrast {
                    field: "payment_button_text_colour",
                    on: if asked.button.is_some() { "payment_button_colour" } else { "theme" },
                    ratio: text.contrast(button),
                    needed: TEXT,
                    used: used.to_string(),
                });
            }
            used
        }
        None => button.ink(LIGHT.ink),
    };
    Scheme {
        canvas,
        on_canvas: if asked.background.is_some() { canvas.ink(LIGHT.ink) } else { base.muted },
        surface: base.surface,
        ink: base.ink,
        muted: base.muted,
        line: base.line,
        panel,
        on_panel,
        muted_on_panel: on_panel.mix(panel, 0.28).until(on_panel, TEXT, &[panel]),
        line_on_panel: on_panel.mix(panel, 0.8),
        accent,
        button,
        on_button,
        button_line: button.until(base.end, CONTROL, &[base.surface]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use perfectpay::PaymentLinkConfigRequest;
    use proptest::prelude::*;

    fn branding(body: serde_json::Value) -> Branding {
        let request: PaymentLinkConfigRequest = perfectpay::json::from_value(body).unwrap();
        Branding::resolve(Some(&request), None, None, None)
    }

    #[test]
    fn contrast_is_what_the_standard_says() {
        for (a, b, ratio) in
            [(WHITE, BLACK, 21.0), (WHITE, WHITE, 1.0), (Rgb([0x77; 3]), WHITE, 4.48), (Rgb([0x76; 3]), WHITE, 4.54)]
        {
            assert!((a.contrast(b) - ratio).abs() < 0.005, "{a} on {b}: {}", a.contrast(b));
            assert!((b.contrast(a) - ratio).abs() < 0.005);
        }
    }

    #[test]
    fn a_translucent_colour_is_laid_over_what_is_behind() {
        let half: Colour = "rgb(0 0 0 / 50%)".parse().unwrap();
        assert_eq!(Rgb::of(&half, WHITE).unwrap().to_string(), "#808080");
        assert_eq!(Rgb::of(&"transparent".parse().unwrap(), WHITE), Some(WHITE));
    }

    #[test]
    fn a_button_text_that_cannot_be_read_is_replaced_and_told() {
        let branding =
            branding(serde_json::json!({"payment_button_colour": "#ffd400", "payment_button_text_colour": "#fff"}));
        let mut findings = Vec::new();
        let palette = Palette::of(&branding, &mut findings);
        assert_eq!(palette.light.on_button, LIGHT.ink);
        let [Finding::LowContrast { field, on, ratio, needed, used }] = findings.as_slice() else {
            panic!("{findings:?}");
        };
        assert_eq!((*field, *on, used.as_str()), ("payment_button_text_colour", "payment_button_colour", "#15181e"));
        assert!(*ratio < 1.5 && (*needed - 4.5).abs() < f32::EPSILON);
    }

    #[test]
    fn a_colour_that_no_browser_takes_is_told() {
        let mut findings = Vec::new();
        let palette = Palette::of(&branding(serde_json::json!({"theme": "rgb(1deg, 2, 3)"})), &mut findings);
        assert_eq!(findings, [Finding::ColourIgnored { field: "theme" }]);
        assert_eq!(palette.light.panel, THEME);
    }

    fn colour() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<[u8; 3]>().prop_map(|[r, g, b]| format!("#{r:02x}{g:02x}{b:02x}")),
            any::<[u8; 4]>().prop_map(|[r, g, b, a]| format!("#{r:02x}{g:02x}{b:02x}{a:02x}")),
            (0..360_u16, 0..=100_u8, 0..=100_u8).prop_map(|(h, s, l)| format!("hsl({h}deg, {s}%, {l}%)")),
        ]
    }

    proptest! {
        #[test]
        fn every_text_can_be_read_whatever_the_colours(
            theme in colour(),
            background in proptest::option::of(colour()),
            button in proptest::option::of(colour()),
            text in proptest::option::of(colour()),
        ) {
            let branding = branding(serde_json::json!({
                "theme": theme, "background_colour": background,
                "payment_button_colour": button, "payment_button_text_colour": text,
            }));
            let palette = Palette::of(&branding, &mut Vec::new());
            for scheme in [palette.light, palette.dark] {
                for (text, behind) in [
                    (scheme.ink, scheme.surface),
                    (scheme.muted, scheme.surface),
                    (scheme.accent, scheme.surface),
                    (scheme.on_canvas, scheme.canvas),
                    (scheme.on_panel, scheme.panel),
                    (scheme.muted_on_panel, scheme.panel),
                    (scheme.on_button, scheme.button),
                ] {
                    prop_assert!(text.contrast(behind) >= TEXT, "{text} on {behind}");
                }
                prop_assert!(scheme.button_line.contrast(scheme.surface) >= CONTROL);
            }
        }
    }
}
