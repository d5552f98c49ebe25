//! Questions to the worker that are under way, and what it said.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use serde_json::Value;

use super::Supervisor;
use crate::limits::{REMEMBERED_ANSWERS, WORKER_ANSWER};
use crate::up::link::{Question, ToWorker};

/// What workers said, until somebody asks for it.
#[derive(Default)]
pub struct Questions {
    next: u64,
    /// Worker to why it cannot begin.
    problems: HashMap<u64, String>,
    /// Worker to the last configuration it was given, and why it does not serve by it.
    configured: HashMap<u64, (u64, Option<String>)>,
    answers: BTreeMap<u64, Value>,
    /// The last answer to [`Question::Status`], with its time.
    status: Option<(Instant, Value)>,
    status_questions: Vec<u64>,
}

impl Questions {
    pub fn failed(&mut self, worker: u64, problem: String) {
        self.problems.insert(worker, problem);
    }

    pub fn ended(&mut self, worker: u64, how: &str) {
        self.problems.entry(worker).or_insert_with(|| format!("it {how}"));
        self.configured.remove(&worker);
    }

    pub fn configured(&mut self, worker: u64, generation: u64, problem: Option<String>) {
        self.configured.insert(worker, (generation, problem));
    }

    pub fn answered(&mut self, question: u64, value: Value) {
        if let Some(at) = self.status_questions.iter().position(|id| *id == question) {
            self.status_questions.drain(..=at);
            self.status = Some((Instant::now(), value));
        } else if question < self.next {
            self.answers.insert(question, value);
            // Answers that came too late are nobody's.
            while self.answers.len() > REMEMBERED_ANSWERS {
                self.answers.pop_first();
            }
        }
    }

    pub fn problem(&self, worker: u64) -> Option<String> {
        self.problems.get(&worker).cloned()
    }

    /// Whether the worker took this configuration: `Some(None)`, or why it did not.
    pub fn configured_as(&self, worker: u64, generation: u64) -> Option<Option<String>> {
        if let Some(problem) = self.problems.get(&worker) {
            return Some(Some(problem.clone()));
        }
        let (last, problem) = self.configured.get(&worker)?;
        (*last == generation).then(|| problem.clone())
    }
}

impl Supervisor {
    /// Sends a question to the serving worker. Its answer to [`Question::Status`] is remembered; others are waited for with
    /// [`Self::answer_of`].
    pub(super) fn ask_worker(&mut self, question: Question) -> Option<u64> {
        let id = self.questions.next;
        self.questions.next += 1;
        if matches!(question, Question::Status) {
            self.questions.status_questions.push(id);
        }
        self.serving()?.send(ToWorker::Ask { id, question });
        Some(id)
    }

    /// Asks and waits.
    pub(super) async fn answer_of(&mut self, question: Question) -> Option<Value> {
        let status = matches!(question, Question::Status);
        let asked = Instant::now();
        let id = self.ask_worker(question)?;
        self.until(WORKER_ANSWER, |this| {
            if status {
                return this.questions.status.as_ref().filter(|(at, _)| *at >= asked).map(|(_, value)| value.clone());
            }
            this.questions.answers.get(&id).cloned()
        })
        .await
        .inspect(|_| {
            self.questions.answers.remove(&id);
        })
    }
}
