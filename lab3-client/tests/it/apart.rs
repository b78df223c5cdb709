//! Two machines: network namespaces with addresses of their own and one wire between them, and an
//! identity on each.

use std::process::Command;

use common::identity::trusted::Standing;
use common::side::{PerSide, Side};

use crate::fake_a::run;
use crate::server::until;
use crate::system::{System, is_root, skip};
use crate::trees::{put, remove, text};

const HOSTS: [&str; 2] = ["10.113.7.1", "10.113.7.2"];

/// Two namespaces with a wire, until it is dropped.
struct Wire {
    names: PerSide<String>,
}

fn ip(words: &[&str]) -> Result<(), String> {
    let ran = Command::new("ip").args(words).output().map_err(|error| error.to_string())?;
    if ran.status.success() {
        return Ok(());
    }
    Err(format!("ip {words:?}: {}", String::from_utf8_lossy(&ran.stderr).trim()))
}

impl Wire {
    fn lay() -> Result<Wire, String> {
        let name = |side: &str| format!("lab3-{}-{side}", std::process::id());
        let wire = Wire { names: PerSide { a: name("a"), b: name("b") } };
        let [a, b] = [&wire.names.a[..], &wire.names.b];
        ip(&["netns", "add", a])?;
        ip(&["netns", "add", b])?;
        ip(&["-n", a, "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", b])?;
        for (name, host) in [a, b].into_iter().zip(HOSTS) {
            ip(&["-n", name, "address", "add", &format!("{host}/24"), "dev", "wire"])?;
            ip(&["-n", name, "link", "set", "wire", "up"])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
        }
        Ok(wire)
    }

    fn set(&self, state: &str) {
        ip(&["-n", &self.names.a, "link", "set", "wire", state]).expect("the wire is ours");
    }

    fn inside(&self, side: Side) -> Vec<String> {
        ["ip", "netns", "exec", &self.names[side]].map(str::to_owned).to_vec()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        for side in Side::BOTH {
            // It may not have come that far.
            let _ = ip(&["netns", "delete", &self.names[side]]);
        }
    }
}

/// Two users on two machines who trust each other's servers: edits go both ways, a wire that is
/// out is waited for, and a third one who is at the wire gets nothing.
#[test]
fn two_machines_whose_users_trust_each_other_stay_equal() {
    let test = "two_machines_whose_users_trust_each_other_stay_equal";
    if !is_root() {
        return skip(test, "needs root");
    }
    let wire = match Wire::lay() {
        Ok(wire) => wire,
        Err(why) => return skip(test, &why),
    };
    let mut system = System::new();
    system.identity_b = Some(system.people.known("ben", Standing::Peer));
    system.hosts = PerSide { a: HOSTS[0].to_owned(), b: HOSTS[1].to_owned() };
    system.through = PerSide { a: wire.inside(Side::A), b: wire.inside(Side::B) };
    system.client_through = wire.inside(Side::B);
    system.start();
    put(&system.a, "from_a", "1");
    put(&system.b, "d/from_b", "2");
    system.agree_on(&[("d/from_b", "2"), ("from_a", "1")]);
    // B's user asks A from his own machine.
    let place = system.people.place("ben");
    assert_eq!(run(&mut system.client_of(&place, &["-lock", "from_a"])).code, 0);
    assert_eq!(system.entry("from_a")["lock"]["holder"], "ben");
    assert_eq!(run(&mut system.client_of(&place, &["-unlock", "from_a"])).code, 0);
    wire.set("down");
    system.client_through = wire.inside(Side::A);
    system.b_is("away");
    put(&system.a, "from_a", "edited at a");
    put(&system.b, "d/from_b", "edited at b");
    put(&system.b, "both", "b");
    remove(&system.a, "d/from_b");
    put(&system.a, "new", "a");
    system.ok(&[]);
    assert_eq!(text(&system.b, "from_a").as_deref(), Some("1"));
    wire.set("up");
    system.agree_on(&[
        ("both", "b"),
        ("d/from_b", "edited at b"),
        ("from_a", "edited at a"),
        ("new", "a"),
    ]);
    system.client_through = wire.inside(Side::B);
    system.people.identity("eve");
    let eve = system.people.place("eve");
    let servers = system.identity().id().to_string();
    assert_eq!(run(&mut system.client_of(&eve, &["trust", &servers, "--role", "peer"])).code, 0);
    let ran = run(&mut system.client_of(&eve, &[]));
    assert!(ran.code == 1 && ran.out.is_empty() && ran.err.contains("is not trusted"), "{ran:?}");
    // Nor is she taken for B.
    system.stop(&[Side::B]);
    system.identity_b = Some(eve);
    system.start_b();
    until("A says who is there", || {
        let why = system.json(&["status"])["b_reason"].to_string();
        why.contains(&system.people.identity("eve").id().to_string())
    });
    put(&system.a, "from_a", "not for eve");
    system.ok(&[]);
    assert_eq!(text(&system.b, "from_a").as_deref(), Some("edited at a"));
}
