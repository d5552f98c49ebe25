use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

/// What is answered at `/.well-known/acme-challenge/TOKEN` (RFC 8555 section 8.3). A clone shares the answers.
#[derive(Clone, Default)]
pub struct Http01Answers {
    answers: Arc<RwLock<HashMap<String, String>>>,
}

/// An answer that stands until this is dropped.
pub(crate) struct Answer {
    answers: Http01Answers,
    token: String,
}

impl Http01Answers {
    /// The key authorization for `token`, to be sent as the whole body, if a challenge is under way. Cheap: for the data
    /// plane.
    pub fn lookup(&self, token: &str) -> Option<String> {
        self.answers.read().get(token).cloned()
    }

    pub(crate) fn provide(&self, token: &str, answer: &str) -> Answer {
        self.answers.write().insert(token.to_owned(), answer.to_owned());
        Answer { answers: self.clone(), token: token.to_owned() }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.answers.answers.write().remove(&self.token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_stands_until_it_is_dropped() {
        let answers = Http01Answers::default();
        let answer = answers.clone().provide("token", "token.thumb");
        assert_eq!(answers.lookup("token").as_deref(), Some("token.thumb"));
        drop(answer);
        assert_eq!(answers.lookup("token"), None);
    }
}
