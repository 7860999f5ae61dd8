//! How much is done for whom: pure counting, on a clock that is passed in.

use std::collections::{HashSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::dials::{Dials, Household, Proof, Wanted};
use crate::base::limits;
use crate::reach::address::Netgroup;
use crate::reach::timing::Timing;
use crate::wire::{Nonce, ProbeCode, PublicKey};

/// What was done within the last minute and hour, and what is under way.
///
/// Nothing here grows with the number of askers: what is remembered of a minute is bounded by what
/// a minute admits, and the rest is full at a bound, which turns further askers away or pushes out
/// what is oldest.
#[derive(Debug)]
pub(super) struct Quotas {
    timing: Timing,
    own: Dials,
    vouched: Dials,
    /// Those that were carried out, oldest first; at most [`limits::VOUCHERS_PER_MINUTE_MAX`].
    vouchers: VecDeque<(Instant, Sender)>,
    /// Those that were not, which count for their senders alone: oldest first; at most
    /// [`limits::VOUCHERS_IN_VAIN_MAX`].
    in_vain: VecDeque<(Instant, Sender)>,
    /// For which household which helper was asked, oldest first; at most [`RELAYS_MAX`].
    relays: VecDeque<(Instant, Household, PublicKey)>,
    /// Oldest first; at most [`limits::CONTROL_DIALS_PER_MINUTE_MAX`].
    controls: VecDeque<Instant>,
    /// Of the vouchers that were carried out, oldest first; at most
    /// [`limits::VOUCHER_NONCES_MAX`].
    ///
    /// The server's signature in a voucher names a prober, a nonce, a port and a transport, and no
    /// time: the prober can put it into a new voucher at any time, for any address. So nonces are
    /// kept for as long as there is room. What remains: past that, and after a restart, the prober
    /// whom a server asked once can have it dialed here once more, within all other limits.
    nonces: VecDeque<Nonce>,
    /// The same.
    seen: HashSet<Nonce>,
}

/// Who sent a voucher.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sender {
    key: PublicKey,
    household: Household,
    netgroup: Netgroup,
    is_pinned: bool,
}

impl Sender {
    pub(super) fn new(key: PublicKey, ip: IpAddr, is_pinned: bool) -> Self {
        Self {
            key,
            household: Household::of(ip),
            netgroup: Netgroup::of(ip),
            is_pinned,
        }
    }
}

impl Quotas {
    pub(super) fn new(timing: Timing) -> Self {
        Self {
            timing,
            own: Dials::new(timing),
            vouched: Dials::new(timing),
            vouchers: VecDeque::new(),
            in_vain: VecDeque::new(),
            relays: VecDeque::new(),
            controls: VecDeque::new(),
            nonces: VecDeque::new(),
            seen: HashSet::new(),
        }
    }

    /// Counts a probe and begins it; the caller ends it with [`finish`](Self::finish). Nothing is
    /// counted of one that is turned away.
    pub(super) fn begin(
        &mut self,
        proof: Proof,
        wanted: &Wanted,
        now: Instant,
    ) -> Result<Household, ProbeCode> {
        self.dials(proof).begin(wanted, now)
    }

    /// A probe that was begun is over.
    pub(super) fn finish(&mut self, proof: Proof, household: Household) {
        self.dials(proof).finish(household);
    }

    /// Whether another voucher may come from `sender`; counts nothing.
    ///
    /// Keys cost nothing, and addresses little: all who are not pinned share a half of what there
    /// is, and those of one network a quarter. One that is pinned proves it by its key, so it
    /// answers for no neighbour.
    pub(super) fn may_vouch(&mut self, sender: &Sender, now: Instant) -> Result<(), ProbeCode> {
        let minute = self.timing.minute();
        drop_while(&mut self.vouchers, |(at, _)| has_passed(minute, *at, now));
        drop_while(&mut self.in_vain, |(at, _)| has_passed(minute, *at, now));
        let carried_out = || self.vouchers.iter().map(|(_, of)| of);
        let all = || carried_out().chain(self.in_vain.iter().map(|(_, of)| of));
        let of_key = all().filter(|of| of.key == sender.key).count();
        if carried_out().count() >= limits::VOUCHERS_PER_MINUTE_MAX
            || of_key >= limits::VOUCHERS_PER_KEY_PER_MINUTE_MAX
        {
            return Err(ProbeCode::RateLimited);
        }
        if sender.is_pinned {
            return Ok(());
        }
        let strangers = || carried_out().filter(|of| !of.is_pinned);
        let of_netgroup = strangers().filter(|of| of.netgroup == sender.netgroup);
        let of_household = all().filter(|of| !of.is_pinned && of.household == sender.household);
        if strangers().count() >= limits::VOUCHERS_OF_STRANGERS_PER_MINUTE_MAX
            || of_netgroup.count() >= limits::VOUCHERS_PER_NETGROUP_PER_MINUTE_MAX
            || of_household.count() >= limits::VOUCHERS_PER_ADDRESS_PER_MINUTE_MAX
        {
            return Err(ProbeCode::RateLimited);
        }
        Ok(())
    }

