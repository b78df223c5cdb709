//! One message of each sort, for the frozen frames.

use common::change::{Change, Operation, Outcome};
use common::digest::{Digest, Mark};
use common::entry::{Entry, File, Kind, Link as Symlink};
use common::merkle::{Level, LevelRow, Question, Sum};
use common::path::RelPath;
use common::problem::{Problem, ProblemKind};
use common::side::Side;
use common::time::{Micros, Timestamp};
use common::wire::client::timed::{Speed, Spread, Stages, Trace};
use common::wire::client::{
    Answer, BrokenRow, DrainMode, Generation, HeldOp, HeldRow, Link, ListingPart, ListingRow,
    LockRow, PathStatus, ProblemRow, Receipt, Refusal, RefusalKind, Request, State, Status, Target,
    Waited, WaitingRow,
};
use common::wire::log::{Happened, LogPart, LogQuery, LogRow, Version};
use common::wire::message::{
    Ask, AskId, Chunk, Condition, Content, Give, Given, Hello, Observation, Order, OrderId,
    PeerMessage, Reception, ReplicaId, Report, Role, Row, Spent, Want,
};
use common::wire::trashed::{TrashFound, TrashName, TrashReason, TrashRow};
use common::wire::verify::{CheckEnd, DifferingRow, ExceptionRow, RottenRow, Verified};
use serde_bytes::ByteBuf;

use crate::wire_golden::Golden;
use crate::wire_kept;

fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("a path")
}

fn time() -> Timestamp {
    Timestamp { seconds: 1_795_255_800, nanos: 123_456_789 }
}

fn file() -> Entry {
    Entry::from(File { digest: Digest([0xd1; 32]), size: 5, mode: 0o644, modified: time() })
}

fn link() -> Entry {
    Entry::from(Symlink { target: b"notes.txt".as_slice().into(), modified: time() })
}

fn trash_name() -> TrashName {
    TrashName::new("01795255800-0123456789abcdef-7").expect("a name")
}

fn trash_row() -> TrashRow {
    let (path, reason) = (path("docs/notes.txt"), TrashReason::Replaced);
    TrashRow { name: trash_name(), path, size: 5, time: time(), reason }
}

fn trash_found() -> TrashFound {
    TrashFound { path: path("docs/notes.txt"), entry: file() }
}

fn problem() -> Problem {
    let detail = "cannot open `secret`: permission denied".to_owned();
    Problem { kind: ProblemKind::Unreadable, detail }
}

pub(crate) fn handshake(golden: &mut Golden) {
    let dialer =
        Hello::new(Role::Coordinator, Some(ReplicaId(0xa1a2_a3a4_a5a6_a7a8_a9aa_abac_adae_afb0)));
    let acceptor = Hello { features: vec!["later".to_owned()], ..Hello::new(Role::Agent, None) };
    golden.add("hello_coordinator", &dialer);
    golden.add("hello_client", &Hello::new(Role::Client, None));
    golden.add("reception_welcome", &Reception::Welcome(acceptor));
    golden.add("reception_refused", &Reception::Refused("another server A is connected".into()));
}

pub(crate) fn orders(golden: &mut Golden) {
    let id = OrderId(7);
    let mut commit = |name, before, after, content| {
        let operation =
            Operation::Change(Change { path: path("docs/notes.txt"), before, after, copy: None });
        golden.add(name, &PeerMessage::Order(Order::Commit { id, operation, content }));
    };
    let inline = Content::Inline(ByteBuf::from(b"hello".to_vec()));
    commit("order_commit_create", None, Some(file()), inline);
    commit("order_commit_replace", Some(link()), Some(file()), Content::Pull(path("new.txt")));
    commit("order_commit_copy", None, Some(file()), Content::Local(path("old.txt")));
    commit("order_commit_held", Some(file()), Some(file()), Content::Held(12));
    commit("order_commit_trash", None, Some(file()), Content::Trash);
    commit("order_commit_trashed", None, Some(file()), Content::Trashed(trash_name()));
    commit("order_commit_delete", Some(Entry::Dir { mode: 0o755 }), None, Content::None);
    let copy = Some(path("notes.conflict-A-20010203-040506-d1d1d1d1.txt"));
    let (before, after) = (Some(file()), Some(link()));
    let loses = Operation::Change(Change { path: path("notes.txt"), before, after, copy });
    let operation = Operation::Rename { from: path("a"), to: path("b/c"), before: file() };
    let below = Sum { digest: Digest([0xd2; 32]), entries: 17 };
    let clears = Operation::Clear { path: path("a"), before: Entry::Dir { mode: 0o755 }, below };
    let content = Content::None;
    for (name, order) in [
        ("order_commit_rename", Order::Commit { id, operation, content }),
        ("order_commit_clear", Order::Commit { id, operation: clears, content: Content::None }),
        ("order_commit_loser", Order::Commit { id, operation: loses, content: Content::None }),
        ("order_inventory", Order::Inventory),
        ("order_settle", Order::Settle { id: OrderId(u64::MAX) }),
        ("order_rescan", Order::Rescan { path: Some(path("docs")) }),
        ("order_rescan_all", Order::Rescan { path: None }),
        ("order_sync", Order::Sync { id, paths: vec![path("a"), path("b/c")] }),
        ("order_approve", Order::Approve),
        ("order_meet", Order::Meet { number: 3 }),
        ("order_compare", Order::Compare { id, question: question() }),
        ("order_reread", Order::Reread { id }),
        ("order_list_trash", Order::ListTrash { id, below: Some(path("docs")) }),
        ("order_find_trash", Order::FindTrash { id, name: trash_name() }),
    ] {
        golden.add(name, &PeerMessage::Order(order));
    }
}

