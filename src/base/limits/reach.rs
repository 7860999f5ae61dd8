//! Tests of reachability, our own and those of others.

use std::time::Duration;

/// Probes of this server that are under way at a time; a round has five and two canaries.
pub const PROBES_OUT_MAX: usize = 64;

/// Local addresses that are looked at; a machine with more has them for other purposes.
pub const LOCAL_ADDRESSES_MAX: usize = 1_024;

/// Spontaneous handshakes that wait for the self-check; past it they are passed over, for a few
/// tell as much as many.
pub const SPONTANEOUS_QUEUE_MAX: usize = 64;

/// Requests of the dial-back service under way at a time, those that are about to be refused
/// included; a refusal takes microseconds.
pub const PROBE_SERVICE_TASKS_MAX: usize = 256;

/// Links of this machine that the self-check looks at; each container may have one.
pub const LOCAL_LINKS_MAX: usize = 8_192;

/// Routes as wide as a 256th of a family that the self-check looks at. There are 256 of them in one
/// table, and policies have a handful of tables.
pub const LOCAL_ROUTES_MAX: usize = 4_096;

/// Gateways of default routes that the self-check keeps.
pub const LOCAL_GATEWAYS_MAX: usize = 16;

/// Time the kernel has to list links, addresses and routes.
pub const INTERFACES_TIMEOUT: Duration = Duration::from_secs(5);

/// Between the first change of links, addresses or routes and reading them anew: changes come in
/// bursts.
pub const INTERFACES_SETTLE: Duration = Duration::from_millis(50);

/// Bytes of one part of a list of links, addresses or routes: the kernel sends up to 32 KiB.
pub const INTERFACES_ANSWER_BYTES: usize = 64 << 10;

/// Bytes taken of one message about a change of links, addresses or routes. A longer one counts as
/// a change, whatever it says.
pub const INTERFACES_EVENT_BYTES: usize = 4 << 10;

/// Changes that are taken off together before links, addresses and routes are read anew.
pub const INTERFACES_EVENTS_MAX: usize = 1_024;

/// Times that links, addresses and routes are listed because they changed while they were.
pub const INTERFACES_TRIES_MAX: usize = 3;

/// Addresses that this process sent to within the last five minutes, as many before that, and as
/// many with a connection: at most 30 MB. Past it nobody counts as cold. It is ten times the
/// connections that can be open.
pub const CONTACTS_MAX: usize = 131_072;

/// Dials of the dial-back service in a minute, for everybody together: with
/// [`PROBE_DIAL_MAX_BYTES`], less than 10 kB/s. Addresses that asked themselves and those that
/// others vouch for are counted apart, here and in the limits below; of the latter,
/// [`VOUCHERS_PER_MINUTE_MAX`] lets less in.
pub const PROBES_PER_MINUTE_MAX: usize = 60;

/// The same for one asker's key: two full rounds of its self-check.
pub const PROBES_PER_KEY_PER_MINUTE_MAX: usize = 12;

/// The same for one asker's address, which in IPv6 is a network of 56 bits, as one home has.
pub const PROBES_PER_ADDRESS_PER_MINUTE_MAX: usize = 6;

/// The same for the askers of one network, a /16 or in IPv6 a /32: a quarter, so that whoever rents
/// many addresses of one provider leaves something to the others.
pub const PROBES_PER_NETGROUP_PER_MINUTE_MAX: usize = PROBES_PER_MINUTE_MAX / 4;

/// Probes under way at a time, for everybody together; one address has one.
pub const PROBES_AT_ONCE_MAX: usize = 16;

/// Different ports of one address and transport that are dialed within an hour: the listener's and
/// two canaries'. More would make the service a scanner of what shares the address.
pub const PROBE_PORTS_PER_HOUR_MAX: usize = 3;

/// Addresses whose dialed ports are remembered: more than an hour of [`PROBES_PER_MINUTE_MAX`] has.
pub const PROBE_PORT_ADDRESSES_MAX: usize = 4_096;

/// Vouchers that are carried out in a minute, from everybody together: with
/// [`PROBE_DIAL_MAX_BYTES`], 3 kB/s.
pub const VOUCHERS_PER_MINUTE_MAX: usize = 24;

/// The same from probers that are not pinned; what is left is for the pinned ones.
pub const VOUCHERS_OF_STRANGERS_PER_MINUTE_MAX: usize = VOUCHERS_PER_MINUTE_MAX / 2;

/// The same from those in one network, a /16 or in IPv6 a /32.
pub const VOUCHERS_PER_NETGROUP_PER_MINUTE_MAX: usize = VOUCHERS_PER_MINUTE_MAX / 4;

/// The same from one prober, those counted that are not carried out.
pub const VOUCHERS_PER_KEY_PER_MINUTE_MAX: usize = 6;

/// The same from one address, which in IPv6 is a network of 56 bits, of a prober that is not
/// pinned: keys cost nothing.
pub const VOUCHERS_PER_ADDRESS_PER_MINUTE_MAX: usize = 6;

/// Vouchers of the last minute that were not carried out and are remembered for their senders. Past
/// it the oldest are forgotten, which costs no more than looking at signatures in vain; to turn
/// everybody away would cost more.
pub const VOUCHERS_IN_VAIN_MAX: usize = 256;

