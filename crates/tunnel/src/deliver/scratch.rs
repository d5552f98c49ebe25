use std::cell::Cell;

use crate::limits::COPY;

thread_local! {
    static SCRATCH: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// A large buffer for the length of a call, the thread's own: connections that wait hold none.
pub(super) fn with<T>(call: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut buffer = SCRATCH.take().unwrap_or_else(|| vec![0; COPY].into());
    let result = call(&mut buffer);
    SCRATCH.set(Some(buffer));
    result
}