pub(crate) fn reports(golden: &mut Golden) {
    let id = OrderId(7);
    let observation = Observation {
        carried: vec![(path("d"), path("e"))],
        rows: vec![
            Row { path: path("a"), entry: None, content: None, seen: None },
            Row {
                path: path("b"),
                entry: Some(file()),
                content: Some(ByteBuf::from(b"hello".to_vec())),
                seen: Some(Micros::from(1234)),
            },
        ],
        moved: vec![(path("a"), path("b"))],
        strayed: vec![(path("c"), path("d"))],
        problems: vec![(path("secret"), Some(problem())), (path("cured"), None)],
        more: true,
    };
    let condition = Condition {
        halted: Some("the root is suddenly empty".to_owned()),
        watched: 10,
        polled: 2,
        unwatched: 1,
        watch_hint: Some("sysctl fs.inotify.max_user_watches=20000".to_owned()),
        scrubs: 3,
        scrub_found: 1,
        lacks: vec!["rename exchange".to_owned()],
        linked_outside: vec![path("shared.log")],
        unsettled: None,
    };
    let aside = Some(path("a.conflict-B-20261121-095000-d1d1d1d1"));
    let inventory = Report::Inventory {
        rows: vec![(path("d"), Entry::Dir { mode: 0o755 }), (path("d/l"), link())],
        problems: vec![(path("secret"), problem())],
        last: true,
    };
    for (name, report) in [
        ("report_inventory", inventory),
        ("report_observed", Report::Observed(observation)),
        ("report_done", outcome(id, Outcome::Done { now: Some(file()), aside })),
        ("report_stale", outcome(id, Outcome::Stale { now: None })),
        ("report_busy", outcome(id, Outcome::Busy)),
        ("report_moved", outcome(id, Outcome::Moved)),
        ("report_failed", outcome(id, Outcome::Failed(problem()))),
        ("report_settled", Report::Settled { id }),
        ("report_synced", Report::Synced { id, durable: true }),
        ("report_condition", Report::Condition(condition)),
        ("report_met", Report::Met { number: 3 }),
        ("report_compared", Report::Compared { id, level: level() }),
        ("report_reread", Report::Reread { id, read: 42, rotten: vec![(path("a"), "b".into())] }),
        (
            "report_trash",
            Report::Trash { id, rows: Ok(vec![trash_row()]), left_out: 1, last: true },
        ),
        ("report_trash_found", Report::TrashFound { id, found: Ok(Some(trash_found())) }),
        ("report_trash_gone", Report::TrashFound { id, found: Ok(None) }),
    ] {
        golden.add(name, &PeerMessage::Report(report));
    }
}

fn question() -> Question {
    Question {
        except: vec![path("a"), path("d/held")],
        directory: Some(path("d")),
        rows: true,
        after: Some(path("d/b")),
    }
}

fn level() -> Level {
    let sum = Sum { digest: Digest([0x5a; 32]), entries: 3 };
    let rows = vec![
        LevelRow { path: path("d/c"), entry: Some(file()), below: None },
        LevelRow { path: path("d/d"), entry: Some(Entry::Dir { mode: 0o755 }), below: Some(sum) },
    ];
    Level { sum, rows, last: true }
}

fn outcome(id: OrderId, outcome: Outcome) -> Report {
    let [durable, visible, reported] = [700, 90, 5].map(Micros::from);
    Report::Outcome { id, outcome, spent: Some(Spent { durable, visible, reported }) }
}

