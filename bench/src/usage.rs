//! What processes cost: the kernel's own counts of their time and memory.
#![expect(clippy::disallowed_methods, reason = "`/proc`")]

use std::fs;
use std::ops::Add;

use anyhow::Result;

/// What processes have used, and use.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Seconds of the processor since the start, in hundredths.
    pub(crate) seconds: f64,
    /// The same of the threads that there are now, by the scheduler's clock; 0 without it.
    pub(crate) scheduled: f64,
    /// How often these threads have waked up.
    pub(crate) wakes: f64,
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
        let (mut scheduled, mut wakes) = (0, 0);
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            // A thread that ends meanwhile has nothing to say.
            let read = |name| fs::read_to_string(task.as_ref().ok()?.path().join(name)).ok();
            let spent = read("schedstat").unwrap_or_default();
            scheduled += field(&spent, "");
            wakes += field(&read("status").unwrap_or_default(), "voluntary_ctxt_switches:");
        }
        Ok(Usage {
            seconds: ticks as f64 / 100.0,
            scheduled: scheduled as f64 / 1e9,
            wakes: wakes as f64,
            resident: (field(&status, "VmRSS:") * 1024) as f64,
            peak: (field(&status, "VmHWM:") * 1024) as f64,
        })
    }
}

impl Add for Usage {
    type Output = Usage;

    fn add(self, other: Usage) -> Usage {
        Usage {
            seconds: self.seconds + other.seconds,
            scheduled: self.scheduled + other.scheduled,
            wakes: self.wakes + other.wakes,
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
    }
}
