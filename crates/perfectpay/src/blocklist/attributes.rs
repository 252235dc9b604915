//! What a profile does not take by what is known of a card: looked at after the lists, and only while the guard is on.

use super::decide::Screening;
use crate::money::Country;
use crate::profile::{CardType, PaymentMethodBlocking};
use crate::text::Text;
use crate::words::words;

/// What is known of the cards that begin with a BIN. What is not known of them matches no rule.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CardInfo {
    /// Where they were issued.
    pub issuing_country: Option<Country>,
    /// How they are funded.
    pub card_type: Option<CardType>,
    /// Their subtype, by its word in the contract.
    pub card_subtype: Option<Text<64>>,
    /// Who issued them.
    pub issuer: Option<Text<255>>,
}

/// What the host knows of BINs: a table of its own, or one that it bought.
pub trait CardInfoSource {
    /// What is known of the cards that begin with these six digits; `None` where nothing is.
    fn card_info(&self, bin: &str) -> Option<CardInfo>;
}

impl<F: Fn(&str) -> Option<CardInfo>> CardInfoSource for F {
    fn card_info(&self, bin: &str) -> Option<CardInfo> {
        self(bin)
    }
}

words! { "snake_case"
    /// Why a card is declined.
    BlockReason {
        /// An entry of a list, or nothing is known of the BIN and the profile takes no such cards.
        BlockedBin,
        /// The country that issued it.
        BlockedIssuerCountry,
        /// How it is funded.
        BlockedCardType,
        /// Its subtype.
        BlockedCardSubtype,
        /// Who issued it.
        BlockedIssuer,
    }
}

/// What the lists and the profile's rules say of a card together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScreenedCard {
    /// What the lists say.
    pub screening: Screening,
    /// Why the card is declined; `None` where it passes.
    pub reason: Option<BlockReason>,
}

impl PaymentMethodBlocking {
    /// Why a card of which so much is known is not taken: of several reasons the first in the order country, type,
    /// subtype, issuer. Of a card of which nothing is known, whether the profile takes such cards.
    pub fn blocks_card(&self, info: Option<&CardInfo>) -> Option<BlockReason> {
        let rules = self.card.as_ref()?;
        let Some(info) = info else {
            return Some(BlockReason::BlockedBin).filter(|_| rules.block_if_bin_info_unavailable);
        };
        let issuing_country = info.issuing_country.as_ref().is_some_and(|known| rules.issuing_country.contains(known));
        let card_type = info.card_type.as_ref().is_some_and(|known| rules.card_types.contains(known));
        let card_subtype = info.card_subtype.as_ref().is_some_and(|known| rules.card_subtypes.contains(known));
        let issuer = info.issuer.as_ref().is_some_and(|known| rules.issuers.contains(known));
        let reasons = [
            (issuing_country, BlockReason::BlockedIssuerCountry),
            (card_type, BlockReason::BlockedCardType),
            (card_subtype, BlockReason::BlockedCardSubtype),
            (issuer, BlockReason::BlockedIssuer),
        ];
        reasons.into_iter().find(|(holds, _)| *holds).map(|(_, reason)| reason)
    }

    /// Why a card in a wallet that is funded so is not taken. Lists do not apply to wallets.
    pub fn blocks_wallet(&self, card_type: Option<CardType>) -> Option<BlockReason> {
        let rules = self.wallet.as_ref()?;
        card_type.filter(|known| rules.card_types.contains(known)).map(|_| BlockReason::BlockedCardType)
    }
}

