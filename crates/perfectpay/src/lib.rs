//! PerfectPay
pub mod error;
pub mod id;
pub mod json;
pub mod money;
pub mod page;
pub mod patch;
pub mod text;
pub mod time;
pub mod web_url;
pub use error::*;
pub use id::*;
pub use money::*;
pub use page::*;
pub use patch::*;
pub use text::*;
pub use time::*;
pub use web_url::*;
