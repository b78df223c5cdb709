//! Identities on real disks: one key for all who start at once, and none for whom it is not.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::sync::Barrier;

use common::identity::id::Id;
use common::identity::key::IdentityError;
use common::identity::trusted::{Grant, Standing};
use common::identity::{Identity, usual_place};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").mode() & 0o777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
}

fn grant(id: &Id, standing: Standing, name: Option<&str>) -> Grant {
    Grant { id: *id, standing, name: name.map(str::to_owned) }
}

#[test]
fn many_who_start_at_once_for_the_first_time_have_one_key() {
    let home = tempfile::tempdir().expect("a directory");
    for round in 0..20 {
        let place = home.path().join(format!("{round}/lab3"));
        let gate = Barrier::new(6);
        let ids: Vec<Id> = std::thread::scope(|scope| {
            let start = || {
                gate.wait();
                *Identity::open(Some(&place)).expect("an identity").id()
            };
            let all: Vec<_> = (0..6).map(|_| scope.spawn(start)).collect();
            all.into_iter().map(|one| one.join().expect("no panic")).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        assert_eq!(*Identity::open(Some(&place)).expect("again").id(), ids[0]);
        let names: Vec<_> = fs::read_dir(&place).expect("a directory").collect();
        assert_eq!(names.len(), 1, "nothing is left beside the key: {names:?}");
        assert_eq!((mode(&place), mode(&place.join("key"))), (0o700, 0o600));
    }
}

#[test]
fn a_key_that_others_may_read_is_refused_and_not_replaced() {
    let home = tempfile::tempdir().expect("a directory");
    let place = home.path().join("lab3");
    let key = place.join("key");
    Identity::open(Some(&place)).expect("an identity");
    let bytes = fs::read(&key).expect("a key");
    for open in [0o644, 0o640, 0o604, 0o606] {
        chmod(&key, open);
        let error = Identity::open(Some(&place)).expect_err("refused");
        assert!(matches!(error, IdentityError::Exposed { .. }), "{error:?}");
        let line = error.to_string();
        assert!(line.contains(&key.display().to_string()) && line.contains("chmod 600"), "{line}");
    }
    chmod(&key, 0o600);
    chmod(&place, 0o770);
    let error = Identity::open(Some(&place)).expect_err("refused").to_string();
    assert!(error.contains("chmod 700"), "{error}");
    chmod(&place, 0o700);
    Identity::open(Some(&place)).expect("an identity");
    assert_eq!(fs::read(&key).expect("a key"), bytes);
}

#[test]
fn a_damaged_key_is_refused_and_not_replaced() {
    let home = tempfile::tempdir().expect("a directory");
    let place = home.path().join("lab3");
    let key = place.join("key");
    Identity::open(Some(&place)).expect("an identity");
    let whole = fs::read(&key).expect("a key");
    let mut cases = vec![Vec::new(), vec![0; whole.len()], vec![0x30; 5000]];
    cases.extend((0..whole.len()).map(|length| whole[..length].to_vec()));
    cases.extend((0..whole.len()).map(|at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    }));
    for bytes in cases {
        fs::write(&key, &bytes).expect("written");
        let error = Identity::open(Some(&place)).expect_err("refused");
        assert!(matches!(error, IdentityError::Damaged(_)), "{error:?}");
        assert!(error.to_string().contains(&key.display().to_string()), "{error}");
        assert_eq!(fs::read(&key).expect("a key"), bytes, "it stays as it is");
    }
}

#[test]
fn a_key_of_another_user_is_refused() {
    let home = tempfile::tempdir().expect("a directory");
    let place = home.path().join("lab3");
    Identity::open(Some(&place)).expect("an identity");
    if chown(place.join("key"), Some(65_534), None).is_err() {
        eprintln!("SKIPPED a_key_of_another_user_is_refused: needs root");
        return;
    }
    let error = Identity::open(Some(&place)).expect_err("refused");
    assert!(matches!(error, IdentityError::Foreign { owner: 65_534, .. }), "{error:?}");
}

#[test]
fn an_identity_lies_in_the_users_own_configuration() {
    let place = |set: &[(&str, &str)]| {
        let set: Vec<(String, String)> =
            set.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let find = move |name: &str| {
            set.iter().find(|(known, _)| known == name).map(|(_, value)| value.into())
        };
        usual_place(find).map(|path| path.display().to_string())
    };
    let both = [("HOME", "/home/ann"), ("XDG_CONFIG_HOME", "/config")];
    assert_eq!(place(&both).as_deref(), Some("/config/lab3"));
    assert_eq!(place(&both[..1]).as_deref(), Some("/home/ann/.config/lab3"));
    assert_eq!(place(&[("HOME", ""), ("XDG_CONFIG_HOME", "config")]), None);
}

#[test]
fn what_is_granted_counts_at_once_and_what_is_taken_away_no_longer() {
    let home = tempfile::tempdir().expect("a directory");
    let ours = Identity::open(Some(&home.path().join("ours"))).expect("an identity");
    let ann = Identity::open(Some(&home.path().join("ann"))).expect("an identity");
    let may = |least| ours.admit(ann.id(), least).is_ok();
    assert!(ours.admit(ours.id(), Standing::Own).is_ok(), "we are ourselves");
    assert!(!may(Standing::Reader));
    let why = ours.admit(ann.id(), Standing::Peer).expect_err("refused");
    assert!(why.contains(&format!("`lab3 trust {} --role peer`", ann.id())), "{why}");
    // Another process does it.
    let other = Identity::open(Some(&home.path().join("ours"))).expect("an identity");
    for round in 0..20 {
        let standing = if round % 2 == 0 { Standing::Reader } else { Standing::Client };
        other.trust(&grant(ann.id(), standing, Some("ann"))).expect("granted");
        assert!(may(Standing::Reader) && !may(Standing::Peer), "{round}");
        assert_eq!(may(Standing::Client), standing == Standing::Client, "{round}");
        other.distrust(ann.id()).expect("taken away");
        assert!(!may(Standing::Reader), "{round}");
    }
    let file = home.path().join("ours/trusted");
    assert_eq!(mode(&file), 0o600);
    let text = fs::read_to_string(&file).expect("a file");
    fs::write(&file, format!("{text}# by hand\n{} peer\n", ann.id())).expect("written");
    assert!(may(Standing::Peer));
    fs::remove_file(&file).expect("removed");
    assert!(!may(Standing::Reader));
}

#[test]
fn a_file_with_a_bad_line_or_open_to_others_grants_nothing_to_anybody() {
    let home = tempfile::tempdir().expect("a directory");
    let ours = Identity::open(Some(&home.path().join("ours"))).expect("an identity");
    let [ann, bob] = ["ann", "bob"]
        .map(|name| *Identity::open(Some(&home.path().join(name))).expect("an identity").id());
    ours.trust(&grant(&ann, Standing::Peer, Some("ann"))).expect("granted");
    let file = home.path().join("ours/trusted");
    let text = fs::read_to_string(&file).expect("a file");
    let lines = text.lines().count();
    fs::write(&file, format!("{text}{bob} everything\n")).expect("written");
    let error = ours.grant(&ann).expect_err("an error").to_string();
    assert!(error.contains(&format!("line {}", lines + 1)), "{error}");
    assert!(ours.admit(&ann, Standing::Reader).is_err());
    let error = ours.trust(&grant(&bob, Standing::Reader, None)).expect_err("not on top of that");
    assert!(error.to_string().contains("everything"), "{error}");
    assert!(ours.admit(ours.id(), Standing::Own).is_ok(), "we are still ourselves");
    fs::write(&file, &text).expect("mended");
    assert!(ours.admit(&ann, Standing::Peer).is_ok());
    chmod(&file, 0o666);
    assert!(ours.admit(&ann, Standing::Reader).is_err(), "anybody may have written that");
}

#[test]
fn a_name_is_given_once() {
    let home = tempfile::tempdir().expect("a directory");
    let ours = Identity::open(Some(&home.path().join("ours"))).expect("an identity");
    let (ann, bob) = (Id::of(&[1; 32]), Id::of(&[2; 32]));
    ours.trust(&grant(&ann, Standing::Client, Some("ann"))).expect("granted");
    let error = ours.trust(&grant(&bob, Standing::Client, Some("ann"))).expect_err("taken");
    assert!(error.to_string().contains("`ann`"), "{error}");
    ours.trust(&grant(&ann, Standing::Peer, Some("ann"))).expect("her own name");
    assert_eq!(ours.grants().expect("readable").len(), 1);
}

#[test]
fn many_who_trust_at_once_lose_no_line() {
    let home = tempfile::tempdir().expect("a directory");
    let ours = Identity::open(Some(home.path())).expect("an identity");
    std::thread::scope(|scope| {
        for byte in 0..16 {
            let ours = &ours;
            scope.spawn(move || {
                let id = Id::of(&[byte; 32]);
                ours.trust(&grant(&id, Standing::Reader, None)).expect("granted");
            });
        }
    });
    assert_eq!(ours.grants().expect("readable").len(), 16);
}

#[test]
fn nothing_that_is_printed_of_an_identity_has_the_key_in_it() {
    let home = tempfile::tempdir().expect("a directory");
    let ours = Identity::open(Some(home.path())).expect("an identity");
    let key = fs::read(home.path().join("key")).expect("a key");
    let printed = format!("{ours:?} {:?}", ours.grants());
    // The seed: 32 bytes, in PKCS#8 behind its head of 16.
    let seed = &key[16..48];
    let hex: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(!printed.contains(&hex) && !printed.contains(&format!("{seed:?}")), "{printed}");
    let limit = rustix::process::getrlimit(rustix::process::Resource::Core);
    assert_eq!(limit.current, Some(0), "no image of the memory is left by a crash");
}
