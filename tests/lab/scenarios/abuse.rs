//! Attempts to turn the dial-back service against others: refused, counted, and measured.
//!
//! Time is not shortened, for the limits are of minutes and hours.

use std::fmt::Write as _;
use std::time::Duration;

use mosaicd::wire::{ProbeCode, ProbeOutcome, ProbeRequest, ResultCode, SecretKey};
use serde_json::Value;

use super::attacker::{Answer, Attacker, request};
use crate::Outcome;
use crate::cast::Player;
use crate::proof::expect;
use crate::rows;
use crate::scene::{Scene, address};
use crate::stage::Stage;
use crate::world::{End, World};

/// Plays it. Returns what was measured.
pub(super) fn run() -> Outcome<String> {
    let row = rows::named("1");
    let mut scene = (row.build)(World::internet("abuse", 1.0)?)?;
    arm(&mut scene)?;
    let mut stage = Stage::set(&scene, 1.0)?;
    let mut report = format!(
        "{:58} {:28} {:>9} {:>9}\n",
        "attempt", "answer", "bytes in", "to victim"
    );
    let mut test = Test {
        scene: &scene,
        report: &mut report,
    };
    let tried = test.requests().and_then(|()| test.vouchers());
    tried.map_err(|why| format!("{report}{why}\n{}", stage.server().tail(30)))?;
    let counters = service_counters(&stage)?;
    for (name, least) in COUNTED {
        let counted = counters[name].as_u64().unwrap_or_default();
        expect(counted >= least, true, &format!("{name} is {counted}"))?;
    }
    write!(report, "counted by the server: {counters}").unwrap();
    Ok(report)
}

/// What the server must have counted at the least.
const COUNTED: [(&str, u64); 8] = [
    ("refused_anonymous", 2),
    ("refused_invalid", 2),
    ("refused_rate_limited", 2),
    ("refused_not_global", 3),
    ("refused_same_network", 1),
    ("refused_port", 4),
    ("refused_cost", 2),
    ("bytes_in", 32 << 10),
];

/// The address that the attacker would like to be flooded: nobody answers there.
const VICTIM: &str = "16.6.0.2";

/// Meters at the core, a victim that swallows everything, and an attacker with a private address
/// beside the server too.
fn arm(scene: &mut Scene) -> Outcome {
    let world = &mut scene.world;
    world.at("p6").nft(&deaf("1-65535"))?;
    world.at("core").nft(
        "table inet gauge {
            counter from_attacker { }
            counter to_victim { }
            set dialed { type inet_service; flags dynamic; }
            chain forward {
                type filter hook forward priority 0;
                iifname cli counter name from_attacker
                oifname p6 counter name to_victim
                oifname cli udp sport != 1320 add @dialed { udp dport }
            }
        }",
    )?;
    world.link(
        &End("s", "eth1", &["10.66.0.1/24"]),
        &End("cli", "eth1", &["10.66.0.2/24"]),
    )?;
    world.at("s").nft(
        "table inet gauge {
            counter to_private { }
            chain output {
                type filter hook output priority 0;
                oifname eth1 udp sport != 1320 counter name to_private
            }
        }",
    )
}

/// A host that takes nothing at these UDP ports, and does not say so.
fn deaf(ports: &str) -> String {
    format!(
        "table inet deaf {{
            chain input {{
                type filter hook input priority 0;
                udp dport {ports} drop
            }}
        }}"
    )
}

struct Test<'a> {
    scene: &'a Scene,
    report: &'a mut String,
}

