//! Findings about an algorithm that are no errors: what was written has a meaning, but hardly the one that was meant.
//!
//! Each is certain: what is called dead holds for no payment, and an account that "cannot take" takes none that its rule
//! selects. What is not found may still be there: a rule is reasoned about in at most so many alternatives
//! ([`MAX_ALTERNATIVES`]), and only by what its comparisons say one by one.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::codes::Texts;
use super::conjunction::Conjunction;
use super::eligibility::{Ineligible, RoutableAccount};
use super::program::{
    Algorithm, Comparison, ComparisonValue, ConnectorChoice, MAX_NESTING, Operator, Program, Selection, Statement,
};
use crate::words::words;

/// How many alternatives of a rule are looked at. A rule that has more is not reasoned about as a whole.
pub const MAX_ALTERNATIVES: usize = 256;

/// How many pairs of alternatives are compared to find rules that stand behind others.
const MAX_PAIRS: usize = 1_000_000;

words! { "snake_case"
    /// What was found.
    LintKind {
        /// The rule can never hold.
        NeverMatches,
        /// Whenever the rule holds, an earlier one does.
        Shadowed,
        /// The statement's comparisons contradict each other, or those of the statements that it stands in.
        Contradiction,
        /// The statement stands in no other and has neither comparisons nor nested statements: it always holds.
        AlwaysMatches,
        /// A text is compared by an operator that orders, which means the same as `equal`.
        OrderedText,
        /// The choice names no account, and never becomes a candidate.
        ChoiceWithoutAccount,
        /// The account is disabled.
        AccountDisabled,
        /// The account is inactive.
        AccountInactive,
        /// The account is not there to take payments, or its connector cannot be routed to, or has no methods enabled.
        AccountNotRoutable,
        /// The account takes no payment that is selected for it here.
        AccountCannotTake,
        /// The account stands in the list before.
        ChosenTwice,
    }
}

/// A finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Lint {
    /// Where, in the algorithm's JSON.
    pub path: String,
    /// What.
    pub kind: LintKind,
    /// In a sentence that continues the path.
    pub message: String,
}

impl Algorithm {
    /// What stands out in it, given the profile's accounts. From top to bottom of the JSON: of each rule first what its
    /// statements say, then its accounts. Of an algorithm that [`Self::check`] refuses, only what can be said of the parts
    /// that mean something.
    pub fn lints(&self, accounts: &[RoutableAccount]) -> Vec<Lint> {
        let mut found = Found { accounts, lints: Vec::new() };
        match self {
            Self::Single(choice) => found.choices(&[("data".to_owned(), choice)], None),
            Self::Priority(_) | Self::VolumeSplit(_) => found.choices(&self.choices(), None),
            Self::Advanced(program) => found.program(program),
        }
        found.lints
    }
}

struct Found<'a> {
    accounts: &'a [RoutableAccount],
    lints: Vec<Lint>,
}

