//! Files that survive a crash at any moment, and the folder that holds them.

mod atomic;
mod give;
mod journal;
mod state;

pub use atomic::{
    make_private_dir, read_private, write_private, write_private_unsynced, write_public, write_public_unsynced,
};
pub use doorstep_model::Change;
pub use give::give_folder;
pub use journal::{Entry, Journal};
pub use state::{StateDir, StateError, default_state_dir, user_state_dir};
