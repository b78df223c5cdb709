//! Stores through mappings, by a helper in Python: safe Rust has none.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::real::has;
use crate::torture_hand::Hand;
use crate::torture_token::{TOKEN_BYTES, slot};

/// How many slots a mapped file has.
pub(crate) const SLOTS: u64 = 200;

/// Answers each store with what was in the slot of that very file before.
const PROGRAM: &str = "
import mmap, sys, time
for request in sys.stdin:
    path, number, flush, pause, text = request.rstrip('\\n').split('\\t')
    at = int(number) * 64
    try:
        with open(path, 'r+b') as f:
            m = mmap.mmap(f.fileno(), 0)
        time.sleep(int(pause) / 1e6)
        old = m[at:at + 10].decode()
        m[at:at + 64] = text.encode() + b'\\n'
        time.sleep(int(pause) / 1e6)
        if flush == '1':
            m.flush()
        m.close()
        print(old, flush=True)
    except (OSError, ValueError) as e:
        print('failed', flush=True)
";

/// The helper, once it is needed.
#[derive(Default)]
pub(crate) struct Maps(Option<Helper>);

struct Helper {
    child: Child,
    requests: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

/// Whether there can be stores through mappings.
pub(crate) fn can_map() -> bool {
    has("python3")
}

impl Maps {
    /// Stores one slot of a file.
    pub(crate) fn store(&mut self, hand: &mut Hand, path: &str) {
        if !can_map_once(&self.0) {
            return;
        }
        let helper = self.0.get_or_insert_with(Helper::start);
        let (number, flush) = (hand.dice.below(SLOTS), hand.dice.below(2));
        let pause = [0, 500, 20_000][hand.dice.below(3) as usize];
        let token = hand.begin("map", path);
        let full = hand.root.join(path).display().to_string();
        let text = slot(&token);
        write!(helper.requests, "{full}\t{number}\t{flush}\t{pause}\t{text}").expect("asked");
        let answer = helper.answers.next().expect("an answer").expect("text");
        if answer == "failed" {
            return hand.outcome(&token, Err(std::io::Error::other("not mapped")));
        }
        assert_eq!(answer.len(), TOKEN_BYTES, "{answer}");
        hand.away(&answer);
        hand.acknowledged(&token);
    }
}

fn can_map_once(helper: &Option<Helper>) -> bool {
    helper.is_some() || can_map()
}

impl Helper {
    fn start() -> Helper {
        let mut command = Command::new("python3");
        command.args(["-c", PROGRAM]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python runs");
        let requests = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stdout.take().expect("piped")).lines();
        Helper { child, requests, answers }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
