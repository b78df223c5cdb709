//! Answers other than the listing: exits, messages, and JSON that names what it should.

use common::wire::client::{Answer, Refusal, RefusalKind, Waited};
use serde_json::Value;

use crate::fake_a::{FakeA, Lab3, Ran, lock, part, waits};

fn answered(answer: Answer, args: &[&str]) -> Ran {
    let server = FakeA::answering(answer);
    Lab3::of(&server.address).run(args)
}

fn refusal(kind: RefusalKind) -> Answer {
    Answer::Refused(Refusal {
        kind,
        message: "`a\\nb` is locked by bob\x1b[2J since noon: mine".to_owned(),
        hint: Some("`--force` breaks it".to_owned()),
    })
}

#[test]
fn each_refusal_has_its_exit_code() {
    for (kind, code, word) in [
        (RefusalKind::Refused, 1, "refused"),
        (RefusalKind::LockedByAnother, 4, "locked_by_another"),
        (RefusalKind::StillWaiting, 5, "still_waiting"),
    ] {
        for args in [&["-lock", "a"][..], &["-unlock", "a"], &["approve"], &["locks"]] {
            let ran = answered(refusal(kind), args);
            assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{args:?}");
            assert_eq!(
                ran.err,
                "lab3: `a\\nb` is locked by bob\\x1b[2J since noon: mine\n\
                 hint: `--force` breaks it\n"
            );
        }
        let ran = answered(refusal(kind), &["-lock", "a", "--json"]);
        let value: Value = serde_json::from_str(&ran.out).expect("JSON");
        assert_eq!((ran.code, &value["error"]["kind"]), (code, &Value::from(word)));
    }
}

#[test]
fn the_locked_path_is_echoed() {
    let ran = answered(Answer::Locked(lock("docs/report.txt")), &["-lock", "docs/report.txt"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "locked `docs/report.txt`\n"));
    assert!(ran.err.is_empty());
}

#[test]
fn waiting_ends_with_its_result() {
    let done = answered(Answer::Waited(Waited::Done), &["wait"]);
    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (0, "", ""));
    let late = Waited::Waiting { timed_out: true, reason: None, waiting: vec![waits("log.txt")] };
    let ran = answered(Answer::Waited(late), &["wait", "--timeout", "1s"]);
    assert_eq!((ran.code, ran.out.as_str()), (5, ""));
    assert_eq!(
        ran.err,
        "lab3: the time is over\nwaits: `log.txt` at B: waiting for its writer, \
         since 2026-11-21 10:10:03, next try 2026-11-21 10:10:04\n"
    );
    let reason = Some("server B is away".to_owned());
    let withheld = Waited::Waiting { timed_out: false, reason, waiting: vec![] };
    let ran = answered(Answer::Waited(withheld.clone()), &["wait"]);
    assert_eq!(ran.code, 5);
    assert_eq!(ran.err, "lab3: something still waits: server B is away\n");
    let ran = answered(Answer::Waited(withheld), &["wait", "--json"]);
    let value: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!((ran.code, &value["done"]), (5, &Value::from(false)));
    assert_eq!(value["reason"], "server B is away");
}

#[test]
fn a_command_that_was_carried_out_says_so() {
    let ran = answered(Answer::Done("going on".to_owned()), &["approve"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "going on\n"));
    let ran = answered(Answer::Done("going on".to_owned()), &["reject", "--json"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "{\"done\":\"going on\"}\n"));
}

#[test]
fn an_answer_to_another_question_is_not_printed() {
    let ran = answered(part(vec![], true), &["locks"]);
    assert_eq!((ran.code, ran.out.as_str()), (3, ""));
    let ran = answered(Answer::Locks(vec![]), &["list"]);
    assert_eq!((ran.code, ran.out.as_str()), (3, ""));
}

#[test]
fn colour_never_goes_into_a_pipe() {
    let ran = answered(Answer::Locks(vec![lock("a")]), &["locks"]);
    assert!(!ran.out.contains('\x1b'));
}
