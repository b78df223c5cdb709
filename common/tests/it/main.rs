//! What the parts of `common` promise together, on real disks.

mod observed;
mod observer_barrier;
mod observer_guard;
mod scan_ignore;
mod scan_kinds;
mod scan_names;
mod watch_directories;
mod watch_files;
mod watch_limits;
