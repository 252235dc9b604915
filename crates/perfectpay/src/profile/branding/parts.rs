//! The values that branding fields have.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::connector::{PaymentMethod, PaymentMethodType};
use crate::error::Fault;
use crate::list::{BoundedList, BoundedMap, null_is_default};
use crate::text::Text;
use crate::web_url::WebUrl;

/// Style rules: selector to property to value. At most 64 selectors of at most 64 properties each; every text at most
/// 255 characters.
pub type UiRules = BoundedMap<Text<255>, BoundedMap<Text<255>, Text<255>, 64>, 64>;

/// Rows that a payment link shows about its order; at most 64.
pub type TransactionDetails = BoundedList<TransactionDetail, 64>;

/// Texts for payment methods; at most 64 methods.
pub type MethodMessages = BoundedList<MethodMessage, 64>;

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ })+) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)+
        }
    )+ };
}

words! {
    /// Where a background image stands.
    BackgroundPosition {
        /// Left, vertically centred.
        Left = "left",
        /// The upper left corner.
        #[default]
        TopLeft = "top left",
        /// Top, horizontally centred.
        Top = "top",
        /// The upper right corner.
        TopRight = "top right",
        /// Right, vertically centred.
        Right = "right",
        /// The lower right corner.
        BottomRight = "bottom right",
        /// Bottom, horizontally centred.
        Bottom = "bottom",
        /// The lower left corner.
        BottomLeft = "bottom left",
        /// Centred both ways.
        Center = "center",
    }

    /// Where the details of the order stand on the page.
    DetailsLayout {
        /// The first layout.
        #[default]
        Layout1 = "layout1",
        /// The second layout.
        Layout2 = "layout2",
    }

    /// Where the labels of the form stand.
    LabelType {
        /// Above their fields.
        #[default]
        Above = "above",
        /// In their fields, until something is entered.
        Floating = "floating",
        /// Nowhere.
        Never = "never",
    }

    /// When the terms of a card payment are shown.
    ShowTerms {
        /// Always.
        Always = "always",
        /// When the payment form finds them needed.
        #[default]
        Auto = "auto",
        /// Never.
        Never = "never",
    }

    /// Which text stands at a payment method.
    MessageMode {
        /// The payment form's own.
        #[default]
        Default = "default_sdk_message",
        /// The one given here.
        Custom = "custom_message",
        /// None.
        Hidden = "hidden",
    }
}

/// The image behind a payment link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BackgroundImage {
    /// Where the image is.
    pub url: WebUrl,
    /// Where it stands; top left unless stated.
    #[serde(default, deserialize_with = "null_is_default")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<BackgroundPosition>"))]
    pub position: BackgroundPosition,
    /// How large it is; its own size unless stated.
    pub size: Option<BackgroundSize>,
}

/// How large a background image is. In JSON one string: `cover`, `contain`, `50%` or `120px`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BackgroundSize {
    /// As large as it takes to fill the page.
    Cover,
    /// As large as fits the page.
    Contain,
    /// So many per cent of the page.
    Percent(u32),
    /// So many pixels.
    Pixels(u32),
}

impl FromStr for BackgroundSize {
    type Err = Fault;

    /// Parses a size.
    ///
    /// # Errors
    ///
    /// `branding.size`.
    fn from_str(text: &str) -> Result<Self, Fault> {
        // `parse` alone would take a sign.
        let number = |digits: &str| digits.parse().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()));
        let size = match text {
            "cover" => Some(Self::Cover),
            "contain" => Some(Self::Contain),
            _ => match text.strip_suffix('%') {
                Some(digits) => number(digits).map(Self::Percent),
                None => text.strip_suffix("px").and_then(number).map(Self::Pixels),
            },
        };
        size.ok_or_else(|| Fault::new("branding.size", "must be `cover`, `contain`, or a number with `%` or `px`"))
    }
}

