//! Programs that are ready to run: checked, and flat. Evaluating one allocates nothing and looks at each comparison at
//! most once; those statements alone are run that can hold by an [`Index`].

use std::sync::Arc;

use super::codes::{Codes, Slot, Texts};
use super::conjunction::{Conjunction, Digits, Ranges, TextTest};
use super::eligibility::RoutableAccount;
use super::facts::PaymentFacts;
use super::index::Index;
use super::program::{
    Algorithm, ConnectorChoice, MAX_CHOICES, MAX_COMPARISONS, MAX_NESTING, MAX_PROGRAM, MAX_RULES, MAX_STATEMENTS,
    Program, Selection, Split, Statement,
};
use crate::error::Fault;

/// Which selection an algorithm came to: its default or only one, or that of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chosen(u32);

impl Chosen {
    /// The default selection of a program, the only one of any other algorithm.
    pub(super) const DEFAULT: Self = Self(0);

    pub(super) fn rule_at(place: usize) -> Self {
        Self(u32::try_from(place).map_or(u32::MAX, |place| place.saturating_add(1)))
    }

    /// The place of the rule that holds; `None` where none does.
    pub fn rule(self) -> Option<u32> {
        self.0.checked_sub(1)
    }

    pub(super) fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// One thing to look at.
#[derive(Debug, Clone, Copy)]
enum Test {
    /// A statement holds: this is the answer.
    Hit(Chosen),
    /// The slot's code is in the set that begins at this word.
    Set(Slot, u32),
    /// The amount is from the first to the second.
    Amount(i64, i64),
    /// The amount is in one of so many ranges behind this place.
    Amounts(u32, u32),
    Digits(Digits),
    Text(TextTest),
}

/// A test, and where to go on if it fails; if it holds, behind it. Places only grow, so that every run ends.
#[derive(Debug, Clone, Copy)]
struct Step {
    test: Test,
    otherwise: u32,
}

/// The steps of one statement.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    first: u32,
    end: u32,
}

/// What an algorithm selects.
#[derive(Debug)]
pub(super) struct Selected {
    pub(super) choices: Vec<ConnectorChoice>,
    /// Of a split the sums of the shares up to and with each choice; the last one is 100.
    pub(super) shares: Option<Vec<u8>>,
}

/// An algorithm that was checked and can be run.
///
/// ```
/// use perfectpay::routing::Compiled;
/// use perfectpay::{Algorithm, PaymentFacts, json};
///
/// let algorithm: Algorithm = json::from_slice(br#"{"type": "advanced", "data": {
///     "defaultSelection": {"type": "priority", "data": ["adyen"]}, "metadata": {},
///     "rules": [{"name": "large", "connectorSelection": {"type": "priority", "data": ["stripe"]}, "statements": [
///         {"condition": [{"lhs": "amount", "comparison": "greater_than", "value": {"type": "number", "value": 1000},
///             "metadata": {}}]}]}]}}"#)?;
/// let compiled = Compiled::new(&algorithm)?;
/// let facts = |amount: i64| PaymentFacts::of(perfectpay::Money {
///     amount: amount.try_into().unwrap(),
///     currency: "EUR".parse().unwrap(),
/// });
/// assert_eq!(compiled.choose(&facts(1001)).rule(), Some(0));
/// assert_eq!(compiled.choose(&facts(1000)).rule(), None);
/// # Ok::<(), perfectpay::Error>(())
/// ```
#[derive(Debug)]
pub struct Compiled {
    algorithm: Arc<Algorithm>,
    /// About how many bytes the algorithm's comparisons take.
    read: usize,
    steps: Vec<Step>,
    sets: Vec<u64>,
    ranges: Vec<(i64, i64)>,
    texts: Texts,
    selections: Vec<Selected>,
    /// The statements that stand in no other one; there is none where there is one statement alone.
    index: Option<Index<Stretch>>,
}

/// From how many statements on a program has an index.
const INDEXED: usize = 2;
/// About what a comparison and each value that it lists take, in bytes.
const COMPARISON: usize = 256;
const VALUE: usize = 48;

