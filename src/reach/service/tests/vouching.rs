//! Vouchers, and what a dial to an address that proved nothing sends.

use std::time::{Duration, Instant};

use super::world::*;
use crate::base::limits;
use crate::client;
use crate::reach::endpoint::Prober;
use crate::reach::service::{Asker, Service, ServiceAnswer, padding};
use crate::reach::timing::Timing;
use crate::wire::{
    Nonce, ProbeCode, ProbeMode, ProbeOutcome, ProbeRequest, ProbeTransport, ResultCode, Signature,
    Timestamp, Voucher,
};

/// A voucher of host `prober` for host `server`, which asked it.
pub(super) fn voucher(server: u8, prober: u8, port: u16) -> Voucher {
    let (nonce, transport) = (Nonce::generate(), ProbeTransport::Quic);
    let asked = ProbeRequest::asked_hash(&key(prober).public(), &nonce, port, transport);
    let issued = Timestamp::now();
    let mut voucher = Voucher {
        server: key(server).public(),
        ip: ip(server),
        port,
        nonce,
        issued,
        expires: issued.saturating_add(Duration::from_secs(30)),
        asked: key(server).sign(&asked),
        signature: Signature::from_bytes([0; 64]),
        transport,
        pad: padding(limits::VOUCHER_COST_BYTES),
    };
    voucher.signature = key(prober).sign(&voucher.signed_hash());
    voucher
}

fn refused(answers: &[ServiceAnswer]) -> ResultCode {
    match answers {
        [ServiceAnswer::Refused(refusal)] => refusal.result,
        other => panic!("{other:?}"),
    }
}

fn bytes_do_not_grow(service: &Service) {
    let counters = service.counters();
    assert!(
        counters.bytes_out_unproven <= counters.bytes_in,
        "{counters:?}"
    );
}

#[tokio::test]
async fn a_voucher_makes_one_dial_and_its_result_is_signed() {
    let listener = Host::listening(1, 1, Takes::Nonces).await;
    let service = service(3, Vec::new());
    let voucher = voucher(1, 2, listener.address.port());
    let nonce = voucher.nonce;
    let answers = vouch(&service, asker(2, 3), voucher).await;
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
    assert_eq!(
        (from.ip(), dialback.mode, dialback.nonce),
        (ip(3), ProbeMode::Cold, nonce)
    );
    assert!(is_contacted(&service, 1));
    assert_eq!(service.counters().vouchers_accepted, 1);
    bytes_do_not_grow(&service);
}

#[tokio::test]
async fn a_voucher_that_was_used_is_refused() {
    let listener = Host::listening(1, 1, Takes::Nonces).await;
    let service = service(3, Vec::new());
    let voucher = voucher(1, 2, listener.address.port());
    vouch(&service, asker(2, 3), voucher.clone()).await;
    let again = vouch(&service, asker(2, 3), voucher.clone()).await;
    assert_eq!(refused(&again), ResultCode::Invalid);
    let mut reissued = voucher;
    reissued.issued = Timestamp::now();
    reissued.signature = key(2).sign(&reissued.signed_hash());
    let again = vouch(&service, asker(2, 3), reissued).await;
    assert_eq!(refused(&again), ResultCode::Invalid, "the nonce counts");
    assert_eq!(listener.dialers().len(), 1);
    assert_eq!(service.counters().refused_invalid, 2);
}

