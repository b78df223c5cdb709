//! `strace` as a tool of tests: it counts the calls of a server, ends the server at one of them,
//! or makes some of them fail. It counts for each thread and each call by itself, so one call of
//! one thread is what can be named: `commit renameat2 3`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use rustix::process::{Pid, Signal, kill_process};

use crate::server::until;

/// The calls that leave something behind, on disk or on the link.
pub(crate) const CALLS: &str = "write,writev,pwrite64,copy_file_range,ftruncate,fallocate,\
    fsync,fdatasync,syncfs,renameat,renameat2,rename,linkat,link,symlinkat,symlink,\
    unlinkat,unlink,rmdir,mkdirat,mkdir,openat,openat2,open,sendto,sendmsg,fchmod,utimensat";

/// One call of one thread of a server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Call {
    /// The name of the thread, as the kernel has it; any thread when empty.
    pub(crate) thread: String,
    pub(crate) name: String,
    /// Counted from 1.
    pub(crate) nth: u32,
}

impl Call {
    /// `thread:call:n`, with nothing that a shell would take apart.
    pub(crate) fn word(&self) -> String {
        format!("{}:{}:{}", self.thread.replace(' ', "+"), self.name, self.nth)
    }

    pub(crate) fn from_word(word: &str) -> Option<Call> {
        let mut parts = word.split(':');
        let thread = parts.next()?.replace('+', " ");
        let (name, nth) = (parts.next()?.to_owned(), parts.next()?.parse().ok()?);
        Some(Call { thread, name, nth })
    }

    /// The options that end whoever makes this call, before it is done.
    pub(crate) fn kill(&self) -> [String; 4] {
        self.inject(&format!("signal=SIGKILL:when={}", self.nth))
    }

    /// The options that do something to this call.
    pub(crate) fn inject(&self, what: &str) -> [String; 4] {
        let (trace, inject) = (format!("trace={}", self.name), format!("{}:{what}", self.name));
        ["-e".into(), trace, "-e".into(), format!("inject={inject}")]
    }
}

/// Whether servers can be traced here.
pub(crate) fn can_trace() -> bool {
    static CAN: OnceLock<bool> = OnceLock::new();
    *CAN.get_or_init(|| {
        let mut command = Command::new("strace");
        command.args(["-qq", "-o", "/dev/null", "-e", "inject=getppid:error=EIO", "true"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    })
}

/// The threads of a process: number and name.
pub(crate) fn threads(process: Pid) -> BTreeMap<i32, String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", process.as_raw_nonzero()));
    let numbers = tasks.into_iter().flatten().flatten();
    let numbers = numbers.filter_map(|task| task.file_name().to_str()?.parse::<i32>().ok());
    numbers.map(|number| (number, thread_name(number))).collect()
}

fn thread_name(number: i32) -> String {
    let name = fs::read_to_string(format!("/proc/{number}/comm")).unwrap_or_default();
    name.trim_end().to_owned()
}

/// A running `strace`, which lets go when it is dropped.
pub(crate) struct Strace(Child);

impl Strace {
    /// Holds the threads with this name, or all of them; `None` when the process has just ended.
    pub(crate) fn attach(process: Pid, thread: &str, options: &[String]) -> Option<Strace> {
        let all = threads(process);
        let wanted: Vec<i32> = all
            .iter()
            .filter(|(_, name)| thread.is_empty() || *name == thread)
            .map(|(number, _)| *number)
            .collect();
        assert!(!wanted.is_empty(), "no thread is named {thread:?}: {all:?}");
        let mut command = Command::new("strace");
        command.args(["-qq", "-o", "/dev/null"]).args(options);
        for number in &wanted {
            command.args(["-p", &number.to_string()]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut strace = Strace(command.spawn().expect("strace starts"));
        let mut ended = false;
        until("strace holds the threads", || {
            ended = strace.0.try_wait().expect("a child").is_some();
            ended || wanted.iter().all(|number| is_traced(*number))
        });
        (!ended).then_some(strace)
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        // SIGTERM lets it detach; it is gone already when the process that it held is.
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let _ = self.0.wait();
    }
}

/// Ends whoever traces a process from its start. The process goes on: to be told to end nicely,
/// `strace` would take it along.
pub(crate) fn let_go(process: Pid) {
    let number = process.as_raw_nonzero().get();
    let status = fs::read_to_string(format!("/proc/{number}/status")).unwrap_or_default();
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    let tracer = tracer.and_then(|number| Pid::from_raw(number.trim().parse().ok()?));
    if let Some(tracer) = tracer {
        let _ = kill_process(tracer, Signal::KILL);
        until("nobody traces it", || !is_traced(number));
    }
}

/// Whether all threads of a process are stopped.
pub(crate) fn stands_still(process: Pid) -> bool {
    threads(process).keys().all(|number| {
        let status = fs::read_to_string(format!("/proc/{number}/status")).unwrap_or_default();
        status.contains("State:\tT") || status.contains("State:\tt") || status.is_empty()
    })
}

/// Whether somebody traces a thread. One that is gone needs no tracing.
fn is_traced(number: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{number}/status")).unwrap_or_default();
    !status.contains("TracerPid:\t0\n")
}

/// A server under `strace` from its first call on, and still a child of whoever starts it.
pub(crate) fn traced(server: &Command, options: &[String]) -> Command {
    let mut command = Command::new("strace");
    // `-f` twice would mean one log for each thread.
    let options = options.iter().filter(|option| *option != "-f");
    command.args(["-D", "-f", "-qq", "-o", "/dev/null"]).args(options).arg("--");
    command.arg(server.get_program()).args(server.get_args());
    command.envs(server.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

/// The calls that a log of `strace -f` tells of. `names` are threads that were there before; of
/// opened files only those that are made count, if that is wanted.
pub(crate) fn calls(log: &Path, names: Option<&BTreeMap<i32, String>>, made: bool) -> Vec<Call> {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut counts: BTreeMap<(i32, String), u32> = BTreeMap::new();
    let mut found = Vec::new();
    for line in text.lines() {
        let Some((number, rest)) = line.split_once(' ') else { continue };
        let (Ok(number), Some((name, rest))) = (number.parse(), rest.trim_start().split_once('('))
        else {
            continue;
        };
        if name.contains(|c: char| !c.is_ascii_alphanumeric()) {
            continue;
        }
        let nth = counts.entry((number, name.to_owned())).or_default();
        *nth += 1;
        // What only wakes another thread does not fail.
        let wakes = rest.contains("anon_inode:[event");
        if wakes || (made && name.starts_with("open") && !rest.contains("O_CREAT")) {
            continue;
        }
        let thread = match names {
            None => String::new(),
            Some(names) => match names.get(&number) {
                Some(thread) => thread.clone(),
                None => continue,
            },
        };
        found.push(Call { thread, name: name.to_owned(), nth: *nth });
    }
    found.sort();
    found.dedup();
    found
}
