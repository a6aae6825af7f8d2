//! Refresh: keeps an allocation, or gives it back (RFC 8656 §8).

use super::Family;
use super::answer::Sink;
use super::event::EndReason;
use super::refusal::Refusal;
use super::relay::Relay;
use super::request::{FamilyAttribute, Request};
use super::time::Now;
use crate::wire::AttributeType;

impl Relay {
    pub(super) fn refresh(&mut self, now: Now, request: &Request<'_>, out: Sink<'_, '_>) {
        let Some((id, authenticated)) = self.owned_allocation(now, request, out) else { return };
        let Some(allocation) = self.table.get(id) else { return };
        let families = match request.family(AttributeType::REQUESTED_ADDRESS_FAMILY) {
            FamilyAttribute::Absent => [Some(Family::V4), Some(Family::V6)],
            FamilyAttribute::Is(family) if allocation.relays.is_live(family, now.mono) => {
                [Some(family), None]
            }
            FamilyAttribute::Is(_) | FamilyAttribute::Unsupported => {
                return self.refuse(request, &authenticated, Refusal::FamilyMismatch, out);
            }
            FamilyAttribute::Malformed => {
                return self.refuse(request, &authenticated, Refusal::BadRequest, out);
            }
        };
        let Ok(requested) = request.lifetime() else {
            return self.refuse(request, &authenticated, Refusal::BadRequest, out);
        };
        self.counters.succeed(request.method());
        let release = requested == Some(0);
        let lifetime = self.settings.lifetime(requested);
        let seconds = if release { 0 } else { u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX) };
        request
            .addressee
            .succeed(authenticated.proof(), out, |writer| writer.number(AttributeType::LIFETIME, seconds));
        for family in families.into_iter().flatten() {
            if release {
                self.close_relay(now.mono, id, family, EndReason::Released, out);
            } else if let Some(allocation) = self.table.get(id)
                && let Some(relay) = allocation.relays.slot(family)
            {
                relay.expires = now.mono.after(lifetime);
            }
        }
        // A lifetime can also become shorter than it was.
        self.schedule(id);
    }
}
