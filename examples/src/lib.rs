//! Hosts of `PerfectPay`, as a user would write them: one file each, beside this folder.
