//! The laws of the client, and of the whole system with real processes on real trees.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stderr,
    reason = "tests touch the world: real files, sockets, threads and clocks"
)]

mod answers;
mod apart;
mod asking;
mod capture;
mod cases_directories;
mod cases_editors;
mod cases_links;
mod cases_moves;
mod cases_names;
mod cases_permissions;
mod cases_quiet;
mod cases_sizes;
mod cases_special;
mod cases_strain;
mod cases_times;
mod cases_watching;
mod clearing;
mod conflicts_command;
mod crowds;
mod dice;
mod errors;
mod errors_real;
mod fake_a;
mod fake_b;
mod faults;
mod files;
mod fire;
mod fire_crash;
mod fire_crowd;
mod fire_history;
mod fire_watch;
mod fuzz;
#[path = "../../../common/tests/it/fuzzing.rs"]
#[allow(dead_code, reason = "not all targets need all of it")]
mod fuzzing;
mod golden;
mod guards;
mod hostile;
mod hostile_clients;
mod hostile_flood;
mod hostile_kit;
mod hostile_local;
mod hostile_orders;
mod hostile_pieces;
mod hostile_reports;
mod identities;
mod index;
mod link;
mod link_faults;
mod link_scenes;
mod listing;
mod local;
mod locks;
mod log_command;
mod matrix;
mod moves;
mod opened;
mod people;
mod power;
mod power_acts;
mod power_again;
mod power_disk;
mod power_locks;
mod power_stop;
mod proxy;
mod raw;
mod readme;
mod real;
mod real_names;
mod real_sizes;
mod real_storms;
mod real_trees;
mod real_writers;
mod refusals;
mod roots;
mod roots_memory;
mod server;
mod servers;
mod speed_command;
mod spelling;
mod sweep;
mod sweep_laws;
mod sweep_reader;
mod sweep_round;
mod sweep_scenarios;
mod sweep_strace;
mod system;
mod torture;
mod torture_apps;
mod torture_check;
mod torture_child;
mod torture_hand;
mod torture_map;
mod torture_poller;
mod torture_token;
mod torture_ways;
mod trash_command;
mod trees;
mod unreachable;
mod verify_command;
