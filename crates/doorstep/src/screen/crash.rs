//! A panic is a bug of ours. It costs one connection at most, and is told where the operator looks.

use std::panic::PanicHookInfo;
use std::sync::Arc;

use doorstep_http::Observer;
use doorstep_model::{Blame, Finding, Severity};

use super::{THREAD, tty};
use crate::events::Events;

/// From now on a worker's panic is a finding. One of the main thread or of the screen's own gives the terminal back
/// and is printed.
pub fn catch(events: Arc<Events>) {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        if matches!(thread.name(), None | Some("main" | THREAD)) {
            tty::restore();
            print(panic);
        } else {
            events.found(finding(panic));
        }
    }));
}

fn finding(panic: &PanicHookInfo<'_>) -> Finding {
    let place = panic.location().map_or_else(String::new, |place| format!(" ({}:{})", place.file(), place.line()));
    Finding {
        severity: Severity::Error,
        blame: Blame::Doorstep,
        id: "bug",
        what: format!("doorstep made a mistake: {}{place}.", panic.payload_as_str().unwrap_or("it cannot say which")),
        why: "The request that met it was cut off; everything else goes on.".to_owned(),
        fix: format!("Please report it: {}/issues", env!("CARGO_PKG_REPOSITORY")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workers_panic_is_told_and_not_printed() {
        let before = std::panic::take_hook();
        let events = Arc::new(Events::new(1));
        catch(Arc::clone(&events));
        let worker = std::thread::Builder::new().name("worker-0".to_owned());
        assert!(worker.spawn(|| panic!("no such drawer")).unwrap().join().is_err());
        std::panic::set_hook(before);
        let found = events.take().findings;
        let told = found.iter().find(|finding| finding.what.contains("no such drawer")).unwrap();
        assert_eq!(told.blame, Blame::Doorstep);
        assert!(told.what.contains("crash.rs"));
    }
}
