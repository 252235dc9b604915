//! Writes the OpenAPI 3.1 document of the http host's paths, to the file that is named, or to standard output.
//!
//! ```text
//! cargo run --release --example openapi -- openapi.json
//! ```

mod document;

use std::error::Error;
use std::io::Write as _;

fn main() -> Result<(), Box<dyn Error>> {
    let text = serde_json::to_string_pretty(&document::document())?;
    match std::env::args().nth(1) {
        Some(path) => std::fs::write(path, text + "\n")?,
        None => writeln!(std::io::stdout(), "{text}")?,
    }
    Ok(())
}
