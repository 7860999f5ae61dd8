//! Handshakes over real QUIC: who gets in as whom, and which tricks with certificates fail.

use std::{io::Cursor, net::SocketAddr, sync::Arc};

use mosaicd::{
    identity::{
        Identity, Peer, ServerTrust, TLS_NAME, client_crypto, client_tls, peer_of, peer_of_chain,
    },
    wire::{PublicKey, SecretKey},
};
use quinn::{
    Connection, ConnectionError, Endpoint,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rcgen::{
    CertificateParams, CustomExtension, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519,
};
use rustls::{
    ClientConfig, ServerConfig, SignatureAlgorithm, SignatureScheme,
    client::{ResolvesClientCert, Resumption},
    crypto::ring::sign::{any_eddsa_type, any_supported_type},
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName},
    server::{ClientHello, ResolvesServerCert},
    sign::{CertifiedKey, Signer, SigningKey},
};

/// Both ends of one attempt to connect.
struct Meeting {
    server: Result<Connection, ConnectionError>,
    client: Result<Connection, ConnectionError>,
    _endpoints: [Endpoint; 2],
}

impl Meeting {
    async fn new(server: ServerConfig, client: ClientConfig) -> Self {
        let server = QuicServerConfig::try_from(server).unwrap();
        let client = QuicClientConfig::try_from(client).unwrap();
        Self::of(Arc::new(server), Arc::new(client)).await
    }

    async fn of(server: Arc<QuicServerConfig>, client: Arc<QuicClientConfig>) -> Self {
        let server = server_endpoint(server);
        let client_end = Endpoint::client(loopback()).unwrap();
        let address = server.local_addr().unwrap();
        let config = quinn::ClientConfig::new(client);
        let connecting = client_end.connect_with(config, address, TLS_NAME).unwrap();
        let accepting = async { server.accept().await.unwrap().await };
        let (at_server, at_client) = tokio::join!(accepting, connecting);
        Self {
            server: at_server,
            client: at_client,
            _endpoints: [server, client_end],
        }
    }

    /// Whom the server sees, or why it did not let the client in.
    fn client_seen(&self) -> Result<Peer, String> {
        seen(&self.server)
    }

    /// Whom the client sees, or why it did not accept the server.
    fn server_seen(&self) -> Result<Peer, String> {
        seen(&self.client)
    }
}

fn seen(end: &Result<Connection, ConnectionError>) -> Result<Peer, String> {
    match end {
        Ok(connection) => Ok(peer_of(connection).unwrap()),
        Err(error) => Err(error.to_string()),
    }
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn server_endpoint(crypto: Arc<QuicServerConfig>) -> Endpoint {
    Endpoint::server(quinn::ServerConfig::with_crypto(crypto), loopback()).unwrap()
}

fn secret(number: u8) -> SecretKey {
    SecretKey::from_seed([number; 32])
}

fn identity(number: u8) -> Identity {
    Identity::new(secret(number))
}

fn server() -> ServerConfig {
    identity(SERVER).server_tls().unwrap()
}

fn anonymous() -> ClientConfig {
    client_tls(trusting(SERVER), None).unwrap()
}

fn trusting(number: u8) -> ServerTrust {
    ServerTrust::Exact(identity(number).public())
}

fn key_of(peer: Result<Peer, String>) -> Option<PublicKey> {
    peer.unwrap().key().copied()
}

/// What a cheat shows in a handshake: any certificates, any key, any name for its scheme.
#[derive(Clone, Debug)]
struct Shown {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<dyn SigningKey>,
    scheme: SignatureScheme,
    /// Sent instead of a signature.
    signature: Option<Vec<u8>>,
}

impl Shown {
    fn new(certificate: CertificateDer<'static>, key: &KeyPair) -> Self {
        let der = PrivatePkcs8KeyDer::from(key.serialized_der()).into();
        Self {
            chain: vec![certificate],
            key: any_supported_type(&der).unwrap(),
            scheme: SignatureScheme::ED25519,
            signature: None,
        }
    }

    fn certified(&self) -> Arc<CertifiedKey> {
        let key = Arc::new(AnyScheme(self.clone()));
        Arc::new(CertifiedKey::new(self.chain.clone(), key))
    }

    /// What an honest server sees of a client that shows this.
    async fn as_client(&self) -> Result<Peer, String> {
        let mut client = anonymous();
        client.client_auth_cert_resolver = Arc::new(self.clone());
        Meeting::new(server(), client).await.client_seen()
    }

    /// What an honest client that accepts any server sees of a server that shows this.
    async fn as_server(&self) -> Result<Peer, String> {
        let mut server = server();
        server.cert_resolver = Arc::new(self.clone());
        let client = client_tls(ServerTrust::Any, None).unwrap();
        Meeting::new(server, client).await.server_seen()
    }

    /// Both kinds of honest peer refuse this, and say `why`.
    async fn is_refused(&self, why: &str) {
        for refusal in [self.as_client().await, self.as_server().await] {
            let said = refusal.unwrap_err();
            assert!(said.contains(why), "{said}, not {why}");
        }
    }

    async fn is_accepted_as(&self, key: PublicKey) {
        assert_eq!(key_of(self.as_client().await), Some(key));
        assert_eq!(key_of(self.as_server().await), Some(key));
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.certified())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.certified())
    }
}