pub(crate) fn content(golden: &mut Golden) {
    let ask = |want| {
        let digest = Digest([0xd1; 32]);
        PeerMessage::Ask(Ask { id: AskId(3), path: path("docs/big.iso"), digest, want })
    };
    let give = |given| PeerMessage::Give(Give { id: AskId(3), given });
    let chunks = vec![
        Chunk { length: 65536, mark: Some(Mark([0xc1; 16])) },
        Chunk { length: 4096, mark: None },
    ];
    golden.add("ask_recipe", &ask(Want::Recipe));
    golden.add("ask_piece", &ask(Want::Piece { offset: 1 << 40, length: 262_144 }));
    golden.add("give_recipe", &give(Given::Recipe { chunks, last: true }));
    golden.add("give_piece", &give(Given::Piece(ByteBuf::from(vec![0, 1, 2, 0xff]))));
    let bytes = ByteBuf::from(vec![0x40, 0, 1, 2, 0xff]);
    golden.add("give_packed", &give(Given::Packed { bytes, length: 4 }));
    golden.add("give_gone", &give(Given::Gone));
    golden.add("ping", &PeerMessage::Ping);
    golden.add("pong", &PeerMessage::Pong);
}

pub(crate) fn requests(golden: &mut Golden) {
    let generation = Generation { epoch: 0x1122_3344_5566_7788, number: 42 };
    let shown = Target::Shown { path: path("report.txt"), generation };
    // Who asks never travels.
    let holder = String::new();
    let lock = Request::Lock {
        target: shown,
        holder: holder.clone(),
        comment: Some("editing".to_owned()),
        ttl_s: Some(7200),
    };
    let unlock = Request::Unlock {
        target: Target::Path(path("report.txt")),
        holder,
        force: true,
        mode: DrainMode::KeepA,
        dry_run: false,
    };
    let query = LogQuery { path: Some(path("docs")), since: Some(time()), limit: 50 };
    for (name, request) in [
        ("request_list", Request::List),
        ("request_lock", lock),
        ("request_unlock", unlock),
        ("request_locks", Request::Locks),
        ("request_held", Request::Held { target: Some(Target::Path(path("docs"))) }),
        ("request_held_all", Request::Held { target: None }),
        ("request_status", Request::Status { path: None }),
        ("request_status_path", Request::Status { path: Some(path("docs")) }),
        ("request_wait", Request::Wait { timeout_ms: 30_000 }),
        ("request_approve", Request::Approve),
        ("request_reject", Request::Reject),
        ("request_scrub", Request::Scrub),
        ("request_verify", Request::Verify { timeout_ms: 30_000, deep: true }),
        ("request_log", Request::Log(query)),
        ("request_trash", Request::Trash { below: Some(path("docs")) }),
        ("request_restore", wire_kept::restore()),
        ("request_conflicts", Request::Conflicts),
        ("request_resolve", wire_kept::resolve()),
    ] {
        golden.add(name, &request);
    }
}

fn lock_row() -> LockRow {
    LockRow {
        id: 4,
        path: path("report.txt"),
        holder: "ann@mill".to_owned(),
        since: time(),
        comment: Some("editing".to_owned()),
        expires: Some(Timestamp { seconds: time().seconds + 7200, nanos: 0 }),
        held: 2,
        draining: false,
    }
}

fn held_row() -> HeldRow {
    HeldRow { seq: 12, path: path("report.txt"), op: HeldOp::Write, size: 5, time: time() }
}

fn waiting_row() -> WaitingRow {
    WaitingRow {
        path: path("log.txt"),
        side: Some(Side::B),
        reason: "waiting for its writer".to_owned(),
        since: time(),
        next_try: Some(time()),
    }
}

fn problem_row() -> ProblemRow {
    ProblemRow { path: path("secret"), side: Side::A, detail: problem().detail }
}

fn listing() -> Answer {
    let row = ListingRow {
        path: path("report.txt"),
        kind: Kind::File,
        size: 5,
        modified: time(),
        state: State::Held,
        lock: Some(lock_row()),
        held: 2,
    };
    Answer::Listing(ListingPart {
        generation: Generation { epoch: 1, number: 42 },
        b: Link::Away { since: Some(time()), reason: "connection refused".to_owned() },
        rows: vec![row],
        last: true,
    })
}

fn status() -> Status {
    Status {
        version: "0.1.0".to_owned(),
        halted: None,
        b: Link::Connected,
        side_a: Condition { watched: 10, ..Condition::default() },
        side_b: Condition { polled: 3, ..Condition::default() },
        known: (100, 99),
        agreed: 98,
        in_flight: 1,
        waiting_count: 1,
        waiting: vec![waiting_row()],
        problem_count: 1,
        problems: vec![problem_row()],
        locks: 1,
        held: (2, 10),
        checked: None,
        journal: None,
        speed: vec![speed()],
    }
}

