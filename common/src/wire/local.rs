//! Sockets of one user on one machine: the kernel itself says who is at the other end.
//!
//! Server A has one beside its port, in a directory that only its user can enter. Its name has the
//! address and the identity in it, so that several servers of one user do not meet, and a client
//! of another identity looks elsewhere.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a socket, its directory, and its deadlines"
)]

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::geteuid;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use crate::identity::id::Id;
use crate::wire::connection::{Connection, LinkError};
use crate::wire::handshake::{hear, say};
use crate::wire::lobby::Guest;
use crate::wire::message::Hello;
use crate::wire::secure::Channel;

/// Where the sockets of this user lie; `None` when the system has no place for them.
#[must_use]
pub fn place(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let given = variable("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let usual = || {
        let path = PathBuf::from(format!("/run/user/{}", geteuid().as_raw()));
        is_ours(&path).then_some(path)
    };
    given.filter(|path| is_ours(path)).or_else(usual).map(|path| path.join("lab3"))
}

/// What the socket of a server at this address is called.
fn name(address: SocketAddr, id: &Id) -> String {
    format!("{}_{}-{}.sock", address.ip(), address.port(), id.short())
}

/// A socket that is listened at. The name goes when this is dropped.
#[derive(Debug)]
pub struct Listening {
    /// What accepts.
    pub listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

impl Drop for Listening {
    fn drop(&mut self) {
        // Another one may have taken the name since.
        if fs::symlink_metadata(&self.path).is_ok_and(|about| about.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens beside a port that was bound.
pub async fn listen(place: &Path, address: SocketAddr, id: &Id) -> io::Result<Listening> {
    match DirBuilder::new().mode(0o700).create(place) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    if !is_private(place) {
        return Err(io::Error::other("its directory is open to other users"));
    }
    let path = place.join(name(address, id));
    let listener = match UnixListener::bind(&path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            if UnixStream::connect(&path).await.is_ok() {
                return Err(error);
            }
            // Who listened here is gone: it was killed.
            fs::remove_file(&path)?;
            UnixListener::bind(&path)?
        }
        bound => bound?,
    };
    let inode = fs::symlink_metadata(&path)?.ino();
    Ok(Listening { listener, path, inode })
}

/// The socket of the server at this address of this machine, if there is one that answers.
pub async fn find(place: &Path, server: &str, id: &Id) -> Option<UnixStream> {
    let (host, port) = server.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let (v4, v6) = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    let candidates = match (host, host.parse::<IpAddr>()) {
        ("localhost", _) => {
            vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST), v4, v6]
        }
        (_, Ok(address)) if address.is_loopback() => vec![address, v4, v6],
        _ => return None,
    };
    for address in candidates {
        let path = place.join(name(SocketAddr::new(address, port), id));
        if let Ok(stream) = UnixStream::connect(path).await
            && is_same_user(&stream)
        {
            return Some(stream);
        }
    }
    None
}

/// Says hello on a socket of this machine.
pub async fn dial(
    stream: UnixStream,
    hello: &Hello,
    within: Duration,
) -> Result<(Connection<Channel>, Hello), LinkError> {
    let said = timeout(within, say(Channel::Local(stream), hello)).await;
    said.unwrap_or(Err(LinkError::Timeout(within)))
}

/// Lets in who is of the same user, hears its hello, and answers as `decide` says.
pub async fn receive(
    stream: UnixStream,
    guest: Guest,
    within: Duration,
    decide: impl FnOnce(&Hello) -> Result<Hello, String>,
) -> Result<(Connection<Channel>, Hello), LinkError> {
    if !is_same_user(&stream) {
        return Err(LinkError::Turned("it is another user's process".to_owned()));
    }
    tokio::select! {
        heard = timeout(within, hear(Channel::Local(stream), decide)) => {
            heard.unwrap_or(Err(LinkError::Timeout(within)))
        }
        () = guest.sent_away() => Err(LinkError::Crowded),
    }
}

fn is_same_user(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.uid() == geteuid().as_raw())
}

fn is_ours(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|about| about.is_dir() && about.uid() == geteuid().as_raw())
}

fn is_private(path: &Path) -> bool {
    is_ours(path) && fs::symlink_metadata(path).is_ok_and(|about| about.mode() & 0o077 == 0)
}
