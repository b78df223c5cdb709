//! The real binary against a scripted server A over a real socket.

mod answers;
mod fake_a;
mod golden;
mod index;
mod listing;
mod spelling;
mod unreachable;
