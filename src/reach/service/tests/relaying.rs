//! Cold probes through real helpers.

use std::sync::Arc;

use super::world::*;
use crate::base::limits;
use crate::client;
use crate::reach::endpoint::Prober;
use crate::reach::service::exchange::keep_few_names;
use crate::reach::service::{Service, ServiceAnswer};
use crate::reach::timing::Timing;
use crate::wire::{ProbeCode, ProbeMode, ProbeOutcome, ProbeRequest, ResultCode};
use serde_bytes::ByteArray;

/// A helper of that number, without helpers of its own.
async fn helper(host: u8) -> (Host, Arc<Service>) {
    let service = service(host, Vec::new());
    (Host::serving(host, Arc::clone(&service)).await, service)
}

async fn check_no_helper(helpers: Vec<Prober>, change: impl FnOnce(&mut ProbeRequest)) {
    let service = service(2, helpers);
    let mut cold = request(1, 2, 1320, ProbeMode::Cold);
    change(&mut cold);
    let answers = probe(&service, asker(1, 2), cold).await;
    assert_eq!(read(&answers), (Some(ProbeCode::NoHelper), None));
    assert_eq!(service.counters().refused_no_helper, 1);
}

#[tokio::test]
async fn a_cold_probe_is_dialed_by_a_third_server_that_the_prober_names() {
    let listener = Host::listening(1, 1, Takes::Nonces).await;
    let (third, helping) = helper(3).await;
    let service = service(2, vec![third.prober(3)]);
    let cold = request(1, 2, listener.address.port(), ProbeMode::Cold);
    let nonce = cold.nonce;
    let answers = probe(&service, asker(1, 2), cold).await;
    let (code, result) = read(&answers);
    assert_eq!(code, Some(ProbeCode::Accepted));
    let result = result.unwrap();
    assert_eq!(result.outcome, ProbeOutcome::Ok);
    assert_eq!(
        (result.dialer, result.dialer_ip),
        (Some(key(3).public()), Some(ip(3)))
    );
    let (hash, receipt) = (result.signed_hash(&nonce), result.signature.unwrap());
    client::signature(&key(3).public(), &hash, receipt.as_bytes()).unwrap();
    let [(_, from, dialback)] = listener.caught.lock().unwrap().clone().try_into().unwrap();
    assert_eq!((from.ip(), dialback.nonce), (ip(3), nonce));

    assert!(
        is_contacted(&service, 3) && !is_contacted(&service, 1),
        "it dials nobody but C"
    );
    assert!(is_contacted(&helping, 1));
    assert_eq!(
        (service.counters().relayed, service.counters().accepted),
        (1, 1)
    );
    // The helper knows nobody, so it is asked twice: once for the price.
    let counters = helping.counters();
    assert_eq!((counters.vouchers, counters.refused_cost), (2, 1));
    assert_eq!(counters.bytes_in, limits::VOUCHER_COST_BYTES as u64);
    assert!(counters.bytes_out_unproven <= counters.bytes_in);
}

#[tokio::test]
async fn silence_is_passed_on_with_what_the_helper_knows_of_its_own_way_out() {
    let socket = silent(1);
    let port = socket.local_addr().unwrap().port();
    let (third, helping) = helper(3).await;
    helping.reached(ip(7));
    let service = service(2, vec![third.prober(3)]);
    let answers = probe(&service, asker(1, 2), request(1, 2, port, ProbeMode::Cold)).await;
    let result = read(&answers).1.unwrap();
    assert_eq!(
        (result.outcome, result.control_ok),
        (ProbeOutcome::NoResponse, true)
    );
}

#[tokio::test]
async fn the_next_helper_is_tried_where_one_is_gone_or_refuses() {
    let listener = Host::listening(1, 1, Takes::Nonces).await;
    let gone = silent(4);
    let gone = Prober {
        key: key(4).public(),
        address: gone.local_addr().unwrap().to_string(),
        pinned: false,
    };
    // Speaks HELLO, and knows no vouchers.
    let mute = Host::listening(5, 5, Takes::NoExtension).await;
    let (third, _) = helper(3).await;
    let helpers = vec![gone, mute.prober(5), third.prober(3)];
    let service = service(2, helpers);
    let cold = request(1, 2, listener.address.port(), ProbeMode::Cold);
    let answers = probe(&service, asker(1, 2), cold).await;
    assert_eq!(read(&answers).1.unwrap().outcome, ProbeOutcome::Ok);
}

