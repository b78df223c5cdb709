//! What somebody sees who reads every byte on the way: nothing of files, names or commands.

use common::side::Side;

use crate::fake_a::run;
use crate::opened::opened;
use crate::people::SERVERS;
use crate::proxy::Proxy;
use crate::system::System;
use crate::trees::{put, remove, rename};

/// What must not be seen.
const WORDS: [&str; 8] = [
    "visible-name",
    "other-visible-name",
    "seen content of a file",
    "why it is locked",
    "visible-target",
    "Welcome",
    "lab3",
    "coordinator",
];

/// Users do a bit of everything, over both links.
fn live(system: &System, clients: &Proxy) {
    let ask = |args: &[&str]| {
        let mut command = system.client("ann@mill", args);
        command.env("LAB3_SERVER", format!("127.0.0.1:{}", clients.port));
        let ran = run(&mut command);
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
        ran.out
    };
    put(&system.a, "visible-name", "seen content of a file".repeat(10));
    put(&system.b, "dir/other-visible-name", "seen content of a file".repeat(5000));
    crate::trees::link(&system.a, "visible-target", "link");
    ask(&["wait"]);
    assert!(ask(&[]).contains("other-visible-name"));
    ask(&["-lock", "visible-name", "-m", "why it is locked"]);
    put(&system.b, "visible-name", "seen content of a file, again");
    assert!(ask(&["locks"]).contains("why it is locked"));
    ask(&["-unlock", "visible-name"]);
    rename(&system.a, "dir/other-visible-name", "visible-name-too");
    remove(&system.b, "visible-name");
    ask(&["wait"]);
    assert!(ask(&["trash"]).contains("visible-name"));
}

/// The words that are seen on these links.
fn seen(links: &[&Proxy]) -> Vec<&'static str> {
    let mut tapes = Vec::new();
    for link in links {
        for number in 0..link.connections() {
            tapes.extend(Side::BOTH.map(|toward| link.tape(number, toward)));
        }
    }
    assert!(tapes.iter().map(Vec::len).sum::<usize>() > 20_000, "something was said");
    let holds = |word: &&&str| {
        tapes.iter().any(|tape| tape.windows(word.len()).any(|part| part == word.as_bytes()))
    };
    WORDS.iter().filter(holds).copied().collect()
}

/// Everything that passes between the servers, and between a client and A, is unreadable; and is
/// readable with the servers' own key, so that this test would see it.
#[test]
fn nothing_that_is_said_can_be_read_on_the_way() {
    let mut system = System::new();
    let link = Proxy::to(system.port_b);
    system.peer = link.port;
    system.start();
    let clients = Proxy::to(system.port_a);
    live(&system, &clients);
    assert_eq!(seen(&[&link, &clients]), [""; 0]);
    let mut system = System::new();
    let (link, opened) = opened(&system.people.place(SERVERS), system.port_b);
    system.peer = opened.port;
    system.start();
    live(&system, &Proxy::to(system.port_a));
    let words = seen(&[&link]);
    for word in ["visible-name", "seen content of a file", "visible-target", "Welcome", "lab3"] {
        assert!(words.contains(&word), "{word} is not seen in plain: {words:?}");
    }
}