impl Test<'_> {
    fn attacker(&self) -> Attacker<'_> {
        Attacker {
            host: self.scene.world.at("cli"),
            key: Some(SecretKey::from_seed([77; 32])),
            from: None,
            server: Player::Server(1).key().public(),
            at: "21.7.0.2:1320",
        }
    }

    /// Notes an attempt, and checks that no more reached the victim than the attacker sent.
    fn note(&mut self, what: &str, answer: &Answer, before: Meters) -> Outcome<Meters> {
        let now = Meters::read(self.scene)?;
        let (sent, hit) = (now.sent - before.sent, now.hit - before.hit);
        writeln!(
            self.report,
            "{what:58} {:28} {sent:>9} {hit:>9}",
            answer.say()
        )
        .unwrap();
        expect(hit <= sent, true, what)?;
        Ok(Meters { sent, hit })
    }

    /// Requests: the asker's own address is dialed or none, at few ports, and not told early.
    fn requests(&mut self) -> Outcome {
        let refused = [
            (
                "anonymous",
                None,
                None,
                request(1_320),
                Answer::Refused(ResultCode::RequiresAuthentication),
            ),
            (
                "without its cost",
                key(),
                None,
                ProbeRequest {
                    pad: Default::default(),
                    ..request(1_320)
                },
                Answer::Code(ProbeCode::CostRequired),
            ),
            (
                "from a private address",
                key(),
                Some("10.66.0.2"),
                request(1_320),
                Answer::Code(ProbeCode::NotGlobal),
            ),
            (
                "at the port of SSH",
                key(),
                None,
                request(22),
                Answer::Code(ProbeCode::PortRefused),
            ),
            (
                "at the port of DNS",
                key(),
                None,
                request(53),
                Answer::Code(ProbeCode::PortRefused),
            ),
        ];
        for (what, key, from, request, should) in refused {
            let at = if from.is_some() {
                "10.66.0.1:1320"
            } else {
                "21.7.0.2:1320"
            };
            let from = from.map(|ip| ip.parse().unwrap());
            let before = Meters::read(self.scene)?;
            let answer = Attacker {
                key,
                from,
                at,
                ..self.attacker()
            }
            .ask(&request)?;
            let meters = self.note(what, &answer, before)?;
            expect(&answer, &should, what)?;
            expect(meters.hit, 0, "bytes to the victim")?;
        }
        self.dialed()?;
        let private = counter(self.scene, "s", "to_private")?;
        expect(private, 0, "bytes dialed to a private address")
    }

    /// Requests that are carried out.
    fn dialed(&mut self) -> Outcome {
        let naming = ProbeRequest {
            own: Some(address("16.6.0.2:1320")),
            ..request(1_320)
        };
        self.scene.world.at("cli").nft(&deaf("2000"))?;
        let carried_out = [
            ("naming the victim as its own address", naming),
            ("at a port where nobody answers", request(2_000)),
            ("at a third port", request(2_001)),
        ];
        for (what, request) in carried_out {
            let before = Meters::read(self.scene)?;
            let answer = self.attacker().ask(&request)?;
            let meters = self.note(what, &answer, before)?;
            expect(meters.hit, 0, "bytes to the victim")?;
            let Answer::Dialed(outcome, after) = answer else {
                return Err(format!("{what}: {}", answer.say()));
            };
            expect(outcome == ProbeOutcome::Ok, false, "the dial went well")?;
            expect(
                after >= EARLIEST,
                true,
                "a failure is told no earlier than at its time",
            )?;
        }
        for (what, port, should) in [
            (
                "at a fourth port within the hour",
                2_002,
                ProbeCode::PortRefused,
            ),
            ("at a fifth", 2_003, ProbeCode::PortRefused),
        ] {
            let before = Meters::read(self.scene)?;
            let answer = self.attacker().ask(&request(port))?;
            self.note(what, &answer, before)?;
            expect(answer, Answer::Code(should), what)?;
        }
        self.too_often()?;
        expect(
            dialed_ports(self.scene)? <= 3,
            true,
            "ports dialed at the attacker",
        )
    }

    /// Six in a minute from one address, and no more.
    fn too_often(&mut self) -> Outcome {
        for _ in 0..3 {
            let before = Meters::read(self.scene)?;
            let answer = self.attacker().ask(&request(1_320))?;
            self.note("again", &answer, before)?;
        }
        let before = Meters::read(self.scene)?;
        let answer = self.attacker().ask(&request(1_320))?;
        self.note("a seventh time within the minute", &answer, before)?;
        expect(
            answer,
            Answer::Code(ProbeCode::RateLimited),
            "the seventh request",
        )
    }

    /// Vouchers are the only way to have somebody else dialed.
    fn vouchers(&mut self) -> Outcome {
        let accomplice = SecretKey::from_seed([78; 32]);
        let price = 32 << 10;
        let forged = {
            let mut voucher = self.attacker().voucher(&accomplice, VICTIM, price);
            voucher.server = SecretKey::from_seed([79; 32]).public();
            voucher.signature = self.attacker().key.unwrap().sign(&voucher.signed_hash());
            voucher
        };
        let own = |ip, pad| self.attacker().voucher(&accomplice, ip, pad);
        let refused = [
            (
                "voucher without its price",
                own(VICTIM, 0),
                Answer::Code(ProbeCode::CostRequired),
            ),
            (
                "voucher for a private address",
                own("192.168.7.7", price),
                Answer::Code(ProbeCode::NotGlobal),
            ),
            (
                "voucher for a neighbour of the server",
                own("21.7.0.9", price),
                Answer::Code(ProbeCode::SameNetwork),
            ),
            (
                "voucher for loopback",
                own("127.0.0.1", price),
                Answer::Code(ProbeCode::NotGlobal),
            ),
            (
                "voucher that its server did not sign",
                forged,
                Answer::Refused(ResultCode::Invalid),
            ),
        ];
        for (what, voucher, should) in refused {
            let before = Meters::read(self.scene)?;
            let answer = self.attacker().ask(&voucher)?;
            let meters = self.note(what, &answer, before)?;
            expect(&answer, &should, what)?;
            expect(meters.hit, 0, "bytes to the victim")?;
        }
        let anonymous = self.attacker().voucher(&accomplice, VICTIM, price);
        let before = Meters::read(self.scene)?;
        let answer = Attacker {
            key: None,
            ..self.attacker()
        }
        .ask(&anonymous)?;
        self.note("anonymous voucher", &answer, before)?;
        expect(
            answer,
            Answer::Refused(ResultCode::RequiresAuthentication),
            "anonymous voucher",
        )?;
        self.paid(&accomplice, price)?;
        self.spoofed()
    }

    /// Two keys of the attacker's own, and the full price: the victim is dialed, for less than the
    /// attacker sent.
    fn paid(&mut self, accomplice: &SecretKey, price: usize) -> Outcome {
        let voucher = self.attacker().voucher(accomplice, VICTIM, price);
        let before = Meters::read(self.scene)?;
        let answer = self.attacker().ask(&voucher)?;
        let meters = self.note("voucher at its full price", &answer, before)?;
        let is_dialed = matches!(answer, Answer::Dialed(ProbeOutcome::NoResponse, _));
        expect(is_dialed, true, "the voucher is carried out")?;
        expect(meters.hit > 0, true, "the victim is dialed")?;
        let before = Meters::read(self.scene)?;
        let answer = self.attacker().ask(&voucher)?;
        let meters = self.note("the same voucher again", &answer, before)?;
        expect(
            answer,
            Answer::Refused(ResultCode::Invalid),
            "a voucher is good once",
        )?;
        expect(meters.hit, 0, "bytes to the victim")?;
        let before = Meters::read(self.scene)?;
        let mut last = Answer::Nothing;
        for _ in 0..6 {
            let voucher = self.attacker().voucher(accomplice, VICTIM, price);
            last = self.attacker().ask(&voucher)?;
        }
        self.note("six more within the minute; the last", &last, before)?;
        expect(
            last,
            Answer::Code(ProbeCode::RateLimited),
            "vouchers within a minute",
        )
    }

    /// A handshake that seems to come from the victim: the server answers with less than it got.
    fn spoofed(&mut self) -> Outcome {
        let host = self.scene.world.at("cli");
        host.ip("address add 16.6.0.2/32 dev eth0")?;
        let before = Meters::read(self.scene)?;
        let answer = Attacker {
            from: Some(VICTIM.parse().unwrap()),
            ..self.attacker()
        }
        .ask(&request(1_320))?;
        let meters = self.note("handshake in the victim's name", &answer, before)?;
        expect(answer, Answer::Nothing, "the handshake")?;
        expect(
            meters.hit > 0,
            true,
            "the victim is asked whether it was it",
        )
    }
}

