//! The terminal's own settings, and how they are given back whatever happens.

use std::io::{IsTerminal, stdout};
use std::sync::{Mutex, PoisonError};

use rustix::termios::{self, LocalModes, OptionalActions, QueueSelector, Termios};

/// The settings to be restored, while we have changed them.
static ORIGINAL: Mutex<Option<Termios>> = Mutex::new(None);

/// Cursor shown, lines wrapped, plain style, no update pending.
const SANE: &[u8] = b"\x1b[?2026l\x1b[?7h\x1b[?25h\x1b[0m";

/// Whether a screen can be drawn: standard output is a terminal that we are in the foreground of, and not a dumb one.
pub fn usable() -> bool {
    stdout().is_terminal() && std::env::var_os("TERM").is_some_and(|term| term != "dumb") && foreground()
}

/// Whether the terminal is ours for now: not that of a shell that put us into the background.
pub fn foreground() -> bool {
    termios::tcgetpgrp(stdout()).is_ok_and(|group| group == rustix::process::getpgrp())
}

/// Columns and rows; 80 × 24 where the terminal does not know.
pub fn size() -> (usize, usize) {
    match termios::tcgetwinsize(stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => (80, 24),
    }
}

/// Stops the terminal from showing what is typed, until [`restore`].
pub fn quieten() {
    let mut original = ORIGINAL.lock().unwrap_or_else(PoisonError::into_inner);
    let Ok(settings) = termios::tcgetattr(stdout()) else { return };
    let mut quiet = settings.clone();
    quiet.local_modes.remove(LocalModes::ECHO);
    if termios::tcsetattr(stdout(), OptionalActions::Now, &quiet).is_ok() && original.is_none() {
        *original = Some(settings);
    }
}

/// Gives the terminal back as it was. Does nothing if it was not taken.
pub fn restore() {
    let original = ORIGINAL.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(settings) = original {
        let _ = termios::tcflush(stdout(), QueueSelector::IFlush);
        let _ = termios::tcsetattr(stdout(), OptionalActions::Now, &settings);
        // By the file descriptor: another thread may hold the lock of `stdout`, and it may be the one that panicked.
        let _ = rustix::io::write(rustix::stdio::stdout(), SANE);
    }
}
