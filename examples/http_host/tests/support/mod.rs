//! The real program on a folder of its own, and the real curl.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// The program, running. It is killed when this goes.
pub(crate) struct Host {
    process: Child,
    pub(crate) base: String,
    pub(crate) key: String,
    pub(crate) admin: String,
    /// What it printed: the published calls.
    pub(crate) printed: String,
}

/// An answer: the status, and the body as JSON, or null where it is none.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Host {
    /// Starts the program on the folder and waits until it printed everything.
    pub(crate) fn start(folder: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_http_host"));
        command.args(["--listen", "127.0.0.1:0", "--folder"]).arg(folder).env("RUST_LOG", "off");
        command.env_remove("PERFECTPAY_MASTER_KEY").stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut printed = String::new();
        for line in BufReader::new(process.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            printed.push_str(&line);
            printed.push('\n');
            if line.starts_with("# Each of these") {
                break;
            }
        }
        let after = |mark: &str| {
            let rest = printed.split_once(mark).unwrap_or_else(|| panic!("{mark:?} was not printed: {printed}")).1;
            rest.split_whitespace().next().unwrap().to_owned()
        };
        Self { base: after("A sandbox at "), key: after("# api-key: "), admin: after("/{id}: "), printed, process }
    }

    /// Ends the program as a power cut would: nothing of it runs any more.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn terminate(mut self) -> std::process::ExitStatus {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.process.wait().unwrap()
    }

    /// A call by the account's key.
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.call_by(&self.key, method, path, body)
    }

    /// A call by any key.
    pub(crate) fn call_by(&self, key: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let header = format!("api-key: {key}");
        let text = body.map(Value::to_string);
        let mut arguments = vec!["-X", method, "-H", &header];
        if let Some(text) = &text {
            arguments.extend(["-H", "Content-Type: application/json", "-d", text]);
        }
        self.curl(&arguments, path)
    }

    /// A call with arguments of curl's.
    pub(crate) fn curl(&self, arguments: &[&str], path: &str) -> Answer {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-w", "\n%{http_code}"]).args(arguments).arg(format!("{}{path}", self.base));
        run(curl)
    }

    /// A page, as a browser without a key asks for it: the head of the answer, and the text.
    #[allow(clippy::unused_self, reason = "it is asked of the host that runs")]
    pub(crate) fn page(&self, url: &str, headers: &[&str]) -> (String, String) {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-i"]).args(headers.iter().flat_map(|header| ["-H", *header])).arg(url);
        let output = curl.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    /// The calls that were printed, each exactly as it was.
    pub(crate) fn printed_calls(&self) -> Vec<String> {
        let paragraphs = self.printed.split("\n\n").map(str::trim);
        paragraphs.filter(|text| text.starts_with("curl ")).map(str::to_owned).collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ended = self.process.kill().and_then(|()| self.process.wait());
    }
}

/// Has a shell carry out a call as it was printed. What is asked of curl besides is in a file of its settings.
pub(crate) fn paste(call: &str) -> Answer {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join(".curlrc"), "silent\nshow-error\nwrite-out = \"\\n%{http_code}\"\n").unwrap();
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(call).env("CURL_HOME", home.path());
    run(shell)
}

/// What curl tells.
pub(crate) fn run(mut command: Command) -> Answer {
    let output =
        command.output().unwrap_or_else(|e| panic!("curl could not be run ({e}): install it, as .ci/run does"));
    let text = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "curl must be installed and reach the host: {said}");
    let (body, status) = text.rsplit_once('\n').unwrap();
    Answer { status: status.parse().unwrap(), body: serde_json::from_str(body).unwrap_or(Value::Null) }
}