impl Compiled {
    /// Checks an algorithm and prepares it.
    ///
    /// Whether the accounts that it names exist is not looked at: [`Algorithm::check`] is.
    ///
    /// # Errors
    ///
    /// With the path inside the document, `routing.` and one of: `empty_list`, `too_many_choices`, `shares` (they do not
    /// add up to 100); `too_many_rules`, `too_many_statements`, `too_many_comparisons`, `too_deep`, `too_many_values`,
    /// `too_many_metadata_keys`; `wrong_value` (the key is not compared with such), `wrong_operator`, `unknown_word`,
    /// `negative_number`, `empty_range`, `digits`.
    pub fn new(algorithm: &Algorithm) -> Result<Self, Fault> {
        Self::shared(Arc::new(algorithm.clone()))
    }

    /// As [`Self::new`], without a copy.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn shared(algorithm: Arc<Algorithm>) -> Result<Self, Fault> {
        let statements = match &*algorithm {
            Algorithm::Advanced(program) => program.rules.iter().map(|rule| rule.statements.len()).sum(),
            _ => 0,
        };
        Self::of(algorithm, statements >= INDEXED)
    }

    pub(super) fn of(algorithm: Arc<Algorithm>, indexed: bool) -> Result<Self, Fault> {
        let mut code = Code { statements: indexed.then(Vec::new), ..Code::default() };
        let selections = match &*algorithm {
            Algorithm::Single(choice) => vec![Selected { choices: vec![choice.clone()], shares: None }],
            Algorithm::Priority(choices) => vec![priority("data", choices)?],
            Algorithm::VolumeSplit(splits) => vec![split("data", splits)?],
            Algorithm::Advanced(program) => code.program(program)?,
        };
        let Code { steps, sets, ranges, texts, statements, comparisons, values } = code;
        let (index, read) = (statements.map(Index::of), comparisons * COMPARISON + values * VALUE);
        Ok(Self { algorithm, read, steps, sets, ranges, texts, selections, index })
    }

    /// What was compiled.
    pub fn algorithm(&self) -> &Arc<Algorithm> {
        &self.algorithm
    }

    /// Which selection a payment comes to: that of the first rule that holds, else the default one.
    pub fn choose(&self, facts: &PaymentFacts) -> Chosen {
        self.choose_by(&self.codes(facts))
    }

    pub(super) fn codes(&self, facts: &PaymentFacts) -> Codes {
        Codes::of(facts, &self.texts)
    }

    pub(super) fn choose_by(&self, codes: &Codes) -> Chosen {
        let chosen = match &self.index {
            Some(index) => index.first(codes, |one| self.run(codes, one.first as usize, one.end as usize)),
            None => self.run(codes, 0, self.steps.len()),
        };
        chosen.unwrap_or(Chosen::DEFAULT)
    }

    /// What the steps of this stretch come to, if anything.
    #[inline]
    fn run(&self, codes: &Codes, first: usize, end: usize) -> Option<Chosen> {
        let mut place = first;
        while let Some(step) = self.steps.get(place).filter(|_| place < end) {
            let holds = match step.test {
                Test::Hit(chosen) => return Some(chosen),
                Test::Set(slot, first) => {
                    let code = codes.get(slot);
                    let word = self.sets.get(first as usize + usize::from(code >> 6)).copied().unwrap_or(0);
                    word >> (code & 63) & 1 == 1
                }
                Test::Amount(low, high) => low <= codes.amount && codes.amount <= high,
                Test::Amounts(first, count) => {
                    let ranges = self.ranges.get(first as usize..(first + count) as usize).unwrap_or_default();
                    ranges.iter().any(|&(low, high)| low <= codes.amount && codes.amount <= high)
                }
                Test::Digits(digits) => digits.match_card(codes.digits, codes.known_digits),
                Test::Text(text) => (codes.get(text.slot) == text.code) == text.holds,
            };
            place = if holds { place + 1 } else { step.otherwise as usize };
        }
        None
    }

    pub(super) fn selections(&self) -> &[Selected] {
        &self.selections
    }

    /// About how many bytes it takes, with the algorithm that it keeps.
    pub fn weight(&self) -> usize {
        let choice = size_of::<ConnectorChoice>() + 64;
        let selected: usize =
            self.selections.iter().map(|one| size_of::<Selected>() + one.choices.len() * choice).sum();
        // The algorithm's choices stand there again.
        let made = self.steps.len() * size_of::<Step>() + self.sets.len() * 8 + self.ranges.len() * 16;
        let index = self.index.as_ref().map_or(0, Index::weight);
        size_of::<Self>() + self.texts.weight() * 2 + selected * 2 + made + self.read + index
    }
}

