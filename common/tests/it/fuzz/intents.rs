//! Notes of what is under way: any record is an intent or none, and one that is read is written
//! as it was read.

use std::cell::RefCell;

use common::replica::intent::Intent;
use common::replica::stage::Stage;

use crate::fuzzing::{Target, directory};

/// A record.
pub(crate) const TARGET: Target = Target { name: "intents", run, seeds, mutants: 3000 };

thread_local! {
    static STAGE: RefCell<(tempfile::TempDir, Stage)> = RefCell::new({
        let dir = directory();
        let handle = std::fs::File::open(dir.path()).expect("opened").into();
        (dir, Stage::new(handle, 7))
    });
}

fn run(bytes: &[u8]) -> bool {
    let Some(intent) = Intent::parse(bytes) else { return false };
    STAGE.with_borrow(|(_, stage)| {
        let name = stage.new_name();
        intent.write(stage, &name).expect("what was read can be written");
        let read = Intent::read(stage, &name).expect("it can be read");
        assert_eq!(read.as_ref(), Some(&intent));
        intent.rewrite(stage, &name).expect("it can be written again");
        assert_eq!(Intent::read(stage, &name).expect("it can be read").as_ref(), Some(&intent));
        Intent::clear(stage, &name);
        assert_eq!(Intent::read(stage, &name).expect("it is gone"), None);
    });
    true
}

fn seeds() -> Vec<Vec<u8>> {
    let digest = common::digest::Digest::of(b"old");
    let long = ["directory"; 600].join("/");
    [
        format!("replace 17 file {digest}\nsome/file"),
        format!("delete 0 link {digest} 9\nsome/filesome/file.copy"),
        format!("replace 18446744073709551615 dir {digest}\nd/\nf 7\n"),
        format!("delete 0 file {digest}\n{long}"),
    ]
    .map(String::into_bytes)
    .to_vec()
}
