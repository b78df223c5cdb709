//! Server A that is not there, or is something else: one line, a hint, exit 3.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use common::wire::client::{Answer, Request};
use common::wire::message::Role;

use crate::fake_a::{FakeA, Lab3, Step};

const HINT: &str = "\nhint: start `server-a`, or name another address with `--server`\n";

#[test]
fn nobody_listening_is_said_in_one_line() {
    // A port that is taken, but on which nobody listens.
    let taken = tokio::net::TcpSocket::new_v4().expect("a socket");
    taken.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let lab3 = Lab3::of(&address);
    for args in [&[][..], &["-lock", "a"], &["wait"], &["status"]] {
        let ran = lab3.run(args);
        assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{args:?}");
        let line = format!("lab3: cannot reach Server A at `{address}`: connection refused");
        assert_eq!(ran.err, line + HINT);
    }
    let ran = lab3.run(&["locks", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!((ran.code, &value["error"]["kind"]), (3, &"unreachable".into()));
}

#[test]
fn a_stranger_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let web = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").expect("written");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let ran = Lab3::of(&address).run(&[]);
    web.join().expect("ended");
    assert_eq!(ran.code, 3);
    let line = format!(
        "lab3: cannot reach Server A at `{address}`: \
         the other end does not speak lab3, it says HTTP"
    );
    assert_eq!(ran.err, line + HINT);
}

#[test]
fn server_b_is_not_server_a() {
    let server = FakeA::start(Role::Agent, |_| vec![Step::Say(Answer::Locks(vec![]))]);
    let ran = Lab3::of(&server.address).run(&["locks"]);
    assert_eq!(ran.code, 3);
    assert_eq!(ran.err, format!("lab3: `{}` is not Server A", server.address) + HINT);
}

#[test]
fn a_link_that_breaks_before_the_answer_is_no_success() {
    let server = FakeA::start(Role::Coordinator, |_| vec![Step::Close]);
    let ran = Lab3::of(&server.address).run(&["-unlock", "a"]);
    assert_eq!((ran.code, ran.out.as_str()), (3, ""));
    assert_eq!(
        ran.err,
        format!(
            "lab3: cannot hear Server A at `{}`: the link was lost\n\
             hint: what was asked may have been done; ask again\n",
            server.address
        )
    );
    assert!(matches!(server.asked()[..], [Request::Unlock { .. }]));
}
