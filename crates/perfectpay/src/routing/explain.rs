//! Why a payment is routed as it is, for people: what each earlier rule failed on, who was left out, and who came in.

use serde::Serialize;

use super::answer::{Answer, DecisionInputs, Why};
use super::compile::Chosen;
use super::eligibility::Ineligible;
use super::facts::PaymentFacts;
use super::interpret;
use super::program::{Algorithm, Comparison, ConnectorChoice, Rule, Statement};
use super::router::{Router, decide};
use crate::id::RoutingId;

/// A decision with its reasons.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RoutingExplanation {
    /// The program that was active.
    pub program: Option<RoutingId>,
    /// Its version.
    pub version: Option<u64>,
    /// The rule that held; absent where none did, or the algorithm has none.
    pub matched: Option<MatchedRule>,
    /// The rules before it, or all where none held, each with the comparisons that failed.
    pub failed: Vec<FailedRule>,
    /// The bucket of the payment, 0 to 99, where the selection is a split.
    pub bucket: Option<u8>,
    /// Who was selected or stands in the fallback order, and does not take the payment.
    pub left_out: Vec<LeftOut>,
    /// Whether any candidate comes from the fallback order alone.
    pub fallback_used: bool,
    /// What [`decide`] answers. What screening or the guard declines is explained as if it had passed them, and
    /// answered as it was.
    pub answer: Answer,
}

/// A rule, as an explanation names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MatchedRule {
    /// Its place, from 0.
    pub rule: u32,
    /// What people call it.
    pub name: String,
}

/// A rule that did not hold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FailedRule {
    /// Its place, from 0.
    pub rule: u32,
    /// What people call it.
    pub name: String,
    /// The comparisons that failed, from top to bottom; of what is nested in a statement whose own comparisons failed,
    /// none. Empty where the rule has no statement to hold.
    pub failed: Vec<FailedComparison>,
}

/// A comparison that did not hold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FailedComparison {
    /// Its path in the algorithm's JSON.
    pub path: String,
    /// What it says.
    pub comparison: Comparison,
}

/// An account that is no candidate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The choice, as it is selected.
    pub choice: ConnectorChoice,
    /// How it would have been one.
    pub why: Why,
    /// Why it is none.
    pub reason: Ineligible,
}

/// What [`decide`] answers, with its reasons. It reads the program's JSON and not its compiled form, and takes as long
/// as that needs.
pub fn explain(router: &Router, inputs: DecisionInputs<'_>) -> RoutingExplanation {
    let codes = router.codes(inputs.facts);
    let (mut matched, mut failed, mut bucket, mut left_out) = (None, Vec::new(), None, Vec::new());
    let mut selected: Vec<&ConnectorChoice> = Vec::new();
    if let Some(compiled) = router.compiled() {
        let mut chosen = Chosen::DEFAULT;
        if let Algorithm::Advanced(program) = &**compiled.algorithm() {
            let holds = interpret::matched(program, inputs.facts);
            let named = |rule: &Rule| rule.name.to_string();
            let before = program.rules.iter().zip(0_u32..).take(holds.unwrap_or(usize::MAX));
            failed = before
                .map(|(rule, at)| FailedRule {
                    rule: at,
                    name: named(rule),
                    failed: failures(&format!("data.rules[{at}].statements"), &rule.statements, inputs.facts),
                })
                .collect();
            if let Some(at) = holds {
                chosen = Chosen::rule_at(at);
                matched = chosen
                    .rule()
                    .zip(program.rules.get(at))
                    .map(|(at, rule)| MatchedRule { rule: at, name: named(rule) });
            }
        }
        bucket = router.bucket(chosen, inputs.payment_id);
        if let Some(selection) = compiled.selections().get(chosen.index()) {
            selected = selection.choices.iter().collect();
            let drawn = bucket.and_then(|bucket| {
                let shares = selection.shares.as_deref().unwrap_or_default();
                shares.iter().position(|upto| bucket < *upto)
            });
            for (at, choice) in selection.choices.iter().enumerate() {
                let why = router.why(chosen, drawn == Some(at));
                let reason = router.refuses(choice, &codes);
                left_out.extend(reason.map(|reason| LeftOut { choice: choice.clone(), why, reason }));
            }
        }
    }
    for (choice, reason) in router.fallback(&codes) {
        if let Some(reason) = reason.filter(|_| !selected.contains(&&choice)) {
            left_out.push(LeftOut { choice, why: Why::Fallback, reason });
        }
    }
    let answer = decide(router, inputs);
    let fallback_used = matches!(&answer, Answer::Candidates(all) if all.iter().any(|one| one.why == Why::Fallback));
    RoutingExplanation {
        program: router.program().map(|(id, _)| id.clone()),
        version: router.program().map(|(_, version)| version),
        matched,
        failed,
        bucket,
        left_out,
        fallback_used,
        answer,
    }
}

/// The comparisons that fail, of statements none of which holds.
fn failures(path: &str, statements: &[Statement], facts: &PaymentFacts) -> Vec<FailedComparison> {
    let mut failed = Vec::new();
    for (at, statement) in statements.iter().enumerate() {
        let own = statement.condition.iter().enumerate().filter(|(_, one)| !interpret::comparison_holds(one, facts));
        let known = failed.len();
        failed.extend(own.map(|(place, comparison)| FailedComparison {
            path: format!("{path}[{at}].condition[{place}]"),
            comparison: comparison.clone(),
        }));
        if let (Some(nested), true) = (&statement.nested, failed.len() == known) {
            failed.extend(failures(&format!("{path}[{at}].nested"), nested, facts));
        }
    }
    failed
}
