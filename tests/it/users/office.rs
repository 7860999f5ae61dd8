//! A server of this process, with an operator who sits beside it.

use std::time::Duration;

use mosaicd::client::{Client, Options, RawConnection, RequestError, ServerTrust, Target};
use mosaicd::config::Sources;
use mosaicd::server::Server;
use mosaicd::wire::{AdminRow, AdminValue, Record, RecordId, ResultCode, SecretKey};
use tempfile::TempDir;

use crate::support::{PATIENCE, key};

/// A server in which every role is open and only users are served.
pub(super) struct Office {
    server: Server,
    folder: TempDir,
    sets: Vec<String>,
}

impl Office {
    /// The development server with these settings, and without applications.
    pub(super) async fn start(sets: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let operator = format!("operators=[\"{}\"]", operator().public());
        let mut all = vec!["application.ids=[]".to_owned(), operator];
        all.extend(sets.iter().map(ToString::to_string));
        Self {
            server: serve(&folder, &all).await,
            folder,
            sets: all,
        }
    }

    /// Stops the server and starts it anew on what it has stored, with further settings.
    pub(super) async fn restart(self, sets: &[&str]) -> Self {
        let Self {
            server,
            folder,
            sets: mut all,
        } = self;
        server.shutdown(PATIENCE).await.unwrap();
        drop(server);
        all.extend(sets.iter().map(ToString::to_string));
        Self {
            server: serve(&folder, &all).await,
            folder,
            sets: all,
        }
    }

    pub(super) async fn stop(self) {
        self.server.shutdown(PATIENCE).await.unwrap();
    }

    /// Gives an operator's order.
    pub(super) async fn try_order(
        &self,
        call: &str,
        args: &[(&str, AdminValue)],
    ) -> Result<Vec<AdminRow>, RequestError> {
        let args = args.iter();
        let args = args.map(|(name, value)| ((*name).to_owned(), value.clone()));
        let client = self.client(Some(&operator())).await;
        let stream = client.operator().await.unwrap();
        let answer = stream.call(call, args.collect()).await.unwrap();
        answer.rows().await
    }

    /// Gives an operator's order that must be carried out.
    pub(super) async fn order(&self, call: &str, args: &[(&str, AdminValue)]) -> Vec<AdminRow> {
        let rows = self.try_order(call, args).await;
        rows.unwrap_or_else(|error| panic!("{call}: {error}"))
    }

    /// Gives an order about one record. Whether it was there.
    pub(super) async fn order_about(&self, call: &str, id: RecordId) -> bool {
        let ids = AdminValue::List(vec![AdminValue::from(id)]);
        match self.try_order(call, &[("ids", ids)]).await {
            Ok(_) => true,
            Err(RequestError::Refused {
                result: ResultCode::NotFound,
                ..
            }) => false,
            Err(error) => panic!("{call}: {error}"),
        }
    }

    /// Has the operator make an invitation; its code.
    pub(super) async fn invitation(&self) -> String {
        let made = self.order("invite.create", &[]).await;
        made[0]["code"].as_text().unwrap().to_owned()
    }

    pub(super) fn target(&self) -> Target {
        let address = self.server.local_addrs()[0];
        Target::from((address, ServerTrust::Exact(self.server.public_key())))
    }

    /// The server as `--server` of the client names it.
    pub(super) fn name(&self) -> String {
        let key = self.server.public_key().to_server_string();
        format!("{key}@{}", self.server.local_addrs()[0])
    }

    /// A client, as `identity` or anonymous.
    pub(super) async fn client(&self, identity: Option<&SecretKey>) -> Client {
        let options = Options {
            identity: identity.cloned(),
            timeout: Duration::from_secs(30),
            ..Options::default()
        };
        Client::connect(&self.target(), &options).await.unwrap()
    }

    /// A connection on which nothing was said yet.
    pub(super) async fn raw(&self, identity: Option<&SecretKey>) -> RawConnection {
        RawConnection::connect(&self.target(), identity, PATIENCE)
            .await
            .unwrap()
    }
}

async fn serve(folder: &TempDir, sets: &[String]) -> Server {
    let sources = Sources {
        dev: true,
        data: Some(folder.path().join("data")),
        listen: vec!["127.0.0.1:0".to_owned()],
        sets: sets.to_vec(),
        ..Sources::default()
    };
    Server::start(sources.load().unwrap(), key(250))
        .await
        .unwrap()
}

/// The key of the operator.
pub(super) fn operator() -> SecretKey {
    key(251)
}

pub(super) async fn submit(client: &Client, record: &Record) -> ResultCode {
    client.submit(record).await.unwrap()
}
