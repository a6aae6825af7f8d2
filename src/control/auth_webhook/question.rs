//! A question about a user, and how the web server gets it. `docs/auth-webhook.md` promises its shape.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use crate::turn::{FiveTuple, QueryId};

/// What a worker wants to know.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) worker: u16,
    pub(super) query: QueryId,
    pub(super) client: FiveTuple,
    pub(super) user: Box<str>,
}

/// Whom a question is about: two of the same user at the same address are one.
pub(super) type Subject = (Box<str>, IpAddr);

impl Question {
    pub(super) fn subject(&self) -> Subject {
        (self.user.clone(), self.client.client().ip())
    }

    /// The body of a request.
    pub(super) fn letter(&self, user_id: &str, realm: &str, server: &str) -> Vec<u8> {
        #[derive(Serialize)]
        struct Letter<'a> {
            user: &'a str,
            user_id: &'a str,
            realm: &'a str,
            client: SocketAddr,
            transport: &'static str,
            server: &'a str,
        }
        let letter = Letter {
            user: &self.user,
            user_id,
            realm,
            client: self.client.client(),
            transport: self.client.listener().transport().name(),
            server,
        };
        // Text, numbers and addresses can always be JSON.
        serde_json::to_vec(&letter).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::{ListenerId, Transport};

    #[test]
    fn a_question_has_the_shape_that_is_promised() {
        let client = FiveTuple::new(([192, 0, 2, 5], 45_647).into(), ListenerId::new(Transport::Tls, 0));
        let query = QueryId { index: 0, generation: 1 };
        let question = Question { worker: 0, query, client, user: "1760003600:alice".into() };
        let letter = String::from_utf8(question.letter("alice", "example.org", "turn-1")).unwrap();
        assert_eq!(
            letter,
            r#"{"user":"1760003600:alice","user_id":"alice","realm":"example.org","client":"192.0.2.5:45647","transport":"tls","server":"turn-1"}"#
        );
    }
}
