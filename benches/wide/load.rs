//! The other clients: a process that asks what no index narrows down, over and over.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use bytes::Bytes;
use mosaicd::client::RawStream;
use mosaicd::wire::{ClientMessage, Filter, PublicKey, QueryId, ServerMessage};

use crate::{SCENARIOS, Scenario, Server, TURN, WARM_UP, greeted};

/// Connections of the load, from half as many addresses.
const LOADERS: u8 = 8;

pub(crate) struct Load(Child);

impl Load {
    pub(crate) fn start(server: &Server, scenario: &Scenario) -> Self {
        let this = std::env::current_exe().expect("a program");
        let child = Command::new("chrt")
            .args(["--idle", "0"])
            .arg(this)
            .args([
                "load",
                &server.address.to_string(),
                &server.key.to_server_string(),
            ])
            .arg(scenario.name)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a load, by chrt");
        Self(child)
    }

    /// Waits for its end, and returns what it says.
    pub(crate) fn end(mut self) -> String {
        let output = self.0.stdout.take().expect("it is piped");
        let line = BufReader::new(output).lines().map_while(Result::ok).last();
        self.0.wait().expect("it ends");
        line.unwrap_or_default()
    }
}

#[derive(Default)]
struct Tally {
    records: usize,
    ended: BTreeMap<String, usize>,
}

pub(crate) async fn load(arguments: &[String]) {
    let address: SocketAddr = arguments[0].parse().expect("an address");
    let key = PublicKey::from_server_str(&arguments[1]).expect("a key");
    let scenario = SCENARIOS
        .iter()
        .find(|scenario| scenario.name == arguments[2]);
    let scenario = *scenario.expect("a scenario");
    let until = Instant::now() + WARM_UP + TURN;
    let mut loaders = tokio::task::JoinSet::new();
    for number in 0..LOADERS {
        let from = IpAddr::V4(Ipv4Addr::new(127, 0, 1, 1 + number / 2));
        loaders.spawn(async move {
            let (_connection, mut stream) = greeted(address, key, None, from).await;
            let mut tally = Tally::default();
            let work = ask_on(&mut stream, &scenario, &mut tally);
            drop(tokio::time::timeout_at(until.into(), work).await);
            tally
        });
    }
    let mut sum = Tally::default();
    while let Some(tally) = loaders.join_next().await {
        let tally = tally.expect("no loader panics");
        sum.records += tally.records;
        for (result, count) in tally.ended {
            *sum.ended.entry(result).or_default() += count;
        }
    }
    println!("{} records {:?}", sum.records, sum.ended);
}

/// Asks again as soon as an answer is over.
async fn ask_on(stream: &mut RawStream, scenario: &Scenario, tally: &mut Tally) {
    let filter = (scenario.filter)().build().expect("fits");
    let count = scenario.subscriptions.max(1);
    for at in 0..count {
        stream
            .send(request(scenario, at, &filter))
            .await
            .expect("it listens");
    }
    loop {
        let message = stream.receive().await.expect("it answers");
        match message.expect("the stream stays open") {
            ServerMessage::Record { .. } => tally.records += 1,
            ServerMessage::LocallyComplete { id } => {
                let unsubscribe = ClientMessage::Unsubscribe { id };
                stream.send(unsubscribe.encode()).await.expect("it listens");
            }
            ServerMessage::QueryClosed { id, result } => {
                *tally.ended.entry(result.to_string()).or_default() += 1;
                let again = request(scenario, id.0.into(), &filter);
                stream.send(again).await.expect("it listens");
            }
            other => panic!("{other:?}"),
        }
    }
}

fn request(scenario: &Scenario, at: usize, filter: &Filter) -> Bytes {
    let id = QueryId(u16::try_from(at).expect("small"));
    let (limit, filter) = (0, filter.clone());
    if scenario.subscriptions > 0 {
        ClientMessage::Subscribe { id, limit, filter }.encode()
    } else {
        ClientMessage::Query { id, limit, filter }.encode()
    }
}
