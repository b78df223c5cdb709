//! Stops a server at one chosen call of one chosen thread: between two steps of what it does.

use std::fs;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};

use crate::server::{Server, until};

/// The calls that change something on a disk, or that make a change durable.
pub(crate) const CALLS: &str = "fsync,fdatasync,syncfs,sync_file_range,rename,renameat,renameat2,\
     link,linkat,unlink,unlinkat,symlink,symlinkat,mkdir,mkdirat,rmdir,write,pwrite64,pwritev,\
     ftruncate,fallocate,fchmod,fchmodat,utimensat";

/// Somebody who stops a server. The server is left stopped; it is to be killed.
pub(crate) struct Stop {
    tracer: Child,
    pid: i32,
}

impl Stop {
    /// Whether that can be done here.
    pub(crate) fn is_possible() -> bool {
        let version = Command::new("strace").arg("--version").output();
        version.is_ok_and(|ran| ran.status.success())
    }

    /// Stops it when the threads of this name make the call of this number, from now on. The call
    /// itself is still carried out.
    pub(crate) fn at(server: &Server, thread: &str, call: u32) -> Stop {
        let pid = server.pid().as_raw_nonzero().get();
        let threads = threads(pid, thread);
        assert!(!threads.is_empty(), "there is no thread `{thread}`");
        let mut strace = Command::new("strace");
        for id in &threads {
            strace.args(["-p", id]);
        }
        strace.args(["-e", &format!("trace={CALLS}"), "-e", "signal=none"]);
        strace.args(["-e", &format!("inject={CALLS}:signal=SIGSTOP:when={call}")]);
        strace.args(["-o", "/dev/null"]).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut tracer = strace.spawn().expect("strace runs");
        let mut said = tracer.stderr.take().expect("its stderr");
        let flags = rustix::fs::fcntl_getfl(said.as_fd()).expect("flags");
        let flags = flags | rustix::fs::OFlags::NONBLOCK;
        rustix::fs::fcntl_setfl(said.as_fd(), flags).expect("flags are set");
        let mut text = Vec::new();
        until("strace is there", || {
            // Would block, until it says something.
            drop(said.read_to_end(&mut text));
            String::from_utf8_lossy(&text).matches("attached").count() == threads.len()
        });
        Stop { tracer, pid }
    }

    /// Whether it is stopped now, with all its threads.
    pub(crate) fn has_stopped(&self) -> bool {
        is_stopped(self.pid)
    }
}

/// Whether all threads of a process are stopped.
pub(crate) fn is_stopped(pid: i32) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    let mut tasks = tasks.filter_map(Result::ok);
    tasks.all(|task| {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest).trim_start();
        after.starts_with(['T', 't'])
    })
}

impl Drop for Stop {
    fn drop(&mut self) {
        let _ = self.tracer.kill();
        let _ = self.tracer.wait();
    }
}

/// The threads of a process that have this name.
fn threads(pid: i32, name: &str) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("its threads");
    let tasks = tasks.filter_map(Result::ok);
    tasks
        .filter(|task| {
            let comm = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            comm.trim_end() == name
        })
        .map(|task| task.file_name().to_string_lossy().into_owned())
        .collect()
}
