//! The handshake: whatever stands at the other end or between the two, nobody is let in but who
//! proves a key that is trusted, and who proves nothing costs little.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use common::identity::Identity;
use common::identity::id::Id;
use common::identity::trusted::{Grant, Standing};
use common::wire::connection::LinkError;
use common::wire::handshake::open;
use common::wire::lobby::Lobby;
use common::wire::message::{Hello, ReplicaId, Role};
use common::wire::secure::{introduce, receive};
use rustls::client::AlwaysResolvesClientRawPublicKeys;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsConnector;

use super::between::{Way, socket, speak, stand_between};
use crate::fuzzing::{Target, byte, directory};

/// Who stands where, then what it says, or what is altered between two.
pub(crate) const TARGET: Target = Target { name: "handshakes", run, seeds, mutants: 600 };

/// Never waited for: an end that waits is left alone by the other.
const DEADLINE: Duration = Duration::from_secs(60);
/// What an end takes of somebody who proves nothing, with what the kernel keeps for it, in bytes.
const TAKEN_MAX: usize = 512 * 1024;
/// … and what it says to him.
const SAID_MAX: usize = 4096;
/// Where the other end's session is to stand: it is chosen at random.
const SESSION: [u8; 32] = [0xa5; 32];

/// What an end says of the other: its hello and who it is, or why not.
type Met = Result<(Hello, Id), LinkError>;

struct World {
    _dir: TempDir,
    runtime: Runtime,
    server: Identity,
    friend: Identity,
    stranger: Identity,
}

thread_local! {
    static WORLD: World = World::new();
}

impl World {
    fn new() -> World {
        let dir = directory();
        let new = |name: &str| Identity::open(Some(&dir.path().join(name))).expect("an identity");
        let (server, friend, stranger) = (new("server"), new("friend"), new("stranger"));
        let trust = |who: &Identity, whom: &Identity, standing| {
            who.trust(&Grant { id: *whom.id(), standing, name: None }).expect("granted");
        };
        trust(&server, &friend, Standing::Peer);
        trust(&friend, &server, Standing::Peer);
        trust(&stranger, &server, Standing::Peer);
        trust(&stranger, &friend, Standing::Peer);
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        World { _dir: dir, runtime, server, friend, stranger }
    }
}

fn run(mut bytes: &[u8]) -> bool {
    let sort = byte(&mut bytes);
    WORLD.with(|world| {
        world.runtime.block_on(async {
            match sort % 6 {
                0 => told(world, bytes).await,
                1 => answered(world, bytes).await,
                2 => friends(world, bytes).await,
                3 => strangers(world, bytes).await,
                4 => impostors(world, bytes).await,
                _ => doubted(world, bytes).await,
            }
        })
    })
}

fn agent() -> Hello {
    Hello::new(Role::Agent, Some(ReplicaId(2)))
}

fn coordinator() -> Hello {
    Hello::new(Role::Coordinator, Some(ReplicaId(7)))
}

/// Shows the public key of one and signs with another's.
pub(crate) fn impostor(own: &Identity, shown: &Identity) -> Arc<rustls::ClientConfig> {
    let resolve = |identity: &Identity| {
        let resolver = identity.dialling().client_auth_cert_resolver.clone();
        resolver.resolve(&[], &[rustls::SignatureScheme::ED25519]).expect("a key")
    };
    let (own_key, shown_key) = (resolve(own), resolve(shown));
    let copied = CertifiedKey::new(shown_key.cert.clone(), own_key.key.clone());
    let mut config = (*own.dialling()).clone();
    config.client_auth_cert_resolver =
        Arc::new(AlwaysResolvesClientRawPublicKeys::new(Arc::new(copied)));
    Arc::new(config)
}