/// Vouchers that one helper is given in a minute for askers of one address (IPv6: 56 bits): a half
/// of what it takes from this server.
pub const RELAYS_PER_HELPER_PER_MINUTE_MAX: usize = VOUCHERS_PER_KEY_PER_MINUTE_MAX / 2;

/// Names of helpers that are looked up for one probe; each can take as long as the probe may.
pub const PROBE_LOOKUPS_MAX: usize = 8;

/// Nonces of vouchers that are remembered, the newest: about 100 bytes each. At
/// [`VOUCHERS_PER_MINUTE_MAX`] that many come in more than five hours, and from strangers alone in
/// eleven; in laboratories, whose minutes are shorter, in less.
pub const VOUCHER_NONCES_MAX: usize = 8_192;

/// How far another server's clock may be off for its vouchers to count.
pub const VOUCHER_CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

/// Handshakes in a minute that show nothing but that our own way out works.
pub const CONTROL_DIALS_PER_MINUTE_MAX: usize = 6;

/// Third servers that are asked to dial before a cold probe is given up.
pub const PROBE_HELPERS_TRIED_MAX: usize = 3;

/// Keys that an asker of a cold probe can exclude: 8 KiB of them.
pub const PROBE_AVOID_MAX: usize = 256;

/// Bytes of a PROBE REQUEST of which the asker itself is dialed: one full datagram.
pub const PROBE_REQUEST_MIN_BYTES: usize = 1_200;

/// Most bytes that a dial sends to an address that never answers, headers of IPv6 and UDP
/// included. In 5 seconds, the time of a dial, QUIC sends one datagram of 1200 bytes at once, two
/// after 1 second and two after 3 (RFC 9002 section 6.2, from a round trip of 333 ms), and one that
/// gives up. TCP sends three segments without content.
pub const PROBE_DIAL_MAX_BYTES: usize = 6 * (1_200 + 48);

/// Bytes of `pad` that a dial to an address not proved to the dialer costs at the least, also for a
/// prober whom the dialer's operator vouches for, and for the asker of a cold probe.
pub const PROBE_COLD_COST_BYTES: usize = 8 << 10;

/// The same for probers whom the dialer's operator does not vouch for: four times what is sent, as
/// libp2p demands it.
pub const VOUCHER_COST_BYTES: usize = 32 << 10;

/// Local addresses of one listener that are tested: each costs its own rounds of probes.
pub const PLAN_CANDIDATES_MAX: usize = 8;

/// Servers that are asked to probe; the ones configured past it are not.
pub const PLAN_PROBERS_MAX: usize = 64;

/// Configured URLs that are looked at.
pub const PLAN_URLS_MAX: usize = 16;

/// Networks whose last word about one endpoint is kept. Third servers are strangers, so there can
/// be more of them than probers.
pub const PLAN_VOTES_MAX: usize = 128;

/// Servers remembered as spoken with a short while ago.
pub const PLAN_CONTACTS_MAX: usize = 256;

/// Servers that one cold probe is asked to avoid: 32 bytes each in the request.
pub const PLAN_AVOID_MAX: usize = 64;

/// Dial-backs without a meaning that one endpoint remembers for the report.
pub const PLAN_DISCARDED_MAX: usize = 16;

/// Cold probes that one endpoint asks for in one round: what it needs, and as many liars.
pub const PLAN_COLD_ASKS_MAX: usize = 6;

/// Changes of an observed address in one hour, past which it is left unknown.
pub const PLAN_OBSERVED_CHANGES_MAX: usize = 4;

/// Endpoints whose past flips are remembered.
pub const PLAN_HISTORIES_MAX: usize = 64;

/// Connections at a time on a port that waits for dial-backs: one prober is expected, and others may
/// come across the port.
pub const CATCHER_CONNECTIONS_MAX: usize = 8;

/// Time such a connection has in all; a dial-back has five seconds.
pub const CATCHER_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes such a connection may send: HELLO and DIALBACK take 300.
pub const CATCHER_MAX_BYTES: u16 = 8 << 10;

/// Bytes kept on such a port for all connection attempts that wait to be taken.
pub const CATCHER_INCOMING_MAX_BYTES: u64 = 64 << 10;

/// Ports that are tried to find one on which nothing listens yet. Of 20 000 few are taken.
pub const CANARY_TRIES_MAX: usize = 32;

/// Configuration files of Tor that are read in one go, included ones counted.
pub const TORRC_FILES_MAX: usize = 64;

/// Names in a folder that such a file includes, past which no further one is looked at.
pub const TORRC_ENTRIES_MAX: usize = 1_024;

/// Bytes of such a file that are read; one with hundreds of services has 50 KiB.
pub const TORRC_MAX_BYTES: u64 = 256 << 10;

/// Time that Tor's control port has to answer everything.
pub const TOR_CONTROL_TIMEOUT: Duration = Duration::from_secs(3);

/// Bytes taken from Tor's control port, for the same hundreds of services.
pub const TOR_CONTROL_MAX_BYTES: u64 = 256 << 10;
