//! What processes cost: the kernel's own counts of their time and memory.
#![expect(clippy::disallowed_methods, reason = "`/proc`")]

use std::collections::BTreeMap;
use std::fs;
use std::ops::Add;

use anyhow::Result;

/// What a thread has used: nanoseconds by the scheduler's clock, and how often it has waked up.
type Spent = (u64, u64);

/// What processes have used, and use.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    /// Seconds of the processor since the start, in hundredths.
    pub(crate) seconds: f64,
    /// Each thread that there is now.
    threads: BTreeMap<String, Spent>,
    /// Bytes in memory.
    pub(crate) resident: f64,
    /// The most that was in memory.
    pub(crate) peak: f64,
}

impl Usage {
    /// What the kernel says of a process. Its clock has a hundred ticks a second, wherever it is
    /// read.
    pub(crate) fn of(pid: u32) -> Result<Usage> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        // The name may hold anything, and ends at the last bracket; user and system time are fields
        // 14 and 15.
        let after = stat.rsplit(')').next().unwrap_or_default();
        let ticks = after.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.map(|field| field.parse().unwrap_or(0)).sum();
        let mut threads = BTreeMap::new();
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let path = task?.path();
            // A thread that ends meanwhile has nothing to say.
            let read = |name| fs::read_to_string(path.join(name)).unwrap_or_default();
            let spent = field(&read("schedstat"), "");
            let wakes = field(&read("status"), "voluntary_ctxt_switches:");
            threads.insert(path.to_string_lossy().into_owned(), (spent, wakes));
        }
        Ok(Usage {
            seconds: ticks as f64 / 100.0,
            threads,
            resident: (field(&status, "VmRSS:") * 1024) as f64,
            peak: (field(&status, "VmHWM:") * 1024) as f64,
        })
    }
}

impl Usage {
    /// Seconds of the processor and wake-ups since then, of the threads that there are now.
    pub(crate) fn since(&self, earlier: &Usage) -> (f64, f64) {
        let (mut seconds, mut wakes) = (0.0, 0.0);
        for (thread, now) in &self.threads {
            let then = earlier.threads.get(thread).copied().unwrap_or_default();
            seconds += now.0.saturating_sub(then.0) as f64 / 1e9;
            wakes += now.1.saturating_sub(then.1) as f64;
        }
        (seconds, wakes)
    }
}

impl Add for Usage {
    type Output = Usage;

    fn add(mut self, other: Usage) -> Usage {
        self.threads.extend(other.threads);
        Usage {
            seconds: self.seconds + other.seconds,
            threads: self.threads,
            resident: self.resident + other.resident,
            peak: self.peak + other.peak,
        }
    }
}

/// The number after the key at the beginning of a line; 0 if there is none.
fn field(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_says_what_it_uses() {
        let own = Usage::of(std::process::id()).expect("it runs");
        assert!(own.resident > 0.0 && own.resident <= own.peak, "{own:?}");
        assert_eq!(field("a:\t12 kB\nb: 3\n", "b:"), 3);
        assert_eq!(field("12 3 4\n", ""), 12);
        assert_eq!(field("a: 1\n", "c:"), 0);
        let of = |threads: &[(&str, Spent)]| Usage {
            threads: threads.iter().map(|(name, spent)| ((*name).to_owned(), *spent)).collect(),
            ..Usage::default()
        };
        let (before, after) = (of(&[("ends", (9, 9)), ("one", (5, 1))]), of(&[("one", (7, 4))]));
        assert_eq!(after.since(&before).1, 3.0, "what a thread took with it is not subtracted");
    }
}
