//! Every command of the README is run, in order, on a copy of `fixtures/demo`, and says what the
//! README shows. What differs from run to run (times, ports, who lost a conflict) is not compared.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use common::identity::Identity;
use common::wire::trashed::TrashId;

use crate::server::binary;

/// A fenced block: what stands after the fence, and what is in it.
struct Block {
    info: String,
    text: String,
}

/// Whose identities there are.
const MACHINE_A: &str = "identity";
const MACHINE_B: &str = "identity-b";

struct Reader {
    folder: tempfile::TempDir,
    /// Where server A is that the commands speak to.
    server: Option<String>,
    /// Where the server B is that a server A is started for.
    peer: Option<String>,
    /// Where the server A is that speaks to it.
    clients: Option<String>,
    /// Whose machine it is.
    who: &'static str,
    running: Vec<Running>,
}

/// A server that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing to do.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn every_command_of_the_readme_does_what_it_shows() {
    let text = fs::read_to_string(repository().join("README.md")).expect("the README");
    let mut blocks = blocks(&text).into_iter().filter(|b| !b.info.is_empty()).peekable();
    let mut reader = Reader::start();
    let mut ran = 0;
    while let Some(block) = blocks.next() {
        let shown = blocks.next_if(|next| next.info == "text").map(|next| next.text);
        match block.info.as_str() {
            "text" => continue,
            "sh" => reader.run(&block.text, shown.as_deref()),
            "sh up" => reader.up(&block.text, &shown.expect("the README shows what it says")),
            "sh server-b" => reader.server_b(&block.text),
            "sh server-a" => reader.server_a(&block.text),
            "sh ids" => reader.ids(&block.text),
            "sh client-b" => reader.client_b(&block.text),
            other => panic!("no rule for a block `{other}`"),
        }
        ran += 1;
    }
    assert!(ran >= 9, "the README has lost its commands");
}

impl Reader {
    /// A folder with what the commands need of the repository.
    fn start() -> Reader {
        let folder = tempfile::tempdir().expect("a folder");
        let demo = repository().join("fixtures/demo");
        fs::create_dir(folder.path().join("fixtures")).expect("a folder");
        for copy in ["fixtures/demo", "two"] {
            let mut command = Command::new("cp");
            command.arg("-r").arg(&demo).arg(folder.path().join(copy));
            assert!(command.status().expect("`cp` runs").success());
        }
        Reader {
            folder,
            server: None,
            peer: None,
            clients: None,
            who: MACHINE_A,
            running: Vec::new(),
        }
    }

    fn bash(&self, script: &str, directory: &Path) -> Command {
        let binaries = Path::new(env!("CARGO_BIN_EXE_lab3")).parent().expect("a directory");
        let path = format!("{}:{}", binaries.display(), std::env::var("PATH").expect("a path"));
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", script]).current_dir(directory);
        command.env("PATH", path).env("TZ", "UTC").env("USER", "anna");
        command.env("LAB3_IDENTITY", self.folder.path().join(self.who));
        command.env("XDG_RUNTIME_DIR", self.folder.path());
        command.env("LAB3_CACHE_DIR", self.folder.path().join("cache"));
        if let Some(server) = &self.server {
            command.env("LAB3_SERVER", server);
        }
        command
    }

