//! Runs apps and keeps them running: instances and their sockets, readiness, restarts, rolling replacement, output, schedules,
//! Python environments.
//!
//! [`Supervisor::apply`] says what should run; a task on the caller's runtime makes it so and tells by [`Event`] which instances
//! may get requests. What to do when is decided without IO in `machine`; the rest of the crate carries it out.

mod definition;
mod event;
mod findings;
mod journal;
pub mod limits;
mod machine;
mod manager;
mod options;
mod output;
mod prepare;
mod process;
mod python;
mod ready;
mod run_dir;
mod sandboxed;
mod schedule;
mod start;
mod supervisor;
mod tmp;
mod watch;

pub use event::{AppStatus, Event, Instance, InstanceState, InstanceStatus, JobStatus, StaticFiles};
pub use options::Options;
pub use process::Exit;
pub use sandboxed::SandboxSpawn;
pub use start::{Identity, PlainSpawn, Spawn, SpawnError, Spawned, Start};
pub use supervisor::{SuperviseError, Supervisor};
