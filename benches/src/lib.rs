//! What `PerfectPay` costs: criterion benches, each beside its floor in the same run. See `README.md` beside this folder.
