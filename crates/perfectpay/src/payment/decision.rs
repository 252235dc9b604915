//! What was decided about a payment, and from what: enough to decide the same again.

use serde::{Deserialize, Serialize};

use crate::card_testing::GuardKeys;
use crate::error::{EntityKind, Fault};
use crate::id::{DecisionId, MerchantId, PaymentId, ProfileId, RoutingId};
use crate::routing::{
    Answer, BlockedCard, Candidate, Candidates, DecisionInputs, GuardReason, PaymentFacts, ProgramVersion, RetryPolicy,
    RouterRecord, SeenAccount, decide,
};
use crate::seal::Sealed;
use crate::stored::{State, Stored};
use crate::text::Text;
use crate::time::Timestamp;

/// A version of a routing program, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramUsed {
    /// The program.
    pub algorithm_id: RoutingId,
    /// Its version.
    pub version: u64,
}

/// What is kept of a decision: all that it was made from, and what it was. No card number is in it: of a card its
/// [truncated](crate::CardNumber::truncated) leading digits, and none of its last; what the guard against card testing
/// counts under are keyed digests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PaymentDecisionState {
    /// The payment's profile.
    pub profile_id: ProfileId,
    /// The payment.
    pub payment_id: PaymentId,
    /// What was known of the payment.
    pub facts: PaymentFacts,
    /// The card's fingerprint at the account, where its blocklist is on.
    pub fingerprint: Option<Text<64>>,
    /// What the guard against card testing said, if it had anything to say.
    pub guard: Option<GuardReason>,
    /// Why the card was blocked, and by which entry.
    pub blocked: Option<BlockedCard>,
    /// The program that was active; null where none was.
    pub program: Option<ProgramUsed>,
    /// The connector accounts of the profile as they were then, each with its verdict for this payment.
    pub accounts: Vec<SeenAccount>,
    /// When an attempt is followed by another one.
    pub retry: RetryPolicy,
    /// What an attempt that fails is counted under.
    pub guard_keys: GuardKeys,
    /// What was decided.
    pub answer: Answer,
}

impl State for PaymentDecisionState {
    const KIND: EntityKind = EntityKind::PaymentDecision;
    type Id = DecisionId;

    fn sealed_fields(&mut self) -> Vec<(&'static str, &mut Sealed)> {
        let Self {
            profile_id: _,
            payment_id: _,
            fingerprint: _,
            facts: _,
            guard: _,
            blocked: _,
            program: _,
            accounts: _,
            retry: _,
            guard_keys: _,
            answer: _,
        } = self;
        Vec::new()
    }
}

impl PaymentDecisionState {
    /// Decides the same again: from what is kept, and the program's version, which never changes. Asks nothing else.
    ///
    /// # Errors
    ///
    /// Those of compiling the program, which was compiled when it was saved.
    pub fn replay(&self, program: Option<ProgramVersion>) -> Result<Answer, Fault> {
        let seen = RouterRecord { profile: self.profile_id.clone(), program, accounts: self.accounts.clone() };
        let router = seen.router()?;
        let inputs = DecisionInputs {
            payment_id: &self.payment_id,
            facts: &self.facts,
            guard: self.guard,
            screening: self.blocked.as_ref(),
        };
        Ok(decide(&router, inputs))
    }

    /// The accounts that may be tried, in order.
    pub fn candidates(&self) -> impl Iterator<Item = Candidate<'_>> {
        let all = match &self.answer {
            Answer::Candidates(candidates) => Some(candidates),
            Answer::Declined { .. } => None,
        };
        all.into_iter().flat_map(Candidates::iter)
    }
}

/// A decision as it is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PaymentDecision {
    /// The id.
    pub decision_id: DecisionId,
    /// The merchant account.
    pub merchant_id: MerchantId,
    /// When it was made.
    pub created: Timestamp,
    /// What it was made from, and what it was, beside the other fields in JSON.
    #[serde(flatten)]
    pub made: PaymentDecisionState,
}

impl PaymentDecision {
    pub(crate) fn view(row: Stored<PaymentDecisionState>, merchant_id: MerchantId) -> Self {
        Self { decision_id: row.id, merchant_id, created: row.created_at, made: row.state }
    }
}

