//! Both machines against each other, as a seeded simulation.

use std::collections::BTreeMap;

use super::together::{UNIX, opening, up};
use super::*;

/// A generator small enough to be read (xorshift).
struct Seed(u64);

impl Seed {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// What one side of one stream did, and should see.
#[derive(Default)]
struct Half {
    sent: Vec<u8>,
    seen: Vec<u8>,
    finished: bool,
    saw_end: bool,
}

/// Moves a random number of bytes from one machine's output.
fn carry(seed: &mut Seed, output: &[u8]) -> Vec<u8> {
    let most = [20, 2_000, 40_000][seed.below(3)];
    output[..output.len().min(1 + seed.below(most))].to_vec()
}

#[test]
fn simulation() {
    for number in 1..25_u64 {
        simulate(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
}

/// Random sends, reads, half-closes and cuts of the byte streams: after each step the machines keep their bounds, and in
/// the end each side has read exactly what the other sent. If the connection is lost on the way, each has read the
/// beginning of it, and takes that for the whole only if it is.
fn simulate(number: u64) {
    let mut seed = Seed(number | 1);
    let (mut back, mut front, _) = up(seed.below(2) == 0);
    let mut streams: BTreeMap<Sid, (Half, Half)> = BTreeMap::new();
    let lost_at = if seed.below(3) == 0 { seed.below(900) } else { usize::MAX };
    for step in 0..900 {
        let stops = step > 600;
        if step == lost_at {
            back.hang_up();
            front.hang_up();
        }
        match seed.below(7) {
            0 if streams.len() < 8 && !stops => {
                if let Some((sid, taken)) = front.open(&opening("http"), b"hello") {
                    streams.entry(sid).or_default().0.sent.extend_from_slice(&b"hello"[..taken]);
                }
            }
            1 | 2 if back.wants_input() => {
                let bytes = carry(&mut seed, front.output());
                front.wrote(bytes.len());
                back.receive(&bytes);
            }
            3 | 4 if front.wants_input() => {
                let bytes = carry(&mut seed, back.output());
                back.wrote(bytes.len());
                front.receive(&bytes, UNIX);
            }
            _ => {}
        }
        while let Some(event) = back.next_event() {
            assert!(step == lost_at || !matches!(event, BackEndEvent::Ended(_)), "seed {number}: {event:?}");
        }
        while let Some(event) = front.next_event() {
            assert!(step == lost_at || !matches!(event, FrontEndEvent::Ended(_)), "seed {number}: {event:?}");
        }
        for (sid, (at_front, at_back)) in &mut streams {
            act(&mut seed, at_front, stops, |data| front.send(sid, data));
            // A back-end knows a stream only once its opening came.
            if !at_back.seen.is_empty() {
                act(&mut seed, at_back, stops, |data| back.send(sid, data));
            }
            if at_front.finished {
                front.finish(sid);
            }
            if at_back.finished {
                back.finish(sid);
            }
            if stops || seed.below(3) == 0 {
                take(at_front, || front.read(sid));
                take(at_back, || back.read(sid));
            }
        }
        back.check();
        front.check();
    }
    for (sid, (at_front, at_back)) in &streams {
        if lost_at != usize::MAX {
            lost(at_front, at_back);
            lost(at_back, at_front);
            continue;
        }
        assert!(at_front.seen == at_back.sent && at_back.seen == at_front.sent, "seed {number}: {sid}");
        assert!(at_front.saw_end && at_back.saw_end, "seed {number}: {sid}");
        assert_eq!((front.read(sid), back.read(sid)), (Read::Gone, Read::Gone), "seed {number}: {sid}");
    }
}

fn lost(reader: &Half, writer: &Half) {
    assert!(writer.sent.starts_with(&reader.seen));
    assert!(!reader.saw_end || (writer.finished && reader.seen.len() == writer.sent.len()));
}

fn act(seed: &mut Seed, half: &mut Half, stops: bool, send: impl FnOnce(&[u8]) -> usize) {
    if half.finished {
        return;
    }
    if stops || seed.below(60) == 0 {
        half.finished = true;
        return;
    }
    if seed.below(5) == 0 {
        let data: Vec<u8> = (0..seed.below(30_000)).map(|at| (at / 7) as u8).collect();
        let taken = send(&data);
        half.sent.extend_from_slice(&data[..taken]);
    }
}

fn take(half: &mut Half, mut read: impl FnMut() -> Read) {
    loop {
        match read() {
            Read::Data(data) => half.seen.extend_from_slice(&data),
            Read::Finished => half.saw_end = true,
            _ => return,
        }
        if half.saw_end {
            return;
        }
    }
}
