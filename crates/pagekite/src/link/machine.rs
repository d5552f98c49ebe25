use std::time::{Duration, SystemTime, UNIX_EPOCH};

use doorstep_proto::pagekite::{BackEnd, BackEndEvent, FrontEnd, FrontEndEvent, Read, Sid, StreamEvent};

/// What both ends of a tunnel have in common.
pub(crate) trait Machine: Send + 'static {
    type Event: Send;

    fn stream_event(event: &Self::Event) -> Option<&StreamEvent>;
    fn is_end(event: &Self::Event) -> bool;
    fn next_event(&mut self) -> Option<Self::Event>;
    fn receive(&mut self, bytes: &[u8]);
    fn wants_input(&self) -> bool;
    fn output(&self) -> &[u8];
    fn wrote(&mut self, bytes: usize);
    fn read(&mut self, sid: &Sid) -> Read;
    fn send(&mut self, sid: &Sid, data: &[u8]) -> usize;
    fn finish(&mut self, sid: &Sid);
    fn reset(&mut self, sid: &Sid);
    fn hang_up(&mut self);
    fn deadline(&self) -> Option<Duration>;
    fn tick(&mut self, now: Duration);
}

macro_rules! machine {
    ($machine:ident, $event:ident, $receive:expr) => {
        impl Machine for $machine {
            type Event = $event;

            fn stream_event(event: &$event) -> Option<&StreamEvent> {
                match event {
                    $event::Stream(event) => Some(event),
                    _ => None,
                }
            }

            fn is_end(event: &$event) -> bool {
                matches!(event, $event::Ended(_))
            }

            fn next_event(&mut self) -> Option<$event> {
                $machine::next_event(self)
            }

            fn receive(&mut self, bytes: &[u8]) {
                $receive(self, bytes);
            }

            fn wants_input(&self) -> bool {
                $machine::wants_input(self)
            }

            fn output(&self) -> &[u8] {
                $machine::output(self)
            }

            fn wrote(&mut self, bytes: usize) {
                $machine::wrote(self, bytes);
            }

            fn read(&mut self, sid: &Sid) -> Read {
                $machine::read(self, sid)
            }

            fn send(&mut self, sid: &Sid, data: &[u8]) -> usize {
                $machine::send(self, sid, data)
            }

            fn finish(&mut self, sid: &Sid) {
                $machine::finish(self, sid);
            }

            fn reset(&mut self, sid: &Sid) {
                $machine::reset(self, sid);
            }

            fn hang_up(&mut self) {
                $machine::hang_up(self);
            }

            fn deadline(&self) -> Option<Duration> {
                $machine::deadline(self)
            }

            fn tick(&mut self, now: Duration) {
                $machine::tick(self, now);
            }
        }
    };
}

machine!(BackEnd, BackEndEvent, BackEnd::receive);
machine!(FrontEnd, FrontEndEvent, |machine: &mut FrontEnd, bytes: &[u8]| machine.receive(bytes, unix()));

/// Seconds since 1970, by which challenges grow old.
pub(crate) fn unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or_default()
}