impl Found<'_> {
    fn add(&mut self, path: impl Into<String>, kind: LintKind, message: impl Into<String>) {
        self.lints.push(Lint { path: path.into(), kind, message: message.into() });
    }

    fn program(&mut self, program: &Program) {
        let path = "data.defaultSelection.data";
        self.choices(&choices(path, &program.default_selection), None);
        let mut texts = Texts::default();
        let mut earlier: Vec<Option<Vec<Conjunction>>> = Vec::new();
        let mut pairs = 0;
        for (at, rule) in program.rules.iter().enumerate() {
            let path = format!("data.rules[{at}]");
            let mut alternatives = Alternatives::default();
            self.statements((&format!("{path}.statements"), 1), &rule.statements, None, &mut texts, &mut alternatives);
            let alternatives = (!alternatives.too_many).then_some(alternatives.all);
            match &alternatives {
                Some(all) if all.is_empty() => self.add(&*path, LintKind::NeverMatches, "can never hold"),
                Some(all) => {
                    let stands_before = |known: &Option<Vec<Conjunction>>| {
                        let known = known.as_deref().unwrap_or_default();
                        pairs += known.len() * all.len();
                        pairs <= MAX_PAIRS && all.iter().all(|one| known.iter().any(|other| one.implies(other)))
                    };
                    if let Some(first) = earlier.iter().position(stands_before) {
                        let message = format!("holds only where `data.rules[{first}]` does, which stands before it");
                        self.add(&*path, LintKind::Shadowed, message);
                    }
                }
                None => {}
            }
            let listed = choices(&format!("{path}.connectorSelection.data"), &rule.connector_selection);
            self.choices(&listed, alternatives.as_deref());
            earlier.push(alternatives);
        }
    }

    fn statements(
        &mut self,
        (path, depth): (&str, usize),
        statements: &[Statement],
        around: Option<&Conjunction>,
        texts: &mut Texts,
        alternatives: &mut Alternatives,
    ) {
        // What nests deeper than a program may is not followed.
        if depth > MAX_NESTING {
            alternatives.too_many = true;
            return;
        }
        for (at, statement) in statements.iter().enumerate() {
            let path = format!("{path}[{at}]");
            for (place, comparison) in statement.condition.iter().enumerate() {
                if is_ordered_text(comparison) {
                    let path = format!("{path}.condition[{place}].comparison");
                    self.add(path, LintKind::OrderedText, "means the same as `equal` for a text");
                }
            }
            let Ok(own) = Conjunction::of(&statement.condition, texts) else {
                alternatives.too_many = true;
                continue;
            };
            if around.is_none() && statement.condition.is_empty() && statement.nested.is_none() {
                self.add(&*path, LintKind::AlwaysMatches, "always holds");
            }
            let together = around.map_or_else(|| own.clone(), |around| around.and(&own));
            let contradicts = together.is_contradiction();
            // What stands within a statement that never holds needs no word of its own.
            if contradicts && around.is_none_or(|around| !around.is_contradiction()) {
                let path = format!("{path}.condition");
                self.add(path, LintKind::Contradiction, "says what cannot hold together");
            }
            match &statement.nested {
                Some(nested) => {
                    let within = format!("{path}.nested");
                    self.statements((&within, depth + 1), nested, Some(&together), texts, alternatives);
                }
                None if contradicts => {}
                None => alternatives.add(together),
            }
        }
    }

    /// Findings about listed choices, of a rule with its alternatives.
    fn choices(&mut self, listed: &[(String, &ConnectorChoice)], of_rule: Option<&[Conjunction]>) {
        let mut before = BTreeSet::new();
        for (path, choice) in listed {
            let Some(id) = &choice.merchant_connector_id else {
                self.add(&**path, LintKind::ChoiceWithoutAccount, "names no account and never becomes a candidate");
                continue;
            };
            if !before.insert(id) {
                self.add(&**path, LintKind::ChosenTwice, "stands in the list before");
                continue;
            }
            let Some(account) = self.accounts.iter().find(|one| one.account == *id) else { continue };
            match (account.takes_none(), of_rule) {
                (Some(Ineligible::Disabled), _) => self.add(&**path, LintKind::AccountDisabled, "is disabled"),
                (Some(Ineligible::Inactive), _) => self.add(&**path, LintKind::AccountInactive, "is inactive"),
                (Some(_), _) => self.add(&**path, LintKind::AccountNotRoutable, "takes no payments"),
                (None, Some(all)) if !all.is_empty() && all.iter().all(|one| account.takes_nothing_of(one)) => {
                    self.add(&**path, LintKind::AccountCannotTake, "takes no payment that the rule selects");
                }
                (None, _) => {}
            }
        }
    }
}

fn choices<'a>(path: &str, selection: &'a Selection) -> Vec<(String, &'a ConnectorChoice)> {
    match selection {
        Selection::Priority(all) => {
            all.iter().enumerate().map(|(at, choice)| (format!("{path}[{at}]"), choice)).collect()
        }
        Selection::VolumeSplit(all) => {
            all.iter().enumerate().map(|(at, one)| (format!("{path}[{at}].connector"), &one.connector)).collect()
        }
    }
}

fn is_ordered_text(comparison: &Comparison) -> bool {
    matches!(comparison.value, ComparisonValue::StrValue(_) | ComparisonValue::MetadataVariant(_))
        && !matches!(comparison.comparison, Operator::Equal | Operator::NotEqual)
}

/// The ways in which a rule can hold, without those that contradict themselves.
#[derive(Default)]
struct Alternatives {
    all: Vec<Conjunction>,
    /// There are more, or some that mean nothing.
    too_many: bool,
}

impl Alternatives {
    fn add(&mut self, one: Conjunction) {
        if self.all.len() < MAX_ALTERNATIVES {
            self.all.push(one);
        } else {
            self.too_many = true;
        }
    }
}
