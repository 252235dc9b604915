//! The shape that every closed vocabulary of the contract has.

/// Declares an enumeration whose JSON text and display text are its variants' names in the case given first; a variant
/// whose published text is another gives it behind `=`.
macro_rules! words {
    ($case:literal $(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident $(= $text:literal)?,)+ }) => {
        $(#[$meta])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
            strum::Display, strum::EnumString, strum::IntoStaticStr, strum::VariantArray,
        )]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(rename_all = $case)]
        #[strum(serialize_all = $case)]
        pub enum $name {
            $($(#[$doc])* $(#[serde(rename = $text)] #[strum(serialize = $text)])? $variant,)+
        }
    };
}

pub(crate) use words;

/// Checks that the words of a vocabulary are the published ones, in JSON and as text.
#[cfg(test)]
pub(crate) fn assert_published<T>(published: &str)
where
    T: strum::VariantArray + Copy + PartialEq + std::fmt::Debug + std::fmt::Display + std::str::FromStr,
    T: serde::Serialize + serde::de::DeserializeOwned + Into<&'static str>,
    <T as std::str::FromStr>::Err: std::fmt::Debug,
{
    let words: Vec<&str> = published.split_whitespace().collect();
    assert_eq!(T::VARIANTS.iter().map(|&v| v.into()).collect::<Vec<&str>>(), words);
    for (&variant, word) in T::VARIANTS.iter().zip(words) {
        let json = serde_json::Value::from(word);
        assert_eq!(variant.to_string(), word);
        assert_eq!(word.parse::<T>().unwrap(), variant);
        assert_eq!(serde_json::to_value(variant).unwrap(), json);
        assert_eq!(serde_json::from_value::<T>(json).unwrap(), variant);
    }
}