/// A decision that was made again.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Replayed {
    /// What was decided then.
    pub then: Answer,
    /// What is decided from the same.
    pub again: Answer,
}

impl Replayed {
    /// Whether both are the same, to the byte of their JSON.
    pub fn is_same(&self) -> bool {
        let (then, again) = (serde_json::to_vec(&self.then), serde_json::to_vec(&self.again));
        matches!((then, again), (Ok(then), Ok(again)) if then == again)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::blocklist::BlockReason;
    use crate::money::Money;
    use crate::routing::Ineligible;

    fn account(number: usize, fallback: bool, ineligible: Option<Ineligible>) -> SeenAccount {
        let (account, connector) = (format!("mca_{number}").parse().unwrap(), "stripe".parse().unwrap());
        SeenAccount { account, connector, fallback, ineligible }
    }

    /// A program of this kind over so many accounts.
    fn program(kind: usize, accounts: usize, version: u64) -> Option<ProgramVersion> {
        let choice = |number| json!({ "connector": "stripe", "merchant_connector_id": format!("mca_{number}") });
        let share = |number| if number == 0 { 100 - (accounts - 1) } else { 1 };
        if accounts == 0 || kind == 0 {
            return None;
        }
        let algorithm = match kind {
            1 => json!({ "type": "single", "data": choice(accounts - 1) }),
            2 => json!({ "type": "priority", "data": (0..accounts).rev().map(choice).collect::<Vec<_>>() }),
            _ => {
                let split = |number| json!({ "connector": choice(number), "split": share(number) });
                json!({ "type": "volume_split", "data": (0..accounts).map(split).collect::<Vec<_>>() })
            }
        };
        let algorithm: crate::routing::Algorithm = crate::json::from_value(algorithm).unwrap();
        Some(ProgramVersion { id: "routing_1".parse().unwrap(), version, algorithm: algorithm.into() })
    }

    proptest! {
        /// What is kept is enough: read back from its JSON, it decides the same, to the byte.
        #[test]
        fn a_decision_that_is_kept_is_made_again_to_the_byte(
            accounts in proptest::collection::vec((any::<bool>(), 0..4_u8), 0..9),
            kind in 0..4_usize,
            version in 1..9_u64,
            payment in "[a-z0-9]{1,20}",
            amount in 0..999_999_999_i64,
            blocked in 0..6_u8,
        ) {
            let seen = accounts.iter().enumerate().map(|(number, (fallback, verdict))| {
                let ineligible = match verdict {
                    0 => Some(Ineligible::Disabled),
                    1 => Some(Ineligible::Currency),
                    _ => None,
                };
                account(number, *fallback, ineligible)
            });
            let seen: Vec<SeenAccount> = seen.collect();
            let program = program(kind, seen.len(), version);
            let payment_id: PaymentId = format!("pay_{payment}").parse().unwrap();
            let money = Money { amount: amount.try_into().unwrap(), currency: "EUR".parse().unwrap() };
            let facts = PaymentFacts::of(money);
            let blocked = (blocked == 0).then(|| BlockedCard {
                reason: BlockReason::BlockedBin,
                entry: Some("card_bin:424242".to_owned()),
            });
            let profile_id: ProfileId = "pro_1".parse().unwrap();
            let seen = RouterRecord { profile: profile_id.clone(), program: program.clone(), accounts: seen };
            let router = seen.router().unwrap();
            let inputs = DecisionInputs {
                payment_id: &payment_id, facts: &facts, guard: None, screening: blocked.as_ref(),
            };
            let answer = decide(&router, inputs);
            let kept = PaymentDecisionState {
                profile_id,
                payment_id: payment_id.clone(),
                fingerprint: None,
                guard: None,
                blocked: blocked.clone(),
                program: router.program().map(|(id, version)| ProgramUsed { algorithm_id: id.clone(), version }),
                accounts: router.seen(&facts),
                retry: RetryPolicy::default(),
                guard_keys: GuardKeys::default(),
                facts: facts.clone(),
                answer: answer.clone(),
            };
            let text = serde_json::to_string(&kept).unwrap();
            let read: PaymentDecisionState = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&read, &kept);
            let replayed = Replayed { again: read.replay(program).unwrap(), then: answer };
            prop_assert!(replayed.is_same(), "{:?}", replayed);
        }
    }
}
