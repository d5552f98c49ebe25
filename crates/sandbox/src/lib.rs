//! Starts and confines processes.
//!
//! [`Launch`] starts a program as another user, within limits: by running our own binary once more, which has one thread
//! and nothing to lose, applies everything to itself and then becomes the program. [`confine_worker`] shuts the process
//! that reads network bytes in.

pub mod cgroup;
mod error;
mod identity;
mod landlocked;
mod launch;
pub mod limits;
mod note;
pub mod users;
mod worker;

pub use error::{LaunchError, Refusal, Step};
pub use launch::{
    Fds, HIDDEN_ARGUMENT, KeptFd, Launch, OWN_BINARY, ProcessGroup, Started, launch_main, launch_requested,
};
pub use note::Note;
pub use users::{User, group_id};
pub use worker::{ConfineError, Confinement, WORKER_FILTERS, WorkerRules, confine_worker};

/// Lets a test binary be the binary of [`Launch::spawn`] ([`OWN_BINARY`]): once per test binary, at its top level.
///
/// The harness owns `main`, so this runs before it, as a constructor.
#[macro_export]
macro_rules! launch_in_tests {
    () => {
        #[used]
        // SAFETY: a section of pointers to functions that the loader calls before `main`, with one thread.
        #[unsafe(link_section = ".init_array")]
        static LAUNCH: extern "C" fn() = {
            extern "C" fn launch() {
                if $crate::launch_requested() {
                    $crate::launch_main();
                }
            }
            launch
        };
    };
}