#[tokio::test]
async fn a_voucher_that_is_forged_expired_or_stolen_makes_no_dial() {
    let listener = Host::listening(1, 1, Takes::Nonces).await;
    let service = service(3, Vec::new());
    let good = || voucher(1, 2, listener.address.port());

    // The prober names an address of its choice, and makes the consent of its owner up.
    let mut forged = good();
    forged.asked = key(2).sign(&forged.signed_hash());
    forged.signature = key(2).sign(&forged.signed_hash());
    let forged = vouch(&service, asker(2, 3), forged).await;
    assert_eq!(refused(&forged), ResultCode::Invalid);

    let mut expired = good();
    expired.expires = Timestamp::now().saturating_sub(Duration::from_secs(100));
    expired.issued = expired.expires.saturating_sub(Duration::from_secs(20));
    expired.signature = key(2).sign(&expired.signed_hash());
    let expired = vouch(&service, asker(2, 3), expired).await;
    assert_eq!(refused(&expired), ResultCode::Invalid);

    let stolen = vouch(&service, asker(4, 3), good()).await;
    assert_eq!(refused(&stolen), ResultCode::Invalid);

    let anonymous = Asker {
        key: None,
        ..asker(2, 3)
    };
    let anonymous = vouch(&service, anonymous, good()).await;
    assert_eq!(refused(&anonymous), ResultCode::RequiresAuthentication);

    assert_eq!(listener.dialers(), []);
    assert!(!is_contacted(&service, 1));
    let counters = service.counters();
    assert_eq!(
        (counters.refused_invalid, counters.refused_anonymous),
        (3, 1)
    );
    assert_eq!((counters.bytes_in, counters.bytes_out_unproven), (0, 0));
}

#[tokio::test]
async fn forged_vouchers_use_up_nothing_but_their_senders_share() {
    let listener = Host::listening(1, 1, Takes::Nonces).await;
    let service = service_with(3, Vec::new(), Timing::REAL);
    for _ in 0..limits::VOUCHERS_PER_KEY_PER_MINUTE_MAX {
        let mut forged = voucher(1, 2, listener.address.port());
        forged.asked = Signature::from_bytes([7; 64]);
        forged.signature = key(2).sign(&forged.signed_hash());
        let forged = vouch(&service, asker(2, 3), forged).await;
        assert_eq!(refused(&forged), ResultCode::Invalid);
    }
    let good = voucher(1, 2, listener.address.port());
    let answers = vouch(&service, asker(2, 3), good).await;
    assert_eq!(read(&answers), (Some(ProbeCode::RateLimited), None));
    let other = voucher(1, 4, listener.address.port());
    let answers = vouch(&service, asker(4, 3), other).await;
    assert_eq!(read(&answers).1.unwrap().outcome, ProbeOutcome::Ok);
}

#[tokio::test]
async fn a_server_that_others_vouch_for_can_still_ask_itself() {
    let socket = silent(1);
    let port = socket.local_addr().unwrap().port();
    let service = service(3, Vec::new());
    let vouching = vouch(&service, asker(2, 3), voucher(1, 2, port));
    let asking = async {
        // Not before the dial of the voucher is under way.
        while service.counters().vouchers_accepted == 0 {
            tokio::task::yield_now().await;
        }
        probe(
            &service,
            asker(1, 3),
            request(1, 3, port, ProbeMode::Direct),
        )
        .await
    };
    let (vouched, asked) = tokio::join!(vouching, asking);
    assert_eq!(read(&vouched).0, Some(ProbeCode::Accepted));
    assert_eq!(read(&asked).0, Some(ProbeCode::Accepted));
}

/// What the sender of a voucher is told of that listener.
async fn told(key_of: u8, takes: Takes) -> ProbeOutcome {
    let listener = Host::listening(1, key_of, takes).await;
    let service = service(3, Vec::new());
    let voucher = voucher(1, 2, listener.address.port());
    let began = Instant::now();
    let answers = vouch(&service, asker(2, 3), voucher).await;
    assert!(began.elapsed() >= timing().dial());
    read(&answers).1.unwrap().outcome
}

#[tokio::test]
async fn what_listens_there_instead_is_not_told_on_a_voucher() {
    let silence = ProbeOutcome::NoResponse;
    assert_eq!(told(9, Takes::Nonces).await, silence, "another key");
    assert_eq!(told(1, Takes::NoExtension).await, silence);
    assert_eq!(told(1, Takes::OtherNonce).await, silence);
    assert_eq!(told(1, Takes::NoNonce).await, ProbeOutcome::NonceRejected);
}