impl ScreenedCard {
    /// The lists first, then the profile's rules, and neither while the guard is off. The source is asked only where the
    /// lists let the card pass and there are rules. An entry that allows is an exception from the lists, not from the
    /// profile's rules.
    pub fn new(
        screening: Screening,
        rules: Option<&PaymentMethodBlocking>,
        bin: &str,
        source: &dyn CardInfoSource,
    ) -> Self {
        let reason = if screening.is_blocked() {
            Some(BlockReason::BlockedBin)
        } else {
            let rules = rules.filter(|rules| screening.guard && rules.card.is_some());
            rules.and_then(|rules| rules.blocks_card(source.card_info(bin).as_ref()))
        };
        Self { screening, reason }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::blocklist::{BlockAction, BlockKind, BlockScope, Matched, MatchedValue};

    fn rules(json: &str) -> PaymentMethodBlocking {
        crate::json::from_slice(json.as_bytes()).unwrap()
    }

    fn info() -> CardInfo {
        CardInfo {
            issuing_country: Some("DE".parse().unwrap()),
            card_type: Some(CardType::Debit),
            card_subtype: Some("business".parse().unwrap()),
            issuer: Some("Acme Bank".parse().unwrap()),
        }
    }

    #[test]
    fn country_then_type_then_subtype_then_issuer() {
        let parts = [
            (r#""issuing_country": ["DE"]"#, BlockReason::BlockedIssuerCountry),
            (r#""card_types": ["debit"]"#, BlockReason::BlockedCardType),
            (r#""card_subtypes": ["business"]"#, BlockReason::BlockedCardSubtype),
            (r#""issuers": ["Acme Bank"]"#, BlockReason::BlockedIssuer),
        ];
        for first in 0..parts.len() {
            let json: Vec<&str> = parts[first..].iter().map(|(json, _)| *json).collect();
            let rules = rules(&format!(r#"{{"card": {{{}}}}}"#, json.join(", ")));
            assert_eq!(rules.blocks_card(Some(&info())), Some(parts[first].1));
            // What is not known of a card matches nothing.
            assert_eq!(rules.blocks_card(Some(&CardInfo::default())), None);
            assert_eq!(rules.blocks_card(None), None);
        }
        let others = r#"{"card": {"issuing_country": ["US"], "card_types": ["credit"], "issuers": ["acme bank"]}}"#;
        assert_eq!(rules(others).blocks_card(Some(&info())), None);
        assert_eq!(rules("{}").blocks_card(Some(&info())), None);
    }

    #[test]
    fn a_card_of_which_nothing_is_known_passes_unless_the_profile_says_otherwise() {
        let strict = rules(r#"{"card": {"block_if_bin_info_unavailable": true}}"#);
        assert_eq!(strict.blocks_card(None), Some(BlockReason::BlockedBin));
        assert_eq!(strict.blocks_card(Some(&CardInfo::default())), None);
    }

    #[test]
    fn of_a_wallet_only_the_type_is_looked_at() {
        let rules = rules(r#"{"wallet": {"card_types": ["credit"]}, "card": {"card_types": ["debit"]}}"#);
        assert_eq!(rules.blocks_wallet(Some(CardType::Credit)), Some(BlockReason::BlockedCardType));
        assert_eq!(rules.blocks_wallet(Some(CardType::Debit)), None);
        assert_eq!(rules.blocks_wallet(None), None);
    }

    #[test]
    fn the_lists_come_first_and_neither_counts_while_the_guard_is_off() {
        let rules = rules(r#"{"card": {"card_types": ["debit"]}}"#);
        let known = |_: &str| Some(info());
        let unasked = |_: &str| -> Option<CardInfo> { panic!("nobody needs to know") };
        let entry = |action| Matched {
            kind: BlockKind::CardBin,
            scope: BlockScope::Merchant,
            action,
            value: MatchedValue::Prefix { digits: 411_111, length: 6 },
        };
        let screened = |guard, action: Option<BlockAction>, rules: Option<_>, source: &dyn CardInfoSource| {
            let matched = action.map(entry);
            let screening = Screening { guard, matched, fingerprint: None, staleness: Duration::ZERO };
            ScreenedCard::new(screening, rules, "411111", source).reason
        };
        let (block, allow) = (Some(BlockAction::Block), Some(BlockAction::Allow));
        assert_eq!(screened(true, block, Some(&rules), &unasked), Some(BlockReason::BlockedBin));
        assert_eq!(screened(false, block, Some(&rules), &unasked), None);
        assert_eq!(screened(true, None, None, &unasked), None);
        assert_eq!(screened(true, None, Some(&rules), &known), Some(BlockReason::BlockedCardType));
        assert_eq!(screened(true, allow, Some(&rules), &known), Some(BlockReason::BlockedCardType));
        assert_eq!(screened(false, None, Some(&rules), &unasked), None);
    }
}
