//! Why a question has no answer, told apart by what it means for the next one.

use http::StatusCode;

use crate::control::https;

/// What came instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The web server is not there, or has no answer for anybody now.
    Down(String),
    /// It answers, and this answer is of no use.
    Useless(String),
    /// It finds fault with this question, as many do that know no such user. That is no reason to let the user in by
    /// what holds while it is down.
    Rejected(StatusCode),
}

impl Failure {
    /// No answer came in full.
    pub(super) fn of_exchange(failure: https::Failure) -> Self {
        let reason = failure.to_string();
        match failure {
            https::Failure::TimedOut(_) | https::Failure::Broken(_) => Self::Down(reason),
            https::Failure::TooLong(_) => Self::Useless(reason),
        }
    }

    /// One came with another status than 2xx.
    pub(super) fn of_status(status: StatusCode) -> Self {
        let reason = || format!("the answer was {status}");
        match status {
            StatusCode::TOO_MANY_REQUESTS => Self::Down(reason()),
            status if status.is_server_error() => Self::Down(reason()),
            status if status.is_client_error() => Self::Rejected(status),
            _ => Self::Useless(reason()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_web_server_that_can_answer_nobody_is_down() {
        let down = |status: u16| {
            matches!(Failure::of_status(StatusCode::from_u16(status).unwrap()), Failure::Down(_))
        };
        assert!([500, 502, 503, 504, 429].into_iter().all(down));
        assert!(![302, 304, 400, 401, 403, 404, 422].into_iter().any(down));
        assert_eq!(Failure::of_status(StatusCode::NOT_FOUND), Failure::Rejected(StatusCode::NOT_FOUND));
        let silent = https::Failure::Broken("nobody".to_owned());
        assert_eq!(Failure::of_exchange(silent), Failure::Down("nobody".to_owned()));
        assert!(matches!(Failure::of_exchange(https::Failure::TooLong(1)), Failure::Useless(_)));
    }
}