fn speed() -> Speed {
    let spread = |count| {
        let [p50, p95, p99, max] = [10, 20, 30, 40].map(Micros::from);
        Spread { count, p50, p95, p99, max }
    };
    let [told, link, ordered, durable, visible, reported] = [1, 2, 3, 4, 5, 6].map(spread);
    let stages = Stages { told, link, ordered, durable, visible, reported };
    let [agreed, seen_to_visible, seen_to_agreed] = [7, 8, 9].map(spread);
    Speed { from: Side::A, stages, agreed, seen_to_visible, seen_to_agreed }
}

fn trace() -> Trace {
    let parts = [400, 50, 30, 200, 90, 55].map(Micros::from);
    let [told, link, ordered, durable, visible, reported] = parts;
    let stages = Stages { told, link, ordered, durable, visible, reported };
    Trace { from: Side::B, time: time(), stages, agreed: Some(Micros::from(2500)) }
}

fn verified() -> Verified {
    let at = ["file", "nothing", "file", "nothing", "file"].map(str::to_owned);
    let reason = "locked by ann@mill".to_owned();
    Verified {
        time: time(),
        end: CheckEnd::Different,
        differing: vec![DifferingRow { path: path("a"), at }],
        more: false,
        exceptions: vec![ExceptionRow { path: path("b"), side: Some(Side::A), reason }],
        exception_count: 1,
        rotten: vec![RottenRow { path: path("c"), side: Side::B, detail: "flipped".to_owned() }],
        read: Some(7),
    }
}

fn logged() -> LogPart {
    let row = LogRow {
        seq: 7,
        time: time(),
        to: Some(path("b")),
        by: Some(Side::B),
        carried: Some(Side::A),
        before: Some(Version::of(&file())),
        after: Some(Version::of(&link())),
        trash: Some(Side::A),
        who: Some("ann@mill".to_owned()),
        detail: Some("why".to_owned()),
        ..LogRow::new(Happened::Replaced, Some(path("a")))
    };
    LogPart { rows: vec![row], more: true, problem: Some("torn".to_owned()) }
}

pub(crate) fn answers(golden: &mut Golden) {
    let receipt = Receipt {
        path: path("report.txt"),
        dry_run: false,
        mode: DrainMode::Apply,
        applied: vec![held_row()],
        discarded: 0,
        conflicts: vec![path("report.conflict-A-20261121-095000-d1d1d1d1.txt")],
        agreed: true,
        waiting: vec![],
    };
    let path_status = PathStatus {
        path: path("report.txt"),
        at: ["file".to_owned(), "file".to_owned(), "nothing".to_owned()],
        state: Some(State::Differs),
        lock: Some(lock_row()),
        held: 2,
        waiting: vec![waiting_row()],
        problems: vec![problem_row()],
        last_edit: Some(Box::new(trace())),
    };
    let late = Waited::Waiting { timed_out: true, reason: None, waiting: vec![waiting_row()] };
    let refusal = Refusal {
        kind: RefusalKind::LockedByAnother,
        message: "`report.txt` is locked by bob@mill".to_owned(),
        hint: Some("`--force` breaks the lock".to_owned()),
    };
    let (by, at) = ("bob@mill".to_owned(), time());
    let broken = vec![BrokenRow { path: path("report.txt"), by, at }];
    for (name, answer) in [
        ("answer_listing", listing()),
        ("answer_locked", Answer::Locked(lock_row())),
        ("answer_unlocked", Answer::Unlocked(receipt)),
        ("answer_locks", Answer::Locks(vec![lock_row()])),
        ("answer_held", Answer::Held(vec![held_row()])),
        ("answer_status", Answer::Status(Box::new(status()))),
        ("answer_path_status", Answer::PathStatus(path_status)),
        ("answer_waited", Answer::Waited(Waited::Done)),
        ("answer_waited_late", Answer::Waited(late)),
        ("answer_done", Answer::Done("scanning".to_owned())),
        ("answer_trash", wire_kept::trash(trash_row())),
        ("answer_restored", wire_kept::restored(waiting_row())),
        ("answer_conflicts", wire_kept::conflicts()),
        ("answer_resolved", wire_kept::resolved(refusal.clone())),
        ("answer_refused", Answer::Refused(refusal)),
        ("answer_verified", Answer::Verified(Box::new(verified()))),
        ("answer_log", Answer::Log(logged())),
        ("answer_broken", Answer::Broken(broken)),
    ] {
        golden.add(name, &answer);
    }
}