#[tokio::test]
async fn without_a_helper_there_is_no_cold_probe() {
    check_no_helper(Vec::new(), |_| {}).await;
}

#[tokio::test]
async fn helpers_that_would_prove_nothing_are_not_asked() {
    let (third, helping) = helper(3).await;
    let at = |host, address: &str| Prober {
        key: key(host).public(),
        address: address.to_owned(),
        pinned: false,
    };
    let avoid = ByteArray::new(*key(3).public().as_bytes());
    check_no_helper(vec![third.prober(3)], |cold| cold.avoid = vec![avoid]).await;
    let port = third.address.port();
    // The asker itself, the prober itself, the network of either, and an address that is nowhere.
    check_no_helper(vec![at(1, &third.address.to_string())], |_| {}).await;
    check_no_helper(vec![at(2, &third.address.to_string())], |_| {}).await;
    check_no_helper(vec![at(3, &format!("127.1.9.9:{port}"))], |_| {}).await;
    check_no_helper(vec![at(3, &format!("127.2.9.9:{port}"))], |_| {}).await;
    check_no_helper(vec![at(3, &format!("192.0.2.1:{port}"))], |_| {}).await;
    check_no_helper(vec![at(3, "not an address")], |_| {}).await;
    assert_eq!(helping.counters().vouchers, 0);
}

#[tokio::test]
async fn a_helper_that_holds_another_key_is_not_believed() {
    let (third, helping) = helper(3).await;
    let other = Prober {
        key: key(9).public(),
        ..third.prober(3)
    };
    check_no_helper(vec![other], |_| {}).await;
    assert_eq!(helping.counters().vouchers, 0);
}

#[tokio::test]
async fn a_cold_probe_that_the_asker_did_not_sign_reaches_no_helper() {
    let (third, helping) = helper(3).await;
    let service = service(2, vec![third.prober(3)]);
    let mut cold = request(1, 2, 1320, ProbeMode::Cold);
    cold.port = 1_321;
    let answers = probe(&service, asker(1, 2), cold).await;
    let [ServiceAnswer::Refused(refusal)] = answers.as_slice() else {
        panic!("{answers:?}");
    };
    assert_eq!(refusal.result, ResultCode::Invalid);
    assert_eq!(helping.counters().vouchers, 0);
}

#[tokio::test]
async fn one_asker_does_not_use_up_what_a_helper_does() {
    let listener = Host::listening(1, 1, Takes::Nonces).await;
    let (third, helping) = helper(3).await;
    let service = service_with(2, vec![third.prober(3)], Timing::REAL);
    let ask = || {
        let cold = request(1, 2, listener.address.port(), ProbeMode::Cold);
        probe(&service, asker(1, 2), cold)
    };
    for _ in 0..limits::RELAYS_PER_HELPER_PER_MINUTE_MAX {
        assert_ne!(read(&ask().await).0, Some(ProbeCode::NoHelper));
    }
    let before = helping.counters().vouchers;
    let answers = ask().await;
    assert_eq!(read(&answers), (Some(ProbeCode::RateLimited), None));
    assert_eq!(helping.counters().vouchers, before);
}

#[test]
fn few_names_are_looked_up_and_addresses_are_not_counted() {
    let named = |number: u8, address: &str| Prober {
        key: key(number).public(),
        address: address.to_owned(),
        pinned: false,
    };
    let probers: Vec<Prober> = (0..50)
        .flat_map(|number| {
            [
                named(number, "prober.invalid:1320"),
                named(number, "11.1.0.1:1320"),
                named(number, "[2600:1::1]:1320"),
            ]
        })
        .collect();
    let mut kept: Vec<&Prober> = probers.iter().collect();
    keep_few_names(&mut kept);
    assert_eq!(kept.len(), 100 + limits::PROBE_LOOKUPS_MAX);
}