    /// Runs a block to its end. What only builds is left to who builds this test.
    fn run(&mut self, block: &str, shown: Option<&str>) {
        let ci = fs::read_to_string(repository().join(".ci/run")).expect("the script");
        let (build, rest): (Vec<&str>, Vec<&str>) =
            block.lines().partition(|line| line.starts_with("cargo "));
        for line in build {
            assert!(line.starts_with("cargo build --release") || ci.contains(line), "{line}");
        }
        if rest.is_empty() {
            return;
        }
        // What is held waits for good, and that is no failure.
        let wait = "lab3 wait --timeout 60s || test $? = 5";
        let script = format!("{wait}\n{}", rest.join("\n"));
        let run = self.bash(&script, self.folder.path()).output().expect("`bash` runs");
        let (out, err) =
            (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
        assert!(run.status.success(), "{block}\nfailed with {}:\n{out}{err}", run.status);
        compare(block, shown.unwrap_or_default(), &out);
    }

    /// Starts both servers, at a free port, and waits for what the README shows of their talk.
    fn up(&mut self, block: &str, shown: &str) {
        let command = block.trim().replace("cargo run --release --bin lab3 --", "exec lab3");
        assert_ne!(command, block.trim(), "it is built and run in one command");
        let script = format!("{command} --listen 127.0.0.1:0");
        let last = shown.lines().last().expect("the README shows something");
        let directory = self.folder.path().to_owned();
        let said = self.spawn(&script, &directory, last);
        compare(block, shown, &said.join("\n"));
        self.server = Some(address(&said, "clients "));
    }

    /// Both machines have an id.
    fn ids(&mut self, block: &str) {
        for who in [MACHINE_B, MACHINE_A] {
            self.who = who;
            let ran = self.bash(block, self.folder.path()).output().expect("`bash` runs");
            let said = String::from_utf8_lossy(&ran.stdout).trim().to_owned();
            assert_eq!(said, self.id(who), "{block}");
        }
    }

    fn id(&self, who: &str) -> String {
        let identity = Identity::open(Some(&self.folder.path().join(who)));
        identity.expect("an identity").id().to_string()
    }

    /// The commands as they are on this machine: with the ids, and with addresses that are free.
    fn filled_in(&self, block: &str) -> String {
        let mut text = block.replace("ID-OF-A", &self.id(MACHINE_A));
        text = text.replace("ID-OF-B", &self.id(MACHINE_B));
        for port in ["0.0.0.0:7999", "0.0.0.0:4320"] {
            text = text.replace(port, "127.0.0.1:0");
        }
        text = text.replace("machine-b:7999", self.peer.as_deref().unwrap_or("-"));
        text.replace("machine-a:4320", self.clients.as_deref().unwrap_or("-"))
    }

    fn server_b(&mut self, block: &str) {
        self.who = MACHINE_B;
        let script = self.filled_in(block).replace("\nserver-b ", "\nexec server-b ");
        let directory = self.folder.path().join("two");
        let said = self.spawn(&script, &directory, "server-b ready:");
        self.peer = Some(address(&said, "peer "));
        self.who = MACHINE_A;
    }

    fn server_a(&mut self, block: &str) {
        let script = self.filled_in(block).replace("\nserver-a ", "\nexec server-a ");
        let directory = self.folder.path().join("two");
        let said = self.spawn(&script, &directory, "server-a ready:");
        self.clients = Some(address(&said, "clients "));
        let demo = std::mem::replace(&mut self.server, self.clients.clone());
        self.run("test -e two/directory_a/letters/anna.txt", None);
        // The rest of the README speaks of the demo again.
        self.server = demo;
    }

    /// The user of machine B asks server A.
    fn client_b(&mut self, block: &str) {
        self.who = MACHINE_B;
        let script = self.filled_in(block);
        let ran = self.bash(&script, self.folder.path()).output().expect("`bash` runs");
        assert!(ran.status.success() && !ran.stdout.is_empty(), "{block}: {ran:?}");
        self.who = MACHINE_A;
    }

    /// Starts a server and reads what it says until a line that begins like this one.
    fn spawn(&mut self, script: &str, directory: &Path, until: &str) -> Vec<String> {
        // Makes sure that the servers lie beside the client.
        binary("server-a");
        let mut command = self.bash(script, directory);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("`bash` runs");
        let out = child.stdout.take().expect("it is piped");
        self.running.push(Running(child));
        let mut said = Vec::new();
        let until: Vec<String> = words(until);
        // A server that ends too early closes its output, and the lines end.
        let mut lines = BufReader::new(out).lines();
        for line in lines.by_ref() {
            let line = line.expect("it speaks UTF-8");
            let found = words(&line).starts_with(&until);
            said.push(line);
            if found {
                // Nobody may close the pipe while it speaks.
                std::thread::spawn(move || lines.for_each(drop));
                return said;
            }
        }
        panic!("`{script}` ended before it said {until:?}:\n{}", said.join("\n"));
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(info), None) => {
                open = Some(Block { info: info.to_owned(), text: String::new() });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => block.text += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    blocks
}

/// The address behind a word of a ready line.
fn address(said: &[String], before: &str) -> String {
    let line = said.iter().rfind(|line| line.contains(before)).expect("a ready line");
    let rest = line.split(before).nth(1).expect("it is behind the word");
    rest.split(',').next().unwrap_or_default().to_owned()
}

/// Each line that is shown must have been said, in this order.
fn compare(block: &str, shown: &str, said: &str) {
    let mut lines = said.lines();
    for line in shown.lines() {
        let wanted = words(line);
        assert!(
            lines.any(|said| words(said) == wanted),
            "after\n{block}the README shows\n{line}\nbut it said\n{said}"
        );
    }
}

/// A line without what differs from run to run.
fn words(line: &str) -> Vec<String> {
    let either_side = line.contains("notes.");
    let word = |word: &str| match word {
        _ if word.starts_with("anna@") => "anna".to_owned(),
        _ if word.contains(".conflict-") => "conflict".to_owned(),
        _ if is_digest(word.trim_end_matches(',')) => "digest".to_owned(),
        "A" | "B" if either_side => "side".to_owned(),
        _ if TrashId::parse(word).is_some() => "id".to_owned(),
        _ if word.starts_with("127.0.0.1:") => "address".to_owned(),
        _ if word.starts_with(['…', '/']) => {
            word.rsplit('/').next().unwrap_or_default().to_owned()
        }
        _ if word.starts_with(|c: char| c.is_ascii_digit()) && word.contains([':', '-']) => {
            "time".to_owned()
        }
        _ if either_side && word.bytes().all(|b| b.is_ascii_digit()) => "number".to_owned(),
        _ => word.to_owned(),
    };
    line.split_whitespace().map(word).collect()
}

fn is_digest(word: &str) -> bool {
    word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit())
}
