//! A server of this process, with an operator who sits beside it.

use std::sync::Arc;
use std::time::Duration;

use mosaicd::admin::Order;
use mosaicd::client::{Client, Options, RawConnection, ServerTrust, Target};
use mosaicd::config::Sources;
use mosaicd::server::{InvitationTerms, ModerationDesk, Server, UserDesk};
use mosaicd::wire::{InvitationCode, Record, ResultCode, SecretKey};
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
        let mut all = vec!["application.ids=[]".to_owned()];
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

    /// Has the operator do something about users.
    pub(super) async fn users<T: Send + 'static>(
        &self,
        order: impl FnOnce(&UserDesk) -> T + Send + 'static,
    ) -> T {
        let desk: Arc<UserDesk> = self.server.users().unwrap();
        tokio::task::spawn_blocking(move || order(&desk))
            .await
            .unwrap()
    }

    /// Has the operator do something about records.
    pub(super) async fn records<T: Send + 'static>(
        &self,
        order: impl FnOnce(&ModerationDesk) -> T + Send + 'static,
    ) -> T {
        let desk: Arc<ModerationDesk> = self.server.moderation().unwrap();
        tokio::task::spawn_blocking(move || order(&desk))
            .await
            .unwrap()
    }

    /// Has the operator make an invitation.
    pub(super) async fn invitation(&self) -> InvitationCode {
        let make =
            |desk: &UserDesk| desk.create_invitation(&operator(), InvitationTerms::default());
        self.users(make).await.unwrap().code
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

/// An order of the operator.
pub(super) fn operator() -> Order {
    Order {
        by: key(251).public(),
        call: "test".to_owned(),
        detail: String::new(),
    }
}

pub(super) async fn submit(client: &Client, record: &Record) -> ResultCode {
    client.submit(record).await.unwrap()
}
