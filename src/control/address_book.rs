//! The addresses of services that the configuration names. The system's resolver can keep silent for half a minute, and
//! the main thread has signs of life to give and a stop to obey.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, io, thread};

use crate::config::address::HostPort;

/// What was found, and what is still looked for.
#[derive(Clone)]
pub(super) struct AddressBook {
    resolve: Resolve,
    patience: Duration,
    pages: Arc<Mutex<Pages>>,
}

/// A name is looked up once, by [`ToSocketAddrs`] or what stands for it in a test.
type Resolve = Arc<dyn Fn(&HostPort) -> io::Result<Vec<SocketAddr>> + Send + Sync>;

#[derive(Default)]
struct Pages {
    found: HashMap<HostPort, Arc<[SocketAddr]>>,
    /// A thread for each, which may have to be given up, but is never started twice.
    sought: HashMap<HostPort, Receiver<io::Result<Vec<SocketAddr>>>>,
}

/// How long all look-ups of a start or a reload may take together.
const PATIENCE: Duration = Duration::from_secs(5);

impl AddressBook {
    /// An empty one.
    pub(super) fn new() -> Self {
        let resolve =
            |service: &HostPort| Ok((service.host.as_str(), service.port).to_socket_addrs()?.collect());
        Self::with(Arc::new(resolve), PATIENCE)
    }

    fn with(resolve: Resolve, patience: Duration) -> Self {
        Self { resolve, patience, pages: Arc::default() }
    }

    /// The addresses of these services. What was found before and [kept](Self::keep) is not looked up again.
    pub(super) fn find(&self, services: &[&HostPort]) -> io::Result<Vec<Arc<[SocketAddr]>>> {
        let mut pages = self.pages();
        // All of them are looked up at the same time.
        for service in services {
            self.seek(&mut pages, service)?;
        }
        let deadline = Instant::now() + self.patience;
        services.iter().map(|service| self.wait(&mut pages, service, deadline)).collect()
    }

    /// Forgets all services but these.
    pub(super) fn keep(&self, services: &[&HostPort]) {
        self.pages().found.retain(|service, _| services.contains(&service));
    }

    fn seek(&self, pages: &mut Pages, service: &HostPort) -> io::Result<()> {
        if pages.found.contains_key(service) {
            return Ok(());
        }
        if let Ok(ip) = service.host.parse::<IpAddr>() {
            pages.found.insert(service.clone(), [SocketAddr::new(ip, service.port)].into());
            return Ok(());
        }
        match pages.sought.entry(service.clone()) {
            // What it has found since somebody waited for it may be old.
            Entry::Occupied(mut entry) => match entry.get().try_recv() {
                Err(TryRecvError::Empty) => {}
                Ok(_) | Err(TryRecvError::Disconnected) => {
                    entry.insert(self.start(service)?);
                }
            },
            Entry::Vacant(entry) => {
                entry.insert(self.start(service)?);
            }
        }
        Ok(())
    }

    fn start(&self, service: &HostPort) -> io::Result<Receiver<io::Result<Vec<SocketAddr>>>> {
        let (answer, answered) = mpsc::channel();
        let (resolve, service) = (self.resolve.clone(), service.clone());
        thread::Builder::new().name("lookup".to_owned()).spawn(move || {
            // Nobody may be waiting any more.
            let _ = answer.send(resolve(&service));
        })?;
        Ok(answered)
    }

    fn wait(
        &self,
        pages: &mut Pages,
        service: &HostPort,
        deadline: Instant,
    ) -> io::Result<Arc<[SocketAddr]>> {
        let Pages { found, sought } = pages;
        if let Some(addresses) = found.get(service) {
            return Ok(addresses.clone());
        }
        let about = |kind, what: &dyn fmt::Display| io::Error::new(kind, format!("{service}: {what}"));
        let silence = || {
            let what = format!("no answer within {} s", self.patience.as_secs());
            about(io::ErrorKind::TimedOut, &what)
        };
        let Some(answered) = sought.get(service) else { return Err(silence()) };
        let answer = match answered.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => return Err(silence()),
            Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the look-up has panicked")),
        };
        sought.remove(service);
        let addresses: Arc<[SocketAddr]> = answer.map_err(|error| about(error.kind(), &error))?.into();
        found.insert(service.clone(), addresses.clone());
        Ok(addresses)
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: &str = "192.0.2.1:80";

    /// A resolver that answers each question when it gets a word, and tells of each question.
    fn resolver(words: Receiver<()>) -> (Resolve, Receiver<()>) {
        let (ask, asked) = mpsc::channel();
        let words = Mutex::new(words);
        let resolve = move |_: &HostPort| {
            ask.send(()).unwrap();
            words.lock().unwrap().recv().map_err(|_| io::Error::other("no such name"))?;
            Ok(vec![ADDRESS.parse().unwrap()])
        };
        (Arc::new(resolve), asked)
    }

    fn service(text: &str) -> HostPort {
        text.parse().unwrap()
    }

    #[test]
    fn a_silent_resolver_is_given_up_and_not_asked_again_before_it_has_answered() {
        let (answer, words) = mpsc::channel();
        let (resolve, asked) = resolver(words);
        let name = service("web.example:80");
        let hasty = AddressBook::with(resolve, Duration::from_millis(20));
        let give_up = || {
            let error = hasty.find(&[&name]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert_eq!(error.to_string(), "web.example:80: no answer within 0 s");
        };
        give_up();
        asked.recv().unwrap();
        give_up();
        give_up();
        assert!(asked.try_recv().is_err());
        let patient = AddressBook { patience: Duration::from_secs(60), ..hasty.clone() };
        // One for the first question and, should that be over before anybody waits for it, one for another.
        answer.send(()).unwrap();
        answer.send(()).unwrap();
        assert_eq!(patient.find(&[&name]).unwrap()[0][..], [ADDRESS.parse().unwrap()]);
    }

    #[test]
    fn what_is_in_use_is_kept_and_what_is_not_is_looked_up_anew() {
        let (answer, words) = mpsc::channel();
        let (resolve, asked) = resolver(words);
        let book = AddressBook::with(resolve, Duration::from_secs(60));
        let (name, other) = (service("web.example:80"), service("192.0.2.7:80"));
        answer.send(()).unwrap();
        let found = book.find(&[&name, &other, &name]).unwrap();
        let shown: Vec<String> = found.iter().map(|addresses| addresses[0].to_string()).collect();
        assert_eq!(shown, [ADDRESS, "192.0.2.7:80", ADDRESS]);
        book.keep(&[&name]);
        assert_eq!(book.find(&[&name]).unwrap(), found[..1]);
        assert_eq!(asked.try_iter().count(), 1);
        book.keep(&[]);
        drop(answer);
        assert_eq!(book.find(&[&name]).unwrap_err().to_string(), "web.example:80: no such name");
    }
}
