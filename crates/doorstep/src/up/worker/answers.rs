//! What a worker says of itself when it is asked.

use serde_json::json;

use super::serving::Serving;
use crate::up::link::{FromWorker, Question};

impl Serving {
    pub(super) fn answer(&mut self, id: u64, question: Question) {
        let value = match question {
            Question::Status => self.status(),
            Question::Certificates => json!(self.manager.status()),
            Question::RenewCertificate(name) => {
                let (manager, says) = (self.manager.clone(), self.says.clone());
                tokio::spawn(async move {
                    let value = match manager.renew(&name).await {
                        Ok(()) => json!({ "ok": true }),
                        Err(error) => json!({ "ok": false, "problem": error.to_string() }),
                    };
                    let _ = says.send(FromWorker::Answer { id, value });
                });
                return;
            }
        };
        let _ = self.says.send(FromWorker::Answer { id, value });
    }
}