/// A key that signs whatever is asked, under the name of any scheme.
#[derive(Clone, Debug)]
struct AnyScheme(Shown);

impl SigningKey for AnyScheme {
    fn choose_scheme(&self, _: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        Some(Box::new(self.clone()))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.key.algorithm()
    }
}

impl Signer for AnyScheme {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        match &self.0.signature {
            Some(signature) => Ok(signature.clone()),
            None => {
                let own = [
                    SignatureScheme::ED25519,
                    SignatureScheme::ECDSA_NISTP256_SHA256,
                ];
                self.0.key.choose_scheme(&own).unwrap().sign(message)
            }
        }
    }

    fn scheme(&self) -> SignatureScheme {
        self.0.scheme
    }
}

fn key_pair() -> KeyPair {
    KeyPair::generate_for(&PKCS_ED25519).unwrap()
}

fn params() -> CertificateParams {
    CertificateParams::new([TLS_NAME.to_owned()]).unwrap()
}

/// An honest certificate of `key`.
fn certificate(key: &KeyPair) -> CertificateDer<'static> {
    params().self_signed(key).unwrap().der().clone()
}

fn public_of(key: &KeyPair) -> PublicKey {
    PublicKey::from_bytes(key.public_key_raw().try_into().unwrap()).unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2).unwrap(), 16).unwrap())
        .collect()
}

const SERVER: u8 = 1;
const CLIENT: u8 = 2;

#[tokio::test]
async fn each_side_learns_the_key_of_the_other() {
    let client = client_crypto(trusting(SERVER), Some(&identity(CLIENT))).unwrap();
    let meeting = Meeting::of(identity(SERVER).server_crypto().unwrap(), client).await;
    assert_eq!(
        key_of(meeting.client_seen()),
        Some(identity(CLIENT).public())
    );
    assert_eq!(
        key_of(meeting.server_seen()),
        Some(identity(SERVER).public())
    );
}

#[tokio::test]
async fn a_client_without_a_certificate_is_anonymous() {
    let meeting = Meeting::new(server(), anonymous()).await;
    assert_eq!(meeting.client_seen(), Ok(Peer::Anonymous));
}

#[tokio::test]
async fn a_client_accepts_its_one_server_alone() {
    let other = client_tls(trusting(CLIENT), None).unwrap();
    let said = Meeting::new(server(), other).await.server_seen();
    assert!(said.as_ref().unwrap_err().contains("OtherKey"), "{said:?}");

    let any = client_tls(ServerTrust::Any, None).unwrap();
    let seen = Meeting::new(server(), any).await.server_seen();
    assert_eq!(key_of(seen), Some(identity(SERVER).public()));
}

#[tokio::test]
async fn the_reference_certificates_are_accepted_from_clients_and_servers() {
    let text = include_str!("../vectors/reference-certificates.json");
    let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
    for entry in vectors.get("certificates").unwrap().as_array().unwrap() {
        let field = |name| entry.get(name).unwrap().as_str().unwrap();
        let secret: SecretKey = field("secret").parse().unwrap();
        let prefix = hex("302e020100300506032b657004220420");
        let pkcs8 = PrivatePkcs8KeyDer::from([prefix, secret.seed().to_vec()].concat());
        let shown = Shown {
            chain: vec![hex(field("certificate_der_hex")).into()],
            key: any_eddsa_type(&pkcs8).unwrap(),
            scheme: SignatureScheme::ED25519,
            signature: None,
        };
        shown.is_accepted_as(field("public").parse().unwrap()).await;
    }
}

#[tokio::test]
async fn a_foreign_certificate_appended_is_refused() {
    let (own, victim) = (key_pair(), key_pair());
    let honest = Shown::new(certificate(&own), &own);
    honest.is_accepted_as(public_of(&own)).await;
    for chain in [
        vec![certificate(&own), certificate(&victim)],
        vec![certificate(&victim), certificate(&own)],
        vec![certificate(&own), certificate(&own)],
    ] {
        let shown = Shown {
            chain,
            ..honest.clone()
        };
        shown.is_refused("Chain").await;
    }
}

#[tokio::test]
async fn the_handshake_must_be_signed_by_the_key_of_the_certificate() {
    let (own, victim) = (key_pair(), key_pair());
    Shown::new(certificate(&victim), &own)
        .is_refused("BadSignature")
        .await;
    for signature in [vec![], vec![0; 64], vec![0; 63]] {
        let shown = Shown {
            signature: Some(signature),
            ..Shown::new(certificate(&own), &own)
        };
        shown.is_refused("BadSignature").await;
    }
}