    /// Counts a voucher that is not carried out, for its sender alone.
    pub(super) fn vouched_in_vain(&mut self, sender: Sender, now: Instant) {
        if self.in_vain.len() >= limits::VOUCHERS_IN_VAIN_MAX {
            self.in_vain.pop_front();
        }
        self.in_vain.push_back((now, sender));
    }

    /// Counts a voucher and begins its dial, whose end [`finish`](Self::finish) is told. The nonce
    /// must not be [`is_seen`](Self::is_seen). Nothing is counted of one that is turned away.
    pub(super) fn vouched(
        &mut self,
        sender: Sender,
        nonce: Nonce,
        wanted: &Wanted,
        now: Instant,
    ) -> Result<Household, ProbeCode> {
        self.may_vouch(&sender, now)?;
        let household = self.begin(Proof::Voucher, wanted, now)?;
        self.vouchers.push_back((now, sender));
        self.note_nonce(nonce);
        Ok(household)
    }

    /// Whether the nonce of a voucher was seen before.
    pub(super) fn is_seen(&self, nonce: &Nonce) -> bool {
        self.seen.contains(nonce)
    }

    /// Counts a voucher that is about to be given to `helper` for an asker of `household`; `false`
    /// where there were enough: one asker must not use up what a helper does for this server.
    pub(super) fn relay(&mut self, household: Household, helper: &PublicKey, now: Instant) -> bool {
        let minute = self.timing.minute();
        drop_while(&mut self.relays, |(at, ..)| has_passed(minute, *at, now));
        let same =
            |(_, of, key): &&(Instant, Household, PublicKey)| *of == household && key == helper;
        if self.relays.len() >= RELAYS_MAX
            || self.relays.iter().filter(same).count() >= limits::RELAYS_PER_HELPER_PER_MINUTE_MAX
        {
            return false;
        }
        self.relays.push_back((now, household, *helper));
        true
    }

    /// Counts a control dial; `false` where there were enough.
    pub(super) fn control(&mut self, now: Instant) -> bool {
        let is_over = |at: &Instant| has_passed(self.timing.minute(), *at, now);
        drop_while(&mut self.controls, is_over);
        if self.controls.len() >= limits::CONTROL_DIALS_PER_MINUTE_MAX {
            return false;
        }
        self.controls.push_back(now);
        true
    }

    /// As if a minute had passed for rates, and no time for anything else.
    #[cfg(test)]
    pub(super) fn forget_minute(&mut self) {
        self.own.forget_minute();
        self.vouched.forget_minute();
    }

    pub(super) fn note_nonce(&mut self, nonce: Nonce) {
        if self.nonces.len() >= limits::VOUCHER_NONCES_MAX
            && let Some(oldest) = self.nonces.pop_front()
        {
            self.seen.remove(&oldest);
        }
        if self.seen.insert(nonce) {
            self.nonces.push_back(nonce);
        }
    }

    const fn dials(&mut self, proof: Proof) -> &mut Dials {
        match proof {
            Proof::Own => &mut self.own,
            Proof::Voucher => &mut self.vouched,
        }
    }
}

/// What the probes that begin in a minute can need, and those of the minute before that are still
/// looking for a helper.
const RELAYS_MAX: usize = 2 * limits::PROBES_PER_MINUTE_MAX * limits::PROBE_HELPERS_TRIED_MAX;

pub(super) fn has_passed(span: Duration, at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) >= span
}

pub(super) fn drop_while<T>(queue: &mut VecDeque<T>, is_over: impl Fn(&T) -> bool) {
    while queue.front().is_some_and(&is_over) {
        queue.pop_front();
    }
}
