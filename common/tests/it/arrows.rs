//! Who may know whom: packages, modules, and the world outside.

use crate::tidy::{Source, files, none, rust};

/// A package, and where alone its name may be written.
const PACKAGES: [(&str, &[&str]); 21] = [
    ("base64", &["lab3-client/src/json.rs"]),
    ("blake3", &["common/src/digest.rs", "common/src/store/row.rs"]),
    ("chrono", &["common/src/time.rs"]),
    ("ciborium", &["common/src/wire/cbor.rs"]),
    ("clap", &["common/src/options.rs", "/src/cli.rs", "/src/main.rs", "lab3-client/src/up.rs"]),
    ("fastcdc", &["common/src/delta/recipe.rs"]),
    ("ignore", &["common/src/replica/ignore.rs"]),
    // Elsewhere in these only the numbers of errors.
    (
        "libc",
        &[
            "common/src/sys.rs",
            "common/src/store/open.rs",
            "common/src/replica/sight.rs",
            "common/src/replica/watch.rs",
        ],
    ),
    ("notify", &["common/src/replica/watch.rs"]),
    ("redb", &["common/src/store/"]),
    ("ring", &["common/src/identity/key.rs", "common/src/identity/proof.rs"]),
    (
        "rustix",
        &[
            "bench/src/",
            "common/src/identity/",
            "common/src/replica/",
            "common/src/wire/local.rs",
            "common/src/wire/secure.rs",
        ],
    ),
    ("rustls", &["common/src/identity/", "common/src/wire/secure.rs"]),
    ("serde_json", &["bench/src/report.rs", "bench/src/run.rs", "lab3-client/src/json.rs"]),
    (
        "tokio",
        &[
            "common/src/stop.rs",
            "common/src/takeover.rs",
            "common/src/wire/connection.rs",
            "common/src/wire/handshake.rs",
            "common/src/wire/lobby.rs",
            "common/src/wire/local.rs",
            "common/src/wire/secure.rs",
            "server-a/src/clients.rs",
            "server-a/src/ending.rs",
            "server-a/src/lib.rs",
            "server-a/src/mail.rs",
            "server-a/src/peer.rs",
            "server-b/src/agent.rs",
            "server-b/src/lib.rs",
            "lab3-client/src/request.rs",
            "lab3-client/src/run.rs",
            "lab3-client/src/up.rs",
        ],
    ),
    ("tokio_rustls", &["common/src/wire/secure.rs"]),
    ("tracing_appender", &["common/src/talk.rs"]),
    ("tracing_subscriber", &["common/src/talk.rs"]),
    ("walkdir", &["bench/src/tree.rs", "common/src/replica/disk/names.rs"]),
    ("zeroize", &["common/src/identity/key.rs"]),
    ("common", &["bench/src/parts/", "server-a/src/", "server-b/src/", "lab3-client/src/"]),
];

