//! A scene with everybody in it at work.

use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tempfile::TempDir;

use crate::cast::{Player, config, prober_name};
use crate::liar::Liar;
use crate::process::{Process, finish, mosaicd};
use crate::scene::{Behaviour, Prober, Scene, Server, Traffic};
use crate::status::Status;
use crate::tor::TorControl;
use crate::{Outcome, sandbox};

/// The running programs of a scene. They end when it is dropped, before the world does.
pub(crate) struct Stage<'a> {
    pub(crate) scene: &'a Scene,
    /// Servers, the tested one first.
    servers: Vec<Process>,
    witnesses: Vec<Process>,
    _liars: Vec<Liar>,
    _keepers: Vec<Keeper>,
    _tor: Option<TorControl>,
    folder: TempDir,
    scale: f64,
}

impl<'a> Stage<'a> {
    /// Starts everybody, the tested server last.
    pub(crate) fn set(scene: &'a Scene, scale: f64) -> Outcome<Self> {
        let folder = TempDir::new_in(sandbox::folder());
        let folder = folder.map_err(|error| format!("a temporary folder: {error}"))?;
        let mut stage = Self {
            scene,
            servers: Vec::new(),
            witnesses: Vec::new(),
            _liars: Vec::new(),
            _keepers: Vec::new(),
            _tor: None,
            folder,
            scale,
        };
        stage.start_probers()?;
        if let Some(address) = scene.tor_control {
            let host = scene.world.at(scene.servers[0].host);
            stage._tor = Some(TorControl::start(host, address)?);
        }
        for traffic in &scene.traffic {
            if traffic.is_over {
                send_once(scene, traffic)?;
            }
        }
        // What others need is there before the tested server looks for it.
        for place in (1..scene.servers.len()).chain([0]) {
            let server = stage.start_server(place)?;
            match place {
                0 => stage.servers.insert(0, server),
                _ => stage.servers.push(server),
            }
        }
        for traffic in scene.traffic.iter().filter(|traffic| !traffic.is_over) {
            stage._keepers.push(Keeper::start(scene, traffic)?);
        }
        Ok(stage)
    }

    /// The tested server.
    pub(crate) fn server(&mut self) -> &mut Process {
        self.servers.first_mut().unwrap()
    }

    /// Every program but the tested server, for the report of a failure.
    pub(crate) fn others(&self) -> impl Iterator<Item = &Process> {
        self.servers.iter().skip(1).chain(&self.witnesses)
    }

    /// A folder for what does not outlive the stage.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// What the tested server says of itself; `None` while it does not answer.
    pub(crate) fn status(&self) -> Outcome<Option<Status>> {
        let output = self.ask_status(true)?;
        if !output.status.success() && output.stdout.is_empty() {
            return Ok(None);
        }
        Status::parse(&output.stdout).map(Some)
    }

    /// The whole of it, in JSON.
    pub(crate) fn status_json(&self) -> Outcome<Vec<u8>> {
        self.ask_status(true).map(|output| output.stdout)
    }

    /// The same for people.
    pub(crate) fn status_text(&self) -> String {
        match self.ask_status(false) {
            Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
            Err(why) => why,
        }
    }

    fn ask_status(&self, as_json: bool) -> Outcome<Output> {
        let form: &[&str] = if as_json { &["--json"] } else { &[] };
        self.operate("status", form)
    }

    /// Runs a command of the tested server's operator.
    pub(crate) fn operate(&self, command: &str, arguments: &[&str]) -> Outcome<Output> {
        let config = self.folder.path().join("s0/mosaicd.toml");
        let mut command = mosaicd(&[command, "--config", config.to_str().unwrap()]);
        finish(
            self.scene.world.at(self.scene.servers[0].host),
            command.args(arguments),
        )
    }

    /// Stops the tested server; the others go on.
    pub(crate) fn stop_server(&mut self) {
        drop(self.servers.remove(0));
    }

    fn start_server(&self, place: usize) -> Outcome<Process> {
        let Server { host, key, .. } = self.scene.servers[place];
        let folder = self.folder.path().join(format!("s{place}"));
        let config_file = folder.join("mosaicd.toml");
        let written = std::fs::create_dir(&folder).and_then(|()| {
            if place == 0 {
                for (name, text) in &self.scene.files {
                    std::fs::write(folder.join(name), text)?;
                }
            }
            Ok(())
        });
        written.map_err(|error| format!("{}: {error}", folder.display()))?;
        let key_file = Player::Server(key).key_file(&folder)?;
        let text = config(
            self.scene,
            &self.scene.servers[place],
            &key_file,
            self.scale,
        );
        std::fs::write(&config_file, text).map_err(|error| error.to_string())?;
        let mut command = mosaicd(&["serve", "--config", config_file.to_str().unwrap()]);
        let log = folder.join("log");
        let name = format!("server {host}");
        let mut process = Process::start(self.scene.world.at(host), &name, &mut command, log)?;
        process.wait_for(&Player::Server(key).key().public().to_server_string())?;
        Ok(process)
    }

    fn start_probers(&mut self) -> Outcome {
        for (place, prober) in self.scene.probers.iter().enumerate() {
            if prober.behaviour == Behaviour::Honest {
                let witness = self.start_witness(place, prober)?;
                self.witnesses.push(witness);
            } else {
                let key = Player::Prober(u8::try_from(place).unwrap()).key();
                let host = self.scene.world.at(prober.host);
                let liar = Liar::start(host, prober.address, key, prober.behaviour)?;
                self._liars.push(liar);
            }
        }
        self.witnesses
            .iter_mut()
            .try_for_each(|witness| witness.wait_for("READY"))
    }

    fn start_witness(&self, place: usize, prober: &Prober) -> Outcome<Process> {
        let folder = self.folder.path();
        let key_file = Player::Prober(u8::try_from(place).unwrap()).key_file(folder)?;
        let mut command = mosaicd(&["witness", "--key-file", &key_file]);
        command
            .arg("--listen")
            .arg(prober.address.to_string())
            .arg("--time-scale")
            .arg(self.scale.to_string());
        for (other, helper) in self.scene.probers.iter().enumerate() {
            let is_same_family = helper.known_at.is_ipv4() == prober.address.is_ipv4();
            if other != place && is_same_family {
                command.arg("--helper").arg(prober_name(self.scene, other));
            }
        }
        let name = format!("witness {place} on {}", prober.host);
        let log = folder.join(format!("witness{place}"));
        Process::start(self.scene.world.at(prober.host), &name, &mut command, log)
    }
}

fn send_once(scene: &Scene, traffic: &Traffic) -> Outcome {
    let port = scene.world.bind(traffic.host, &traffic.from.to_string())?;
    traffic.to.iter().try_for_each(|to| port.send(*to))
}

/// Sends from one port again and again.
struct Keeper {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    fn start(scene: &Scene, traffic: &Traffic) -> Outcome<Self> {
        let port = scene.world.bind(traffic.host, &traffic.from.to_string())?;
        let is_over = Arc::new(AtomicBool::new(false));
        let (stop, to) = (Arc::clone(&is_over), traffic.to.clone());
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                // What cannot be sent now is sent again in a moment.
                to.iter().for_each(|to| drop(port.send(*to)));
                std::thread::sleep(Duration::from_millis(500));
            }
        });
        Ok(Self {
            is_over,
            thread: Some(thread),
        })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
