//! Colours as a browser writes them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::error::Fault;

/// A CSS colour: `#rgb`, `#rgba`, `#rrggbb`, `#rrggbbaa`, `rgb()`, `rgba()`, `hsl()` or `hsla()` with plain numbers, or
/// one of the 148 names and `transparent`; at most 64 characters, kept as written.
///
/// The contract takes any text. Here it is checked, because the text ends up in the style of a page on which people
/// enter card numbers, where anything else than a colour is an injection.
///
/// ```
/// use perfectpay::Colour;
///
/// assert_eq!("#212E46".parse::<Colour>()?.as_str(), "#212E46");
/// assert!("rgb(33 46 70 / 50%)".parse::<Colour>().is_ok());
/// assert_eq!("url(//example.com)".parse::<Colour>().unwrap_err().code(), "branding.colour");
/// # Ok::<(), perfectpay::Fault>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Colour(Box<str>);

const MAX_LENGTH: usize = 64;

impl Colour {
    /// The colour's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The contract's built-in theme.
    pub(super) fn theme() -> Self {
        Self("#212E46".into())
    }
}

fn is_hex(text: &str) -> bool {
    text.strip_prefix('#').is_some_and(|d| matches!(d.len(), 3 | 4 | 6 | 8) && d.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// A decimal number, perhaps with a sign, a per cent sign or a unit of angle.
fn is_number(text: &str) -> bool {
    let text = ["%", "deg"].iter().find_map(|unit| text.strip_suffix(unit)).unwrap_or(text);
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    match text.split_once('.') {
        Some((whole, fraction)) => digits(whole) && !fraction.is_empty() && digits(fraction),
        None => !text.is_empty() && digits(text),
    }
}

/// Three channels and perhaps an opacity, separated by commas throughout, or by spaces with `/` before the opacity.
fn is_function(text: &str) -> bool {
    let Some((name, arguments)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) else {
        return false;
    };
    if !["rgb", "rgba", "hsl", "hsla"].iter().any(|known| name.eq_ignore_ascii_case(known)) {
        return false;
    }
    if arguments.contains(',') {
        let count = arguments.split(',').count();
        return matches!(count, 3 | 4) && arguments.split(',').all(|a| is_number(a.trim_matches(' ')));
    }
    let (channels, opacity) = arguments.split_once('/').unwrap_or((arguments, "1"));
    let mut channels = channels.split(' ').filter(|channel| !channel.is_empty());
    let three = channels.by_ref().take(3).filter(|channel| is_number(channel)).count() == 3;
    three && channels.next().is_none() && is_number(opacity.trim_matches(' '))
}

fn is_name(text: &str) -> bool {
    NAMES.binary_search(&text.to_ascii_lowercase().as_str()).is_ok()
}

impl FromStr for Colour {
    type Err = Fault;

    /// Parses a colour.
    ///
    /// # Errors
    ///
    /// `branding.colour`.
    fn from_str(text: &str) -> Result<Self, Fault> {
        if text.len() > MAX_LENGTH || !(is_hex(text) || is_function(text) || is_name(text)) {
            return Err(Fault::new("branding.colour", "must be a CSS colour"));
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<&str> for Colour {
    type Error = Fault;

    fn try_from(text: &str) -> Result<Self, Fault> {
        text.parse()
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Colour {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::json::parsed(deserializer)
    }
}

/// The named colours of CSS Color 4, and `transparent`; sorted, because they are searched.
#[rustfmt::skip]
const NAMES: [&str; 149] = [
    "aliceblue", "antiquewhite", "aqua", "aquamarine", "azure", "beige", "bisque", "black", "blanchedalmond", "blue",
    "blueviolet", "brown", "burlywood", "cadetblue", "chartreuse", "chocolate", "coral", "cornflowerblue", "cornsilk",
    "crimson", "cyan", "darkblue", "darkcyan", "darkgoldenrod", "darkgray", "darkgreen", "darkgrey", "darkkhaki",
    "darkmagenta", "darkolivegreen", "darkorange", "darkorchid", "darkred", "darksalmon", "darkseagreen",
    "darkslateblue", "darkslategray", "darkslategrey", "darkturquoise", "darkviolet", "deeppink", "deepskyblue",
    "dimgray", "dimgrey", "dodgerblue", "firebrick", "floralwhite", "forestgreen", "fuchsia", "gainsboro",
    "ghostwhite", "gold", "goldenrod", "gray", "green", "greenyellow", "grey", "honeydew", "hotpink", "indianred",
    "indigo", "ivory", "khaki", "lavender", "lavenderblush", "lawngreen", "lemonchiffon", "lightblue", "lightcoral",
    "lightcyan", "lightgoldenrodyellow", "lightgray", "lightgreen", "lightgrey", "lightpink", "lightsalmon",
    "lightseagreen", "lightskyblue", "lightslategray", "lightslategrey", "lightsteelblue", "lightyellow", "lime",
    "limegreen", "linen", "magenta", "maroon", "mediumaquamarine", "mediumblue", "mediumorchid", "mediumpurple",
    "mediumseagreen", "mediumslateblue", "mediumspringgreen", "mediumturquoise", "mediumvioletred", "midnightblue",
    "mintcream", "mistyrose", "moccasin", "navajowhite", "navy", "oldlace", "olive", "olivedrab", "orange",
    "orangered", "orchid", "palegoldenrod", "palegreen", "paleturquoise", "palevioletred", "papayawhip", "peachpuff",
    "peru", "pink", "plum", "powderblue", "purple", "rebeccapurple", "red", "rosybrown", "royalblue", "saddlebrown",
    "salmon", "sandybrown", "seagreen", "seashell", "sienna", "silver", "skyblue", "slateblue", "slategray",
    "slategrey", "snow", "springgreen", "steelblue", "tan", "teal", "thistle", "tomato", "transparent", "turquoise",
    "violet", "wheat", "white", "whitesmoke", "yellow", "yellowgreen",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_colour_is_taken_as_written() {
        for text in [
            "#abc",
            "#ABCD",
            "#212E46",
            "#212e4680",
            "rgb(1,2,3)",
            "rgb(1, 2, 3)",
            "RGBA(1, 2, 3, .5)",
            "rgb(1 2 3)",
            "rgb(1 2 3 / 50%)",
            "hsl(120deg, 50%, 25%)",
            "hsla(-120, 50%, 25%, 0.5)",
            "rebeccapurple",
            "Tomato",
            "transparent",
        ] {
            assert_eq!(text.parse::<Colour>().unwrap().as_str(), text);
        }
        assert_eq!(Colour::theme().as_str().parse::<Colour>().unwrap(), Colour::theme());
    }

    #[test]
    fn what_is_not_a_colour_is_refused() {
        for text in [
            "",
            "#",
            "#ab",
            "#abcde",
            "#ggg",
            "212E46",
            "blurple",
            " red",
            "red;",
            "rgb",
            "rgb()",
            "rgb(1,2)",
            "rgb(1,2,3,4,5)",
            "rgb(1,2,)",
            "rgb(1 2 3 4)",
            "rgb(1 2 3 /)",
            "rgb(1,2 3)",
            "rgb(1,2,3",
            "rgb(a,b,c)",
            "rgb(var(--x),2,3)",
            "rgb(1e3,2,3)",
            "rgb(-,2,3)",
            "rgb(1.,2,3)",
            "rgb(.,2,3)",
            "rgb(NaN,2,3)",
            "url(x)",
            "expression(1,2,3)",
            "rgb(1,2,3)}body{display:none",
            "#fff;background:url(//x)",
            "rgb(1,2,33333333333333333333333333333333333333333333333333333333)",
        ] {
            assert_eq!(text.parse::<Colour>().unwrap_err().code(), "branding.colour", "{text}");
        }
    }

    #[test]
    fn the_names_are_sorted_and_all_are_found() {
        assert!(NAMES.is_sorted());
        assert!(NAMES.iter().all(|name| is_name(&name.to_uppercase())));
    }
}
