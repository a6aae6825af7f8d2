//! Records as a webhook gets them: as they are, in signed batches.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use serde::Serialize;

use super::identity::RecordId;
use super::record::Record;
use crate::auth::webhook_signature::{self, Signer};
use crate::control::utc::unix_now;

pub(super) fn letter(id: RecordId, batch: &[Arc<Record>]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Letter<'a> {
        batch: RecordId,
        records: Vec<&'a Record>,
    }
    let letter = Letter { batch: id, records: batch.iter().map(AsRef::as_ref).collect() };
    // A test shows that a record can be JSON.
    serde_json::to_vec(&letter).unwrap_or_default()
}

pub(super) fn headers(signer: Option<&Signer>, id: &RecordId, body: &[u8]) -> HeaderMap {
    webhook_signature::headers(signer, &id.to_string(), unix_now(), body)
}

/// Whether the other side has understood what it got, and does not want it. All other errors, like a wrong secret, can
/// be mended while the records wait.
pub(super) fn is_final(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY
    )
}
