//! The log, once or as it grows.

use std::thread;
use std::time::Duration;

use perfectpay::{LogEntry, LogPosition, PerfectPay};

use crate::args;
use crate::failure::Failure;
use crate::show::Show;

/// How long a follower waits when there is nothing new.
const PAUSE: Duration = Duration::from_millis(300);

pub(crate) async fn run(pay: &PerfectPay, command: args::Log, show: &Show) -> Result<(), Failure> {
    let mut after = match command.after {
        Some(position) => LogPosition::from_u64(position),
        None => pay.log_head().await?.beginning(),
    };
    let mut left = command.limit.unwrap_or(u64::MAX);
    while left > 0 {
        let limit = u32::try_from(left).unwrap_or(u32::MAX);
        let entries = match &command.merchant {
            Some(merchant) => pay.merchant(merchant).log(after, limit).await?,
            None => pay.log(after, limit).await?,
        };
        match entries.last() {
            Some(last) => after = last.position,
            None if command.follow => thread::sleep(PAUSE),
            None => break,
        }
        for entry in entries {
            show.line(&entry, text)?;
            left -= 1;
        }
    }
    Ok(())
}

fn text(entry: &LogEntry) -> String {
    let place = entry.merchant_id.as_deref().or(entry.organization_id.as_deref()).unwrap_or("platform");
    let changes = entry.changes.iter().map(|change| {
        let many = if change.count > 1 { format!(" ×{}", change.count) } else { String::new() };
        format!("{} {} {}{many}", change.verb, change.kind, change.id)
    });
    let changes = changes.collect::<Vec<_>>().join(", ");
    format!("{:>6}  {}  {:<24}  {place:<24}  {changes}", entry.position, entry.at, entry.actor.to_string())
}