/// The end that is dialled; says whether it came to hear a hello, too.
async fn accept(stream: TcpStream, identity: &Identity) -> (Met, bool) {
    let guest = Lobby::default().enter(IpAddr::from(Ipv4Addr::LOCALHOST));
    let mut asked = false;
    let decide = |_: &Hello| {
        asked = true;
        Ok(agent())
    };
    let received = receive(stream, guest, (identity, Standing::Peer), DEADLINE, decide).await;
    let met = received.map(|(_, hello, grant)| (hello, grant.id));
    (plain(met), asked)
}

async fn dial(stream: TcpStream, identity: &Identity) -> Met {
    let hello = coordinator();
    let dialled = introduce(stream, identity, &hello).await;
    plain(dialled.map(|(_, hello, id)| (hello, id)))
}

/// No terminal acts on what is said about the other end.
fn plain(met: Met) -> Met {
    if let Err(error) = &met {
        let line = error.to_string();
        assert!(!line.contains(char::is_control), "{line:?}");
    }
    met
}

/// Bytes at the end that is dialled, again and again when they are to be much.
async fn told(world: &World, mut bytes: &[u8]) -> bool {
    let times = match byte(&mut bytes) {
        much @ 0xf0.. => (usize::from(much & 15) << 17) / bytes.len().max(1) + 1,
        _ => 1,
    };
    let (end, here) = socket();
    let ((met, asked), (taken, said)) =
        tokio::join!(accept(end, &world.server), speak(here, bytes.repeat(times)));
    assert!(met.is_err() && !asked, "it proved nothing: {met:?}");
    assert!(taken <= TAKEN_MAX, "{taken} bytes were taken of who proved nothing");
    assert!(said.len() <= SAID_MAX, "{} bytes were said to him", said.len());
    said.starts_with(&[0x16, 3, 3])
}

/// Bytes at the end that dials; it has said its hello of TLS before.
async fn answered(world: &World, bytes: &[u8]) -> bool {
    let (end, mut here) = socket();
    let answering = async {
        let mut hello = [0; 1024];
        let mut count = 0;
        while count == 0 {
            tokio::task::yield_now().await;
            count = std::io::Read::read(&mut here, &mut hello).unwrap_or(0);
        }
        let session = hello.get(44..76).filter(|_| count > 76 && hello[43] == 32);
        let session = session.expect("a session in the hello");
        let mut bytes = bytes.to_vec();
        let all = 0..bytes.len().saturating_sub(SESSION.len() - 1);
        if let Some(at) = all.into_iter().find(|at| bytes[*at..].starts_with(&SESSION)) {
            bytes[at..at + SESSION.len()].copy_from_slice(session);
        }
        speak(here, bytes).await
    };
    let (met, (taken, said)) = tokio::join!(dial(end, &world.friend), answering);
    assert!(met.is_err(), "it proved nothing: {met:?}");
    assert!(taken <= TAKEN_MAX && said.len() <= SAID_MAX, "{taken} and {}", said.len());
    // After the other end's hello it says what old boxes on the way want to hear.
    said.starts_with(&[0x14, 3, 3])
}

/// Both ends, with something between.
async fn meet(one: &Identity, other: &Identity, ways: &mut [Way; 2]) -> [Met; 2] {
    let ((dialling, here), (accepting, there)) = (socket(), socket());
    let (dialled, (accepted, _), ()) = tokio::join!(
        dial(dialling, one),
        accept(accepting, other),
        stand_between(here, there, ways)
    );
    [dialled, accepted]
}

/// Who is let in is who is there, and says what was said.
async fn friends(world: &World, mut bytes: &[u8]) -> bool {
    let mut ways = Way::both(&mut bytes);
    let [dialled, accepted] = meet(&world.friend, &world.server, &mut ways).await;
    if !ways.iter().any(|way| way.altered) {
        assert!(dialled.is_ok() && accepted.is_ok(), "{dialled:?}, {accepted:?}");
    }
    let both = dialled.is_ok() && accepted.is_ok();
    if let Ok(met) = dialled {
        assert_eq!(met, (agent(), *world.server.id()));
    }
    if let Ok(met) = accepted {
        assert_eq!(met, (coordinator(), *world.friend.id()));
    }
    both
}