impl fmt::Display for BackgroundSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cover => f.write_str("cover"),
            Self::Contain => f.write_str("contain"),
            Self::Percent(number) => write!(f, "{number}%"),
            Self::Pixels(number) => write!(f, "{number}px"),
        }
    }
}

impl Serialize for BackgroundSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BackgroundSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::json::parsed(deserializer)
    }
}

/// The texts of one payment method.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "MethodMessageForm")]
pub struct MethodMessage {
    /// The payment method.
    pub payment_method: PaymentMethod,
    /// The texts of its types; at most 64.
    pub payment_method_types: BoundedList<TypeMessage, 64>,
}

#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct MethodMessageForm {
    payment_method: PaymentMethod,
    payment_method_types: BoundedList<TypeMessage, 64>,
}

impl TryFrom<MethodMessageForm> for MethodMessage {
    type Error = crate::json::Marked;

    fn try_from(form: MethodMessageForm) -> Result<Self, Self::Error> {
        for (at, entry) in form.payment_method_types.iter().enumerate() {
            if !entry.payment_method_type.methods().contains(&form.payment_method) {
                let fault = Fault::new("branding.method_mismatch", "must be a type of the payment method");
                return Err(fault.at(format!("payment_method_types[{at}].payment_method_type")).into());
            }
        }
        Ok(Self { payment_method: form.payment_method, payment_method_types: form.payment_method_types })
    }
}

/// The text of one type of a payment method.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TypeMessage {
    /// The type, which must belong to the method.
    pub payment_method_type: PaymentMethodType,
    /// The text.
    pub message: CustomMessage,
}

/// A text with the choice of showing it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CustomMessage {
    /// The text; needed even where it is not shown.
    pub value: Text<255>,
    /// What is shown; the payment form's own text unless stated.
    #[serde(default, deserialize_with = "null_is_default")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<MessageMode>"))]
    pub display_mode: MessageMode,
}

/// One row about the order of a payment link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TransactionDetail {
    /// What the row is about.
    pub key: Text<255>,
    /// What it says.
    pub value: Text<255>,
    /// How it looks.
    pub ui_configuration: Option<TransactionDetailStyle>,
}

/// How a row about the order looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct TransactionDetailStyle {
    /// Its place among the rows.
    pub position: Option<i8>,
    /// Whether what it is about is bold.
    pub is_key_bold: Option<bool>,
    /// Whether what it says is bold.
    pub is_value_bold: Option<bool>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::json::from_value;

    #[test]
    fn a_background_image_stands_top_left_unless_stated() {
        for body in [
            json!({"url": "https://example.com/a.png"}),
            json!({"url": "https://example.com/a.png", "position": null, "size": null}),
        ] {
            let image: BackgroundImage = from_value(body).unwrap();
            assert_eq!((image.position, image.size), (BackgroundPosition::TopLeft, None));
        }
        let body = json!({"url": "https://example.com/a.png", "position": "bottom right", "size": "120px"});
        let image: BackgroundImage = from_value(body.clone()).unwrap();
        assert_eq!((image.position, image.size), (BackgroundPosition::BottomRight, Some(BackgroundSize::Pixels(120))));
        assert_eq!(serde_json::to_value(image).unwrap(), body);
    }

    #[test]
    fn every_position_of_the_contract_is_known() {
        for word in ["left", "top left", "top", "top right", "right", "bottom right", "bottom", "bottom left", "center"]
        {
            let position: BackgroundPosition = from_value(Value::from(word)).unwrap();
            assert_eq!(serde_json::to_value(position).unwrap(), word);
        }
    }

    #[test]
    fn a_size_is_one_string() {
        for text in ["cover", "contain", "0%", "4294967295px"] {
            assert_eq!(text.parse::<BackgroundSize>().unwrap().to_string(), text);
        }
        for text in ["", "px", "%", "10", "+1%", "-1%", "1.5%", "4294967296px", "10 px", "auto"] {
            assert_eq!(text.parse::<BackgroundSize>().unwrap_err().code(), "branding.size", "{text}");
        }
    }
}