/// A module or folder, and which modules of our own it may name; all below `common/src` as
/// `common::…`, all others as `crate::…`. Within its own folder it may name everything.
const ARROWS: [(&str, &[&str]); 49] = [
    // It knows the programs from outside only, but for the parts that it measures alone.
    (
        "bench/src/",
        &[
            "change",
            "delta",
            "digest",
            "dirty",
            "entry",
            "limits",
            "path",
            "reconcile",
            "replica",
            "side",
            "store",
            "time",
            "tree",
            "wire",
        ],
    ),
    ("common/src/limits.rs", &[]),
    ("common/src/digest.rs", &[]),
    ("common/src/problem.rs", &["limits"]),
    ("common/src/side.rs", &[]),
    ("common/src/time.rs", &["limits"]),
    ("common/src/sys.rs", &[]),
    ("common/src/stop.rs", &["sys"]),
    ("common/src/takeover.rs", &[]),
    ("common/src/path.rs", &["limits"]),
    ("common/src/entry.rs", &["digest", "limits", "time"]),
    ("common/src/change.rs", &["entry", "merkle", "path", "problem"]),
    ("common/src/merkle.rs", &["digest", "entry", "limits", "path"]),
    ("common/src/grown.rs", &[]),
    ("common/src/tree.rs", &["entry", "grown", "merkle", "path"]),
    ("common/src/dirty.rs", &["limits", "path", "time"]),
    ("common/src/delta/", &["digest", "limits", "wire::message"]),
    (
        "common/src/reconcile/",
        &["change", "digest", "entry", "limits", "path", "side", "time", "tree"],
    ),
    ("common/src/store/", &["entry", "path", "takeover", "time", "tree", "wire::cbor"]),
    ("common/src/wire/cbor.rs", &[]),
    ("common/src/wire/frame.rs", &[]),
    (
        "common/src/wire/message.rs",
        &[
            "change",
            "digest",
            "entry",
            "limits",
            "merkle",
            "path",
            "problem",
            "time",
            "wire::trashed",
        ],
    ),
    ("common/src/wire/log.rs", &["entry", "path", "side", "time"]),
    ("common/src/wire/verify.rs", &["digest", "path", "side", "time"]),
    ("common/src/wire/parts.rs", &["limits"]),
    ("common/src/wire/piece.rs", &["wire"]),
    ("common/src/wire/speech.rs", &["wire"]),
    ("common/src/wire/trashed.rs", &["entry", "path", "side", "time"]),
    (
        "common/src/wire/client.rs",
        &["entry", "path", "side", "time", "wire::message", "wire::log", "wire::verify"],
    ),
    ("common/src/wire/client/", &["digest", "entry", "path", "side", "time", "wire::trashed"]),
    ("common/src/wire/connection.rs", &["limits", "wire"]),
    ("common/src/wire/handshake.rs", &["limits", "path", "wire"]),
    ("common/src/wire/lobby.rs", &[]),
    ("common/src/wire/local.rs", &["identity::id", "wire"]),
    ("common/src/wire/secure.rs", &["identity", "wire"]),
    ("common/src/identity/", &["digest", "path"]),
    ("common/src/exchange/", &["digest", "limits", "path", "replica::source", "wire"]),
    (
        "common/src/replica/",
        &[
            "change",
            "delta",
            "digest",
            "dirty",
            "entry",
            "grown",
            "limits",
            "merkle",
            "path",
            "problem",
            "side",
            "store",
            "sys",
            "takeover",
            "time",
            "wire::message",
            "wire::parts",
            "wire::trashed",
            "reconcile::conflict",
            // The service takes its options, and gives a reader to whoever answers questions.
            "options",
            "exchange::giver",
        ],
    ),
    (
        "server-a/src/coordinator/",
        &[
            "change",
            "digest",
            "entry",
            "limits",
            "merkle",
            "path",
            "problem",
            "reconcile",
            "side",
            "time",
            "tree",
            "wire::client",
            "wire::log",
            "wire::message",
            "wire::verify",
            "wire::parts",
            "wire::trashed",
            "crate::broken",
            "crate::locks",
            "crate::pending::queue",
            "crate::underway",
        ],
    ),
    (
        "server-a/src/timing/",
        &[
            "change",
            "limits",
            "path",
            "side",
            "time",
            "wire::client",
            "wire::message",
            "crate::coordinator::action",
            "crate::coordinator::event",
        ],
    ),
    ("server-a/src/frame.rs", &["digest", "wire::cbor"]),
    ("server-a/src/underway/mod.rs", &["change", "entry", "path", "side", "wire::message"]),
    ("server-a/src/journal/search.rs", &["path", "wire::log"]),
    ("server-a/src/broken.rs", &["path", "time", "wire::client"]),
    ("server-a/src/locks.rs", &["limits", "path", "time", "wire::client"]),
    ("server-a/src/recent.rs", &["digest"]),
    ("server-a/src/roles.rs", &["identity::trusted", "wire::client"]),
    ("server-a/src/pending/queue.rs", &["entry", "path", "time", "wire::client"]),
    (
        "lab3-client/src/",
        &[
            "digest",
            "entry",
            "identity",
            "options",
            "path",
            "side",
            "stop",
            "sys",
            "talk",
            "time",
            "wire",
            // `lab3 up` has both directories before it.
            "replica::place",
        ],
    ),
];