#[tokio::test]
async fn other_algorithms_are_refused_under_any_name() {
    let p256 = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    for scheme in [
        SignatureScheme::ECDSA_NISTP256_SHA256,
        SignatureScheme::ED25519,
    ] {
        let shown = Shown {
            scheme,
            ..Shown::new(certificate(&p256), &p256)
        };
        shown.is_refused("Algorithm").await;
    }
    let own = key_pair();
    let shown = Shown {
        scheme: SignatureScheme::RSA_PSS_SHA256,
        ..Shown::new(certificate(&own), &own)
    };
    shown
        .is_refused("SignedHandshakeWithUnadvertisedSigScheme")
        .await;
}

#[tokio::test]
async fn a_certificate_that_another_key_signed_is_refused() {
    let (own, other) = (key_pair(), key_pair());
    let issuer = Issuer::new(params(), other);
    let issued = params().signed_by(&own, &issuer).unwrap();
    Shown::new(issued.der().clone(), &own)
        .is_refused("SelfSignature")
        .await;
}

#[tokio::test]
async fn a_key_of_small_order_that_signs_everything_is_refused() {
    // Key and R are the identity, S is 0: R + k·A = S·B for every message.
    let own = key_pair();
    let mut der = certificate(&own).to_vec();
    let mut nothing = vec![0; 32];
    nothing.splice(..1, [1]);
    let key_at = der
        .windows(32)
        .position(|window| window == own.public_key_raw())
        .unwrap();
    der.splice(key_at..key_at + 32, nothing.clone());
    let signature = [nothing, vec![0; 32]].concat();
    let signature_at = der.len() - 64;
    der.splice(signature_at.., signature.clone());
    let shown = Shown {
        signature: Some(signature),
        ..Shown::new(der.into(), &own)
    };
    shown.is_refused("SmallOrder").await;
}

#[tokio::test]
async fn a_certificate_with_something_behind_it_is_refused() {
    let own = key_pair();
    let mut der = certificate(&own).to_vec();
    der.push(0);
    Shown::new(der.into(), &own).is_refused("Der").await;
}

#[tokio::test]
async fn a_huge_certificate_is_refused() {
    let own = key_pair();
    let mut params = params();
    let padding = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![0; 9_000]);
    params.custom_extensions.push(padding);
    let der = params.self_signed(&own).unwrap().der().clone();
    Shown::new(der, &own).is_refused("TooLarge").await;
}

#[tokio::test]
async fn both_sides_must_speak_mosaic() {
    for protocols in [vec![], vec![b"h3".to_vec()]] {
        let mut client = anonymous();
        client.alpn_protocols = protocols.clone();
        let said = Meeting::new(server(), client).await.client_seen();
        assert!(
            said.as_ref().unwrap_err().contains("any known protocol"),
            "{said:?}"
        );

        let mut server = server();
        server.alpn_protocols = protocols;
        let said = Meeting::new(server, anonymous()).await.server_seen();
        assert!(
            said.as_ref().unwrap_err().contains("any known protocol"),
            "{said:?}"
        );
    }
}

#[tokio::test]
async fn no_session_is_resumed_and_no_data_is_taken_early() {
    let server = server_endpoint(identity(SERVER).server_crypto().unwrap());
    let address = server.local_addr().unwrap();
    let mut eager = anonymous();
    eager.resumption = Resumption::in_memory_sessions(8);
    eager.enable_early_data = true;
    let eager = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(eager).unwrap()));
    let client = Endpoint::client(loopback()).unwrap();
    for _ in 0..2 {
        let connecting = client
            .connect_with(eager.clone(), address, TLS_NAME)
            .unwrap();
        let Err(connecting) = connecting.into_0rtt() else {
            panic!("nothing to resume");
        };
        let (at_server, at_client) = tokio::join!(
            async { server.accept().await.unwrap().await.unwrap() },
            async { connecting.await.unwrap() },
        );
        // A byte over a stream: whatever ticket came with the handshake is here before it.
        let mut stream = at_server.open_uni().await.unwrap();
        stream.write_all(b"x").await.unwrap();
        stream.finish().unwrap();
        let mut stream = at_client.accept_uni().await.unwrap();
        assert_eq!(stream.read_to_end(8).await.unwrap(), b"x");
    }
}

#[test]
fn the_same_settings_work_without_quic() {
    let server = Arc::new(server());
    let client = Arc::new(client_tls(trusting(SERVER), Some(&identity(CLIENT))).unwrap());
    let mut server = rustls::ServerConnection::new(server).unwrap();
    let name = ServerName::try_from(TLS_NAME).unwrap();
    let mut client = rustls::ClientConnection::new(client, name).unwrap();
    while server.is_handshaking() || client.is_handshaking() {
        let mut sent = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut sent).unwrap();
        }
        server.read_tls(&mut Cursor::new(sent)).unwrap();
        server.process_new_packets().unwrap();
        let mut sent = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut sent).unwrap();
        }
        client.read_tls(&mut Cursor::new(sent)).unwrap();
        client.process_new_packets().unwrap();
    }
    let at_server = peer_of_chain(server.peer_certificates().unwrap()).unwrap();
    let at_client = peer_of_chain(client.peer_certificates().unwrap()).unwrap();
    assert_eq!(key_of(Ok(at_server)), Some(identity(CLIENT).public()));
    assert_eq!(key_of(Ok(at_client)), Some(identity(SERVER).public()));
}