#[tokio::test]
async fn an_open_port_of_tcp_is_not_told_from_a_closed_one_on_a_voucher() {
    let open = std::net::TcpListener::bind((ip(1), 0)).unwrap();
    let closed = std::net::TcpListener::bind((ip(1), 0)).unwrap();
    let ports = [&open, &closed].map(|listener| listener.local_addr().unwrap().port());
    drop(closed);
    for port in ports {
        let service = service(3, Vec::new());
        let answers = vouch(&service, asker(2, 3), over_tcp(port)).await;
        let outcome = read(&answers).1.unwrap().outcome;
        assert_eq!(outcome, ProbeOutcome::NoResponse, "{port} of {ports:?}");
    }
}

/// A voucher of host 2 for host 1 at that port of TCP.
fn over_tcp(port: u16) -> Voucher {
    let mut voucher = voucher(1, 2, port);
    voucher.transport = ProbeTransport::Tcp;
    let (prober, tcp) = (key(2).public(), ProbeTransport::Tcp);
    let asked = ProbeRequest::asked_hash(&prober, &voucher.nonce, port, tcp);
    voucher.asked = key(1).sign(&asked);
    voucher.signature = key(2).sign(&voucher.signed_hash());
    voucher
}

#[tokio::test]
async fn friends_pay_for_the_dial_and_strangers_four_times_that() {
    let listener = Host::listening(1, 1, Takes::Nonces).await;
    let friend = Prober {
        key: key(2).public(),
        address: "127.2.0.1:1".to_owned(),
        pinned: true,
    };
    let service = service(3, vec![friend]);
    let cheap = |prober| {
        let mut voucher = voucher(1, prober, listener.address.port());
        voucher.pad = padding(limits::PROBE_COLD_COST_BYTES);
        voucher
    };
    let stranger = vouch(&service, asker(4, 3), cheap(4)).await;
    let [ServiceAnswer::VoucherStatus(status)] = stranger.as_slice() else {
        panic!("{stranger:?}");
    };
    assert_eq!(status.code, ProbeCode::CostRequired);
    assert_eq!(
        status.cost,
        Some(limits::VOUCHER_COST_BYTES.try_into().unwrap())
    );
    let friend = vouch(&service, asker(2, 3), cheap(2)).await;
    assert_eq!(read(&friend).1.unwrap().outcome, ProbeOutcome::Ok);
    bytes_do_not_grow(&service);
}

#[tokio::test]
async fn a_dial_that_nobody_answers_sends_less_than_was_paid_for_it() {
    let socket = silent(1);
    let real = Timing::REAL;
    let service = service_with(3, Vec::new(), real);
    let voucher = voucher(1, 2, socket.local_addr().unwrap().port());
    let began = Instant::now();
    let answers = vouch(&service, asker(2, 3), voucher).await;
    assert_eq!(read(&answers).1.unwrap().outcome, ProbeOutcome::NoResponse);
    assert!(began.elapsed() >= real.dial());

    let socket = tokio::net::UdpSocket::from_std(socket).unwrap();
    let (mut datagrams, mut bytes) = (0, 0);
    let mut buffer = [0; 2_048];
    let quiet = Duration::from_millis(500);
    while let Ok(got) = tokio::time::timeout(quiet, socket.recv_from(&mut buffer)).await {
        datagrams += 1;
        // With the headers of IPv6 and UDP.
        bytes += got.unwrap().0 + 48;
    }
    assert!(
        datagrams > 1,
        "a dial that was not repeated measures nothing"
    );
    assert!(
        bytes <= limits::PROBE_DIAL_MAX_BYTES,
        "{datagrams} datagrams, {bytes} bytes"
    );
    bytes_do_not_grow(&service);
}
