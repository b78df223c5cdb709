//! A hostile client at a real server A, and a hostile server at a real client: words without
//! measure, and words that a terminal would act on.

use common::limits::{COMMENT_BYTES_MAX, HOLDER_BYTES_MAX};
use common::side::Side;
use common::time::Timestamp;
use common::wire::client::{Answer, Refusal, RefusalKind, Request, State, Target};
use common::wire::message::{Hello, ReplicaId, Role};

use crate::fake_a::{FakeA, Lab3, lock, part, row};
use crate::hostile_kit::{is_well, path};
use crate::raw::Raw;
use crate::system::System;

fn wish(holder: String, comment: Option<String>) -> Request {
    Request::Lock { target: Target::Path(path("f")), holder, comment, ttl_s: None }
}

fn asked(system: &System, request: &Request) -> Option<Answer> {
    let mut raw = Raw::welcome(system, system.port_a, Role::Client);
    raw.say(request);
    raw.hear()
}

/// A comment has a measure: at it it is kept, beyond it refused. Who a client says to be counts for
/// nothing: its connection tells.
#[test]
fn words_without_measure_are_refused() {
    let mut system = System::holding(&[("f", "x")]);
    let locked = |request| matches!(asked(&system, &request), Some(Answer::Locked(_)));
    assert!(!locked(wish("eve".into(), Some("c".repeat(COMMENT_BYTES_MAX + 1)))));
    assert!(!locked(wish("eve".into(), Some("c".repeat(1_900_000)))));
    assert!(locked(wish("h".repeat(100_000), Some("c".repeat(COMMENT_BYTES_MAX)))));
    let holder = system.json(&["locks"])["locks"][0]["holder"].to_string();
    assert!(holder.len() <= HOLDER_BYTES_MAX && !holder.contains("hhh"), "{holder}");
    is_well(&mut system, Side::A);
}

/// What clients say of themselves, and what they write on a lock, acts on no terminal: not on that
/// of another client, and not in the log (H23).
#[test]
fn no_word_of_a_client_acts_on_a_terminal() {
    const EVIL: &str = "\x1b]0;t\x07\u{9b}2J\u{202e}x\u{85}\r\nfaked\u{e0041}";
    let mut system = System::holding(&[("f", "x")]);
    assert!(matches!(
        asked(&system, &wish(EVIL.into(), Some(EVIL.into()))),
        Some(Answer::Locked(_))
    ));
    // The comment comes by the command line, too.
    let ran = system.lab3(&["-lock", "f", "-m", EVIL]);
    let mut shown = ran.out + &ran.err;
    for args in [&[][..], &["locks"], &["status", "f"], &["log"], &["-unlock", "f", "--force"]] {
        for json in [&["--json"][..], &[]] {
            let ran = system.lab3(&[args, json].concat());
            shown += &(ran.out + &ran.err);
        }
    }
    assert!(shown.contains("faked"), "{shown}");
    let said = system.server(Side::A).said();
    for text in [&shown, &said] {
        let acts = |c: &char| {
            (c.is_control() && *c != '\n')
                || ('\u{202a}'..='\u{202e}').contains(c)
                || *c > '\u{e0000}'
        };
        assert_eq!(text.chars().find(acts), None, "{text}");
        assert!(!text.lines().any(|line| line.starts_with("faked")), "{text}");
    }
    is_well(&mut system, Side::A);
}

/// A server that means harm cannot act on the terminal of its client, by no answer and by no
/// refusal; and JSON says the same name again, exactly.
#[test]
fn no_word_of_a_server_acts_on_a_terminal() {
    const EVIL: &str = "\x1b[2J\u{9b}31m\u{202e}\u{2067}evil\u{feff}";
    let refusal = Refusal {
        kind: RefusalKind::Refused,
        message: EVIL.to_owned(),
        hint: Some(EVIL.to_owned()),
    };
    let mut evil = row(EVIL, 5, State::OnlyA);
    evil.modified = Timestamp { seconds: i64::MAX, nanos: 5 };
    evil.lock = Some(common::wire::client::LockRow {
        holder: EVIL.to_owned(),
        comment: Some(EVIL.to_owned()),
        ..lock("f")
    });
    let raw_name = row(b"\xff\xc2\x9b\x1b", 5, State::OnlyB);
    let mut json = String::new();
    for answer in
        [Answer::Refused(refusal), Answer::Done(EVIL.to_owned()), part(vec![evil, raw_name], true)]
    {
        let server = FakeA::answering(answer);
        let lab3 = Lab3::of(&server.address);
        for args in [&[][..], &["scrub"], &["--json"], &["status", "--json"]] {
            let ran = lab3.run(args);
            let text = ran.out.clone() + &ran.err;
            let acts = |c: &char| {
                (c.is_control() && *c != '\n')
                    || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
            };
            assert_eq!(text.chars().find(acts), None, "{args:?}: {text}");
            if args == ["--json"] {
                json = ran.out;
            }
        }
    }
    let listing: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(listing["entries"][0]["path"], EVIL, "escaped, and the same");
    assert_eq!(listing["entries"][1]["path_bytes"], "/8KbGw==");
}

/// A hello of any length of words is one frame of four kilobytes, or none.
#[test]
fn a_hello_is_short() {
    let mut system = System::holding(&[("f", "x")]);
    for port in [system.port_a, system.port_b] {
        let mut hello = Hello::new(Role::Client, Some(ReplicaId(u128::MAX)));
        hello.features = vec!["holder=x".to_owned(); 2000];
        let mut raw = Raw::to(&system, port);
        raw.say(&hello);
        assert!(raw.dropped(), "{port}");
    }
    system.agree_on(&[("f", "x")]);
    is_well(&mut system, Side::A);
}