fn key() -> Option<SecretKey> {
    Some(SecretKey::from_seed([77; 32]))
}

/// A dial has five seconds; a reading of the clock may be off by a little.
const EARLIEST: Duration = Duration::from_millis(4_900);

/// Bytes so far, with the headers of IP and UDP.
#[derive(Clone, Copy, Debug)]
struct Meters {
    sent: u64,
    hit: u64,
}

impl Meters {
    fn read(scene: &Scene) -> Outcome<Self> {
        Ok(Self {
            sent: counter(scene, "core", "from_attacker")?,
            hit: counter(scene, "core", "to_victim")?,
        })
    }
}

fn counter(scene: &Scene, host: &str, name: &str) -> Outcome<u64> {
    let listed = scene
        .world
        .at(host)
        .listed(&["counter", "inet", "gauge", name])?;
    let objects = listed["nftables"].as_array().cloned().unwrap_or_default();
    let found = objects
        .iter()
        .find_map(|object| object["counter"]["bytes"].as_u64());
    found.ok_or_else(|| format!("no counter {name}: {listed}"))
}

/// Ports of the attacker's that were dialed.
fn dialed_ports(scene: &Scene) -> Outcome<usize> {
    let listed = scene
        .world
        .at("core")
        .listed(&["set", "inet", "gauge", "dialed"])?;
    let objects = listed["nftables"].as_array().cloned().unwrap_or_default();
    let elements = objects
        .iter()
        .find_map(|object| object["set"]["elem"].as_array());
    Ok(elements.map_or(0, Vec::len))
}

fn service_counters(stage: &Stage<'_>) -> Outcome<Value> {
    let status: Value =
        serde_json::from_slice(&stage.status_json()?).map_err(|error| error.to_string())?;
    Ok(status["service"].clone())
}
