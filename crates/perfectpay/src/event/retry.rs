//! When a delivery that failed is tried again: the plan as data.

/// When a delivery that failed is tried again: steps of so many tries, each so many seconds after the failure before it.
///
/// ```
/// use perfectpay::event::RetryPlan;
///
/// let plan = RetryPlan::published();
/// assert_eq!(plan.retries(), 16);
/// assert_eq!([0, 1, 3, 8, 13, 15, 16].map(|retries| plan.delay(retries)), [
///     Some(60), Some(300), Some(600), Some(3_600), Some(21_600), Some(21_600), None,
/// ]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPlan(Vec<RetryStep>);

/// A step of a [`RetryPlan`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryStep {
    /// How long after the failure, in seconds.
    pub seconds: u32,
    /// How many tries.
    pub times: u16,
}

impl RetryPlan {
    /// The contract's: after 1 minute, twice after 5, five times after 10, five times after an hour, three times after six.
    pub fn published() -> Self {
        let steps = [(60, 1), (5 * 60, 2), (10 * 60, 5), (60 * 60, 5), (6 * 60 * 60, 3)];
        Self(steps.map(|(seconds, times)| RetryStep { seconds, times }).into())
    }

    /// A plan of these steps; of none, nothing is tried again.
    pub fn new(steps: impl IntoIterator<Item = RetryStep>) -> Self {
        Self(steps.into_iter().collect())
    }

    /// The steps, in order.
    pub fn steps(&self) -> &[RetryStep] {
        &self.0
    }

    /// How often a delivery is tried again at most.
    pub fn retries(&self) -> u32 {
        self.0.iter().fold(0, |sum: u32, step| sum.saturating_add(step.times.into()))
    }

    /// After how many seconds a delivery is tried again that was tried again so often already; `None` at the plan's end.
    pub fn delay(&self, retries: u32) -> Option<u32> {
        let mut before = retries;
        for step in &self.0 {
            match before.checked_sub(u32::from(step.times)) {
                Some(rest) => before = rest,
                None => return Some(step.seconds),
            }
        }
        None
    }
}

impl Default for RetryPlan {
    fn default() -> Self {
        Self::published()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_plan_takes_about_a_day_and_then_ends() {
        let plan = RetryPlan::published();
        let delays: Vec<u32> = (0..).map_while(|retries| plan.delay(retries)).collect();
        assert_eq!(delays.len(), 16);
        assert_eq!(delays.iter().sum::<u32>(), 60 + 2 * 300 + 5 * 600 + 5 * 3_600 + 3 * 21_600);
        assert_eq!(plan.delay(16), None);
        assert_eq!(plan.delay(u32::MAX), None);
    }

    #[test]
    fn a_plan_without_steps_tries_nothing_again() {
        assert_eq!(RetryPlan::new([]).delay(0), None);
        let twice = RetryPlan::new([RetryStep { seconds: 9, times: 0 }, RetryStep { seconds: 1, times: 2 }]);
        assert_eq!((0..4).map(|n| twice.delay(n)).collect::<Vec<_>>(), [Some(1), Some(1), None, None]);
    }
}