impl Algorithm {
    /// Checks it for a profile that has these accounts, disabled ones among them, and prepares it.
    ///
    /// # Errors
    ///
    /// As [`Compiled::new`]; then, at the first choice that is wrong, `routing.unknown_account` at
    /// `merchant_connector_id`, `routing.wrong_connector` at `connector` where the account is of another one, or
    /// `routing.unknown_connector` there for a choice without an account whose connector the profile has no account of.
    pub fn check(&self, accounts: &[RoutableAccount]) -> Result<Compiled, Fault> {
        let compiled = Compiled::new(self)?;
        for (path, choice) in self.choices() {
            let refuse = |code: &'static str, message: &'static str, member: &str| {
                Err(Fault::new(code, message).at(format!("{path}.{member}")))
            };
            let same = |one: &&RoutableAccount| one.connector == choice.connector;
            match &choice.merchant_connector_id {
                Some(id) => match accounts.iter().find(|one| one.account == *id) {
                    None => {
                        let message = "is not a connector account of the profile";
                        return refuse("routing.unknown_account", message, "merchant_connector_id");
                    }
                    Some(account) if !same(&account) => {
                        return refuse("routing.wrong_connector", "is not the connector of the account", "connector");
                    }
                    Some(_) => {}
                },
                None if !accounts.iter().any(|one| same(&one)) => {
                    let message = "is a connector that the profile has no account of";
                    return refuse("routing.unknown_connector", message, "connector");
                }
                None => {}
            }
        }
        Ok(compiled)
    }
}

fn check_choices(path: &str, count: usize) -> Result<(), Fault> {
    if count == 0 {
        return Err(Fault::new("routing.empty_list", "must not be empty").at(path));
    }
    if count > MAX_CHOICES {
        let message = format!("must have at most {MAX_CHOICES} connector accounts");
        return Err(Fault::new("routing.too_many_choices", message).at(path));
    }
    Ok(())
}

fn priority(path: &str, choices: &[ConnectorChoice]) -> Result<Selected, Fault> {
    check_choices(path, choices.len())?;
    Ok(Selected { choices: choices.to_vec(), shares: None })
}

fn split(path: &str, splits: &[Split]) -> Result<Selected, Fault> {
    check_choices(path, splits.len())?;
    let mut sum = 0_u8;
    let mut shares = Vec::with_capacity(splits.len());
    for one in splits {
        // More than 100 is wrong however much more it is.
        sum = sum.saturating_add(one.split);
        shares.push(sum);
    }
    if sum != 100 {
        return Err(Fault::new("routing.shares", "must have shares that add up to 100").at(path));
    }
    Ok(Selected { choices: splits.iter().map(|one| one.connector.clone()).collect(), shares: Some(shares) })
}

fn selected(path: &str, selection: &Selection) -> Result<Selected, Fault> {
    match selection {
        Selection::Priority(choices) => priority(path, choices),
        Selection::VolumeSplit(splits) => split(path, splits),
    }
}

/// The code of a program while it is made.
#[derive(Default)]
struct Code {
    steps: Vec<Step>,
    sets: Vec<u64>,
    ranges: Vec<(i64, i64)>,
    texts: Texts,
    comparisons: usize,
    values: usize,
    /// Those of an index.
    statements: Option<Vec<(Conjunction, Stretch)>>,
}