async fn strangers(world: &World, mut bytes: &[u8]) -> bool {
    let mut ways = Way::both(&mut bytes);
    let [dialled, accepted] = meet(&world.stranger, &world.server, &mut ways).await;
    assert!(dialled.is_err() && accepted.is_err(), "{dialled:?}, {accepted:?}");
    matches!(accepted, Err(LinkError::Turned(_)))
}

/// A server that is not trusted hears no hello.
async fn doubted(world: &World, mut bytes: &[u8]) -> bool {
    let mut ways = Way::both(&mut bytes);
    let [dialled, accepted] = meet(&world.friend, &world.stranger, &mut ways).await;
    assert!(dialled.is_err() && accepted.is_err(), "{dialled:?}, {accepted:?}");
    matches!(dialled, Err(LinkError::Turned(_)))
}

async fn impostors(world: &World, mut bytes: &[u8]) -> bool {
    let mut ways = Way::both(&mut bytes);
    let ((dialling, here), (accepting, there)) = (socket(), socket());
    let pretending = async {
        let nobody = ServerName::try_from("lab3").expect("a name");
        let config = impostor(&world.stranger, &world.friend);
        let connected = TlsConnector::from(config).connect(nobody, dialling).await;
        let Ok(stream) = connected else { return false };
        open(stream, &coordinator(), DEADLINE).await.is_ok()
    };
    let (welcome, (accepted, asked), ()) = tokio::join!(
        pretending,
        accept(accepting, &world.server),
        stand_between(here, there, &mut ways)
    );
    assert!(!welcome && !asked && accepted.is_err(), "{accepted:?}");
    matches!(accepted, Err(LinkError::Unproven(_)))
}

fn extension(sort: u16, body: &[u8]) -> Vec<u8> {
    [&sort.to_be_bytes()[..], &(body.len() as u16).to_be_bytes(), body].concat()
}

/// A first message of TLS in its record, of the client (1) or the server (2).
fn first(sort: u8, head: &[u8], extensions: &[Vec<u8>]) -> Vec<u8> {
    let extensions = extensions.concat();
    let random = [7; 32];
    let length = (extensions.len() as u16).to_be_bytes();
    let body = [&[3, 3], &random[..], head, &length, &extensions].concat();
    let message = [&[sort, 0], &(body.len() as u16).to_be_bytes()[..], &body].concat();
    [&[0x16, 3, 3], &(message.len() as u16).to_be_bytes()[..], &message].concat()
}

/// What stands behind a first message: nothing of it can be opened.
fn sealed() -> Vec<u8> {
    [&[0x14, 3, 3, 0, 1, 1], &[0x17, 3, 3, 0, 64][..], &[9; 64]].concat()
}

fn seeds() -> Vec<Vec<u8>> {
    let share = [&[0, 29, 0, 32], &[5; 32][..]].concat();
    let keys = |sort| extension(sort, &[1, 2]);
    let client = first(
        1,
        &[&[32], &[9; 32][..], &[0, 2, 0x13, 1], &[1, 0]].concat(),
        &[
            extension(43, &[2, 3, 4]),
            extension(10, &[0, 2, 0, 29]),
            extension(13, &[0, 2, 8, 7]),
            extension(51, &[&[0, 36], &share[..]].concat()),
            keys(19),
            keys(20),
        ],
    );
    let head = [&[32], &SESSION[..], &[0x13, 1], &[0]].concat();
    let server = first(2, &head, &[extension(43, &[3, 4]), extension(51, &share)]);
    let mut seeds = vec![
        [&[0, 0], &client[..]].concat(),
        [&[0, 0], &client[..], &sealed()].concat(),
        [&[1], &server[..]].concat(),
        [&[1], &server[..], &sealed()].concat(),
    ];
    // Unaltered, and split at some places.
    seeds.extend((2..6).map(|sort| vec![sort]));
    seeds
}