/// What decides or computes: it touches no disk, socket, clock, thread or environment.
const PURE: [&str; 60] = [
    "bench/src/dice.rs",
    "bench/src/figures.rs",
    "bench/src/parts/content.rs",
    "bench/src/parts/deciding.rs",
    "bench/src/parts/made.rs",
    "bench/src/parts/talking.rs",
    "bench/src/plot.rs",
    "bench/src/reference.rs",
    "bench/src/shape.rs",
    "common/src/change.rs",
    "common/src/delta/",
    "common/src/digest.rs",
    "common/src/dirty.rs",
    "common/src/entry.rs",
    "common/src/identity/id.rs",
    "common/src/identity/trusted.rs",
    "common/src/limits.rs",
    "common/src/merkle.rs",
    "common/src/options.rs",
    "common/src/path.rs",
    "common/src/problem.rs",
    "common/src/reconcile/",
    "common/src/side.rs",
    "common/src/store/mod.rs",
    "common/src/store/row.rs",
    "common/src/grown.rs",
    "common/src/tree.rs",
    "common/src/wire/cbor.rs",
    "common/src/wire/client.rs",
    "common/src/wire/client/",
    "common/src/wire/frame.rs",
    "common/src/wire/log.rs",
    "common/src/wire/message.rs",
    "common/src/wire/verify.rs",
    "common/src/wire/parts.rs",
    "common/src/wire/piece.rs",
    "common/src/wire/speech.rs",
    "common/src/wire/trashed.rs",
    "lab3-client/src/exit.rs",
    "lab3-client/src/history.rs",
    "lab3-client/src/json.rs",
    "lab3-client/src/listing.rs",
    "lab3-client/src/span.rs",
    "lab3-client/src/speed.rs",
    "lab3-client/src/status.rs",
    "lab3-client/src/table.rs",
    "lab3-client/src/target.rs",
    "lab3-client/src/verified.rs",
    "lab3-client/src/words.rs",
    "server-a/src/broken.rs",
    "server-a/src/coordinator/",
    "server-a/src/frame.rs",
    "server-a/src/journal/search.rs",
    "server-a/src/locks.rs",
    "server-a/src/notes.rs",
    "server-a/src/pending/queue.rs",
    "server-a/src/recent.rs",
    "server-a/src/roles.rs",
    "server-a/src/timing/",
    "server-a/src/underway/mod.rs",
];

fn sources() -> Vec<Source> {
    rust().into_iter().filter(|source| source.path.contains("/src/")).collect()
}

/// Lines of code, without the comments.
fn lines(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    let lines = source.code().lines().enumerate();
    lines.map(|(i, line)| (i + 1, line)).filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Whether a name stands in a line as the beginning of a path.
fn begins_path(line: &str, name: &str) -> bool {
    let path = format!("{name}::");
    line.match_indices(&path).any(|(at, _)| {
        !line[..at].ends_with(|c: char| c == ':' || c == '_' || c.is_ascii_alphanumeric())
    })
}

/// The modules after `crate::` or `common::` in a line, two steps deep.
fn named<'l>(line: &'l str, root: &str) -> Vec<&'l str> {
    let is_name = |c: char| c == '_' || c.is_ascii_lowercase();
    let mut found = Vec::new();
    for (at, path) in line.match_indices(&format!("{root}::")) {
        let rest = &line[at + path.len()..];
        let first = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let more = rest[first..].strip_prefix("::").unwrap_or_default();
        let second = more.find(|c| !is_name(c)).unwrap_or(more.len());
        let end = if second > 0 { first + 2 + second } else { first };
        if end > 0 {
            found.push(&rest[..end]);
        }
    }
    found
}

#[test]
fn each_package_stops_where_it_should() {
    let mut complaints = Vec::new();
    for source in sources() {
        for (package, places) in PACKAGES {
            let allowed = places.iter().any(|place| source.path.contains(place));
            let mut uses = lines(&source).filter(|(_, line)| begins_path(line, package));
            if let Some((i, _)) = uses.next().filter(|_| !allowed) {
                complaints.push(format!("{}:{i}: `{package}` must stop elsewhere", source.path));
            }
        }
    }
    none(&complaints);
}

