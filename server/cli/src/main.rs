//! The `tickwire` command.

mod bench;
mod broker;
mod dead;
mod demo;
mod pace;
mod printable;
mod progress;
mod publish;
mod record;
mod replay;
mod runtime;
mod serve;
mod settings;
mod simulate;
mod watch;
mod when;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "tickwire", version, about = "Live prices and scores: RabbitMQ in, conflated WebSocket and SSE out")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve a RabbitMQ feed to clients.
    Serve(serve::Serve),
    /// Serve a built-in market and its page on loopback: no broker needed.
    Demo(demo::Demo),
    /// Publish a lively, seeded market to RabbitMQ.
    Simulate(simulate::Simulate),
    /// Publish lines of CSV or JSON to RabbitMQ.
    Publish(publish::Publish),
    /// Record the log, or a market without a broker, into a file.
    Record(record::Record),
    /// Publish a recording as it was, or see how fast an engine takes it.
    Replay(replay::Replay),
    /// Show live values in this terminal.
    Watch(watch::Watch),
    /// Load a server with clients, and print what it delivers and what that costs.
    Bench(bench::Bench),
    /// Look at messages that were refused, and publish them again.
    Dead(dead::Dead),
    /// Check or print the configuration.
    Config(settings::Settings),
}

fn main() -> std::process::ExitCode {
    match Cli::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::Demo(demo) => demo.run(),
        Command::Simulate(simulate) => simulate.run(),
        Command::Publish(publish) => publish.run(),
        Command::Record(record) => record.run(),
        Command::Replay(replay) => replay.run(),
        Command::Watch(watch) => watch.run(),
        Command::Bench(bench) => bench.run(),
        Command::Dead(dead) => dead.run(),
        Command::Config(settings) => settings.run(),
    }
}