/// A place that is known to fit: a program has at most [`MAX_PROGRAM`] comparisons.
fn place(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

impl Code {
    fn program(&mut self, program: &Program) -> Result<Vec<Selected>, Fault> {
        if program.rules.len() > MAX_RULES {
            let message = format!("must have at most {MAX_RULES} rules");
            return Err(Fault::new("routing.too_many_rules", message).at("data.rules"));
        }
        let mut selections = vec![selected("data.defaultSelection.data", &program.default_selection)?];
        for (at, rule) in program.rules.iter().enumerate() {
            selections.push(selected(&format!("data.rules[{at}].connectorSelection.data"), &rule.connector_selection)?);
            self.any(&rule.statements, Chosen::rule_at(at), 1).map_err(|fault| {
                let path = format!("data.rules[{at}].statements{}", fault.path());
                fault.at(path)
            })?;
        }
        Ok(selections)
    }

    /// Code that comes to `chosen` where any of the statements holds, and else to its end.
    fn any(&mut self, statements: &[Statement], chosen: Chosen, depth: usize) -> Result<(), Fault> {
        if depth > MAX_NESTING {
            let message = format!("must have at most {MAX_NESTING} statements within each other");
            return Err(Fault::new("routing.too_deep", message));
        }
        if statements.len() > MAX_STATEMENTS {
            let message = format!("must have at most {MAX_STATEMENTS} statements");
            return Err(Fault::new("routing.too_many_statements", message));
        }
        for (at, statement) in statements.iter().enumerate() {
            self.statement(statement, chosen, depth).map_err(|fault| {
                let path = format!("[{at}].{}", fault.path());
                fault.at(path)
            })?;
        }
        Ok(())
    }

    fn statement(&mut self, statement: &Statement, chosen: Chosen, depth: usize) -> Result<(), Fault> {
        // One that holds always is something to look at, too.
        self.comparisons += statement.condition.len().max(1);
        self.values += statement.condition.iter().map(|comparison| comparison.value.len()).sum::<usize>();
        if statement.condition.len() > MAX_COMPARISONS || self.comparisons > MAX_PROGRAM {
            let message = format!("must have at most {MAX_COMPARISONS} comparisons, and a program {MAX_PROGRAM}");
            return Err(Fault::new("routing.too_many_comparisons", message).at("condition"));
        }
        let together = Conjunction::of(&statement.condition, &mut self.texts).map_err(|fault| {
            let path = format!("condition{}", fault.path());
            fault.at(path)
        })?;
        let first = self.steps.len();
        let indexed = self.statements.is_some() && depth == 1;
        self.all(&together, !indexed);
        let own = self.steps.len();
        match &statement.nested {
            None => self.steps.push(Step { test: Test::Hit(chosen), otherwise: 0 }),
            Some(nested) => self.any(nested, chosen, depth + 1).map_err(|fault| {
                let path = format!("nested{}", fault.path());
                fault.at(path)
            })?,
        }
        if together.is_contradiction() || self.steps.len() == own {
            // It never holds, and is left out.
            self.steps.truncate(first);
        }
        let end = place(self.steps.len());
        for step in self.steps.iter_mut().take(own).skip(first) {
            step.otherwise = end;
        }
        if let Some(statements) = self.statements.as_mut().filter(|_| indexed && place(first) < end) {
            statements.push((together, Stretch { first: place(first), end }));
        }
        Ok(())
    }

    /// Tests that all must hold, those first that fail most often. Those of slots are left out where an index has them.
    fn all(&mut self, together: &Conjunction, slots: bool) {
        let Self { sets, ranges, .. } = self;
        let mut tests: Vec<(i64, Test)> = Vec::new();
        for (slot, set) in together.sets.iter().filter(|_| slots) {
            let first = place(sets.len());
            sets.extend(set.0.iter().take(slot.words()));
            tests.push((i64::from(set.count()) * 1_000 / 256, Test::Set(*slot, first)));
        }
        let often = |holds| if holds { 1 } else { 999 };
        tests.extend(together.digits.iter().map(|digits| (often(digits.holds), Test::Digits(*digits))));
        tests.extend(together.texts.iter().map(|text| (often(text.holds), Test::Text(*text))));
        if together.amounts != Ranges::all() {
            let test = match together.amounts.as_slice() {
                [(low, high)] => Test::Amount(*low, *high),
                several => {
                    let first = place(ranges.len());
                    ranges.extend(several);
                    Test::Amounts(first, place(several.len()))
                }
            };
            tests.push((together.amounts.count() / 1_000_000, test));
        }
        tests.sort_by_key(|(holds_often, _)| *holds_often);
        self.steps.extend(tests.into_iter().map(|(_, test)| Step { test, otherwise: 0 }));
    }
}