#[test]
fn arrows_between_modules_point_one_way() {
    let mut complaints = Vec::new();
    for (place, allowed) in ARROWS {
        let (package, inside) = place.split_once("/src/").expect("places are below `src`");
        let own = inside.trim_end_matches(".rs").trim_end_matches('/').replace('/', "::");
        for source in sources().iter().filter(|source| source.path.starts_with(place)) {
            for (i, line) in lines(source) {
                let ours = named(line, "crate").into_iter().filter(|name| {
                    let whole = format!("crate::{name}");
                    let name = if package == "common" { *name } else { whole.as_str() };
                    let home = own.is_empty() || within(name.trim_start_matches("crate::"), &own);
                    !home && !allowed.iter().any(|path| within(name, path))
                });
                let shared = named(line, "common")
                    .into_iter()
                    .filter(|name| !allowed.iter().any(|path| within(name, path)));
                for name in ours.chain(shared) {
                    complaints.push(format!("{}:{i}: must not know `{name}`", source.path));
                }
            }
        }
    }
    none(&complaints);
}

fn within(name: &str, path: &str) -> bool {
    name == path || name.strip_prefix(path).is_some_and(|rest| rest.starts_with("::"))
}

#[test]
fn what_decides_lifts_no_ban() {
    let mut complaints = Vec::new();
    for source in sources() {
        let lifts = lines(&source).find(|(_, line)| line.contains("clippy::disallowed_"));
        if let Some((i, _)) = lifts
            && PURE.iter().any(|place| source.path.starts_with(place))
        {
            complaints.push(format!("{}:{i}: a pure module lifts a ban", source.path));
        }
    }
    for place in PURE {
        let folder = place.rsplit_once('/').map_or("", |(folder, _)| folder);
        assert!(files(folder, ".rs").iter().any(|s| s.path.starts_with(place)), "no `{place}`");
    }
    none(&complaints);
}

#[test]
fn a_ban_is_lifted_once_a_module_and_says_why() {
    let mut complaints = Vec::new();
    for source in sources() {
        let lifted = lines(&source).filter(|(_, line)| line.contains("clippy::disallowed_methods"));
        if lifted.count() > 1 || source.code().contains("allow(clippy::disallowed") {
            complaints.push(format!("{}: more than one `expect`, or an `allow`", source.path));
        }
    }
    none(&complaints);
}

/// What a commit, a look or recovery does must run on the disk of the tests, too.
#[test]
fn a_replica_reaches_its_disk_through_handles_alone() {
    // What locks, watches, says where a root is, what is free and where something kept is; and the
    // handles of the kernel themselves.
    let elsewhere =
        ["claim.rs", "kept.rs", "life.rs", "place.rs", "room.rs", "watch.rs", "disk/real.rs"];
    let calls = ["std::fs", "rustix::fs", "rustix::io"].map(|module| format!("{module}::"));
    let mut complaints = Vec::new();
    for source in sources() {
        let Some(inside) = source.path.strip_prefix("common/src/replica/") else { continue };
        if elsewhere.contains(&inside) || inside == "crash_tests.rs" {
            continue;
        }
        for (i, line) in lines(&source) {
            let types = line.starts_with("use rustix::");
            if !types && calls.iter().any(|call| line.contains(call)) {
                complaints.push(format!("{}:{i}: goes to the kernel by itself", source.path));
            }
        }
    }
    none(&complaints);
}

#[test]
fn only_one_module_is_unsafe() {
    let word = ["unsa", "fe"].concat();
    let complaints: Vec<String> = sources()
        .iter()
        .filter(|source| source.path != "common/src/sys.rs")
        .flat_map(|source| {
            let found = lines(source).filter(|(_, line)| {
                line.split(|c: char| c != '_' && !c.is_ascii_alphanumeric()).any(|w| w == word)
            });
            found.map(|(i, _)| format!("{}:{i}", source.path)).collect::<Vec<_>>()
        })
        .collect();
    none(&complaints);
}
