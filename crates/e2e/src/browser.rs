//! Chromium without a screen, spoken to by its DevTools protocol over two pipes: no driver and no library.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use base64::Engine;
use nix::sys::stat::Mode;
use serde_json::{Value, json};

use crate::docker::has_program;
use crate::wait::PATIENCE;

/// It answers anything within this time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// A browser with one page.
pub struct Browser {
    child: Child,
    commands: File,
    messages: Receiver<Value>,
    /// What was said beside answers.
    events: VecDeque<Value>,
    session: Option<String>,
    last_id: u64,
    _folder: tempfile::TempDir,
}

impl Browser {
    /// None, with a loud word, when Chromium is not installed.
    pub fn start() -> Option<Self> {
        if !has_program("chromium") {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let (into, out) = (folder.path().join("in"), folder.path().join("out"));
        for pipe in [&into, &out] {
            nix::unistd::mkfifo(pipe, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        }
        let mut command = Command::new("sh");
        command.args(["-c", "exec chromium \"$@\" 3<\"$0/in\" 4>\"$0/out\""]);
        command.arg(folder.path());
        command.args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
        ]);
        command.args([
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--remote-debugging-pipe",
        ]);
        command.args([
            "--disable-background-networking",
            "--disable-component-update",
        ]);
        command.arg(format!(
            "--user-data-dir={}",
            folder.path().join("data").display()
        ));
        command.env("HOME", folder.path());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let commands = OpenOptions::new().write(true).open(&into).unwrap();
        let answers = File::open(&out).unwrap();
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(answers).split(0).map_while(Result::ok) {
                let Ok(value) = serde_json::from_slice(&message) else {
                    continue;
                };
                if sender.send(value).is_err() {
                    return;
                }
            }
        });
        let mut browser = Self {
            child,
            commands,
            messages,
            events: VecDeque::new(),
            session: None,
            last_id: 0,
            _folder: folder,
        };
        browser.open_page();
        Some(browser)
    }

    fn open_page(&mut self) {
        let target = self.ask("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = self.ask("Target.attachToTarget", attach);
        self.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log"] {
            self.ask(&format!("{domain}.enable"), json!({}));
        }
        self.width(1280, 900);
    }

    /// A command of the protocol, and its result.
    #[track_caller]
    pub fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.last_id += 1;
        let mut message = json!({ "id": self.last_id, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.commands.write_all(&bytes).unwrap();
        let until = Instant::now() + ANSWER_TIMEOUT;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let said = self.messages.recv_timeout(left);
            let said = said.unwrap_or_else(|error| panic!("{method} is not answered: {error}"));
            if said["id"] == self.last_id {
                assert!(said["error"].is_null(), "{method}: {said}");
                return said["result"].clone();
            }
            self.events.push_back(said);
        }
    }

    /// Goes to an address, and waits until the page is there with its scripts.
    #[track_caller]
    pub fn go(&mut self, url: &str) {
        let went = self.ask("Page.navigate", json!({ "url": url }));
        assert!(went["errorText"].is_null(), "{url}: {went}");
        self.until("the page is there", "document.readyState === 'complete'");
    }

    /// Waits until a page whose title begins so is there with its scripts, which listen to keys.
    #[track_caller]
    pub fn arrives_at(&mut self, title: &str) {
        let there = format!(
            "document.readyState === 'complete' && document.title.startsWith({})",
            json!(title)
        );
        self.until(&format!("a page called `{title}`"), &there);
    }

    /// The value of an expression on the page; a promise is waited for.
    #[track_caller]
    pub fn value(&mut self, expression: &str) -> Value {
        let parameters =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.ask("Runtime.evaluate", parameters);
        assert!(
            answer["exceptionDetails"].is_null(),
            "{expression}: {answer}"
        );
        answer["result"]["value"].clone()
    }

    /// What is to be read on the page.
    #[track_caller]
    pub fn text(&mut self) -> String {
        let text = self.value("document.body ? document.body.innerText : ''");
        text.as_str().unwrap_or_default().to_owned()
    }

    #[track_caller]
    pub fn until(&mut self, what: &str, expression: &str) {
        // A page that goes away while it is asked answers with an error.
        let guarded = format!(
            "(() => {{ try {{ return Boolean({expression}) }} catch {{ return false }} }})()"
        );
        let begun = Instant::now();
        while self.value(&guarded) != json!(true) {
            if begun.elapsed() > PATIENCE {
                panic!(
                    "{what} does not come true: {}\n{:?}",
                    self.text(),
                    self.complaints()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    #[track_caller]
    pub fn until_text(&mut self, text: &str) {
        let wanted = format!("document.body.innerText.includes({})", json!(text));
        self.until(&format!("`{text}`"), &wanted);
    }

    /// Presses and releases a key: a letter, or a name as `Enter`.
    pub fn press(&mut self, key: &str) {
        self.press_with(key, 0);
    }

    /// With modifiers: 2 is Ctrl.
    pub fn press_with(&mut self, key: &str, modifiers: u8) {
        let code = match key {
            "Enter" => 13,
            "Escape" => 27,
            "Tab" => 9,
            _ => u32::from(key.to_ascii_uppercase().as_bytes()[0]),
        };
        let mut down = json!({
            "type": "rawKeyDown", "key": key, "modifiers": modifiers, "windowsVirtualKeyCode": code,
        });
        if key.chars().count() == 1 && modifiers == 0 {
            down["type"] = json!("keyDown");
            down["text"] = json!(key);
        }
        if key == "Enter" {
            down["type"] = json!("keyDown");
            down["text"] = json!("\r");
        }
        self.ask("Input.dispatchKeyEvent", down);
        let up = json!({ "type": "keyUp", "key": key, "modifiers": modifiers, "windowsVirtualKeyCode": code });
        self.ask("Input.dispatchKeyEvent", up);
    }

    pub fn type_text(&mut self, text: &str) {
        self.ask("Input.insertText", json!({ "text": text }));
    }

    /// `light` or `dark`.
    pub fn theme(&mut self, theme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": theme }]);
        self.ask(
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        );
    }

    pub fn width(&mut self, width: u32, height: u32) {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.ask("Emulation.setDeviceMetricsOverride", size);
    }

    /// A picture of what is to be seen.
    pub fn picture(&mut self, file: &Path) {
        let answer = self.ask("Page.captureScreenshot", json!({ "format": "png" }));
        let text = answer["data"].as_str().unwrap_or_default();
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(text)
            .unwrap();
        std::fs::write(file, bytes).unwrap();
    }

    /// What the page's scripts and its policy complained of so far.
    pub fn complaints(&mut self) -> Vec<String> {
        self.events.extend(self.messages.try_iter());
        let all = self.events.iter();
        all.filter_map(|it| match it["method"].as_str()? {
            "Runtime.exceptionThrown" => Some(it["params"]["exceptionDetails"].to_string()),
            "Log.entryAdded" if it["params"]["entry"]["level"] == "error" => {
                Some(it["params"]["entry"].to_string())
            }
            _ => None,
        })
        .collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let mut close = json!({ "id": 0, "method": "Browser.close" })
            .to_string()
            .into_bytes();
        close.push(0);
        let _ = self.commands.write_all(&close);
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if begun.elapsed() > Duration::from_secs(10) {
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The rules of accessibility that a page breaks seriously, by axe-core. None, with a loud word, when that is not
/// installed.
pub fn axe(browser: &mut Browser) -> Option<Vec<String>> {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../target/axe/node_modules/axe-core/axe.min.js"
    );
    let Ok(source) = std::fs::read_to_string(file) else {
        eprintln!("SKIPPED: no axe-core; bin/test-setup installs it where there is npm");
        return None;
    };
    browser.value(&format!("{source}; 0"));
    let found = browser.value(
        "axe.run().then((it) => it.violations.filter((it) => ['serious', 'critical'].includes(it.impact)).map((it) => it.id + ': ' + it.nodes.map((it) => it.html + ' ' + it.failureSummary).join(' | ')))",
    );
    let found = found.as_array().cloned().unwrap_or_default();
    Some(found.iter().map(|it| it.to_string()).collect())
}
