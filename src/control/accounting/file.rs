//! Records as lines of a file, which others may move away and read.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::record::Record;
use super::tally::{Delivery, Tally};

/// A file that records are added to.
#[derive(Debug)]
pub(super) struct RecordFile {
    path: PathBuf,
    file: File,
}

/// The thread that writes it: a disk that hangs must hold up nothing else.
#[derive(Debug)]
pub(super) struct Writer {
    words: Sender<Word>,
    ended: oneshot::Receiver<()>,
    tally: Arc<Tally>,
}

#[derive(Debug)]
enum Word {
    Lines { text: Vec<u8>, records: u64 },
    Reopen,
}

/// Records that may wait for the disk, a few hundred bytes each.
const MAX_WAITING: u64 = 100_000;
/// What is written at once, if so much waits.
const BATCH: usize = 1 << 20;
/// How often a write that failed is made again.
const AGAIN: Duration = Duration::from_secs(1);
/// How often it is said that it fails.
const SAY_AGAIN: Duration = Duration::from_secs(60);
/// For the owner to write and for a group to read: those who ship logs seldom are the server.
const MODE: u32 = 0o640;

impl RecordFile {
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let file = append_to(path)
            .map_err(|error| format!("accounting.file: cannot open {}: {error}", path.display()))?;
        Ok(Self { path: path.to_owned(), file })
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).mode(MODE).open(path)
}

impl Writer {
    pub(super) fn start(file: RecordFile, tally: Arc<Tally>) -> Self {
        let (words, incoming) = channel();
        let (end, ended) = oneshot::channel();
        let for_thread = tally.clone();
        let run = move || {
            let _end = end;
            Pen::new(file, &for_thread.file).run(&incoming);
        };
        if let Err(error) = thread::Builder::new().name("accounting-file".to_owned()).spawn(run) {
            // The words are heard by nobody then, and what is written is counted as lost.
            tracing::error!(%error, "the thread that writes accounting.file cannot be started");
        }
        Self { words, ended, tally }
    }

    pub(super) fn write(&self, records: &[Arc<Record>]) {
        let delivery = &self.tally.file;
        let count = records.len() as u64;
        if delivery.waiting.get() + count > MAX_WAITING {
            delivery.lost.add(count);
            return;
        }
        delivery.waiting.add(count);
        let mut text = Vec::with_capacity(records.len() * 512);
        for record in records {
            // Writing to memory fails only if a record cannot be JSON, and a test shows that it can.
            let _ = serde_json::to_writer(&mut text, &**record);
            text.push(b'\n');
        }
        if self.words.send(Word::Lines { text, records: count }).is_err() {
            delivery.lose(count);
        }
    }

    pub(super) fn reopen(&self) {
        // Whoever does not hear it has nothing open.
        let _ = self.words.send(Word::Reopen);
    }

    pub(super) async fn close(self, deadline: tokio::time::Instant) {
        drop(self.words);
        if tokio::time::timeout_at(deadline, self.ended).await.is_err() {
            let records = self.tally.file.waiting.get();
            tracing::error!(records, "accounting.file cannot be written in time; records are lost");
        }
    }
}

/// What writes, and what is not written yet.
struct Pen<'a> {
    path: PathBuf,
    file: File,
    text: Vec<u8>,
    records: u64,
    said: Option<Instant>,
    delivery: &'a Delivery,
}

impl<'a> Pen<'a> {
    fn new(file: RecordFile, delivery: &'a Delivery) -> Self {
        let RecordFile { path, file } = file;
        Self { path, file, text: Vec::new(), records: 0, said: None, delivery }
    }

    fn run(mut self, words: &Receiver<Word>) {
        loop {
            let heard = if self.text.is_empty() {
                words.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                words.recv_timeout(AGAIN)
            };
            match heard {
                Ok(word) => {
                    self.obey(word);
                    while self.text.len() < BATCH
                        && let Ok(word) = words.try_recv()
                    {
                        self.obey(word);
                    }
                    self.write();
                }
                Err(RecvTimeoutError::Timeout) => self.write(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.write();
        if self.records > 0 {
            self.delivery.lose(self.records);
            tracing::error!(
                records = self.records,
                "accounting.file could not be written to the end; records are lost"
            );
        }
    }

    fn obey(&mut self, word: Word) {
        match word {
            Word::Lines { text, records } => {
                self.text.extend_from_slice(&text);
                self.records += records;
            }
            Word::Reopen => {
                // What was handed over before belongs to the file as it was.
                self.write();
                self.reopen();
            }
        }
    }

    /// Writes all there is in one call, or keeps it for later.
    fn write(&mut self) {
        if self.text.is_empty() {
            return;
        }
        match self.try_write() {
            Ok(()) => {
                self.delivery.deliver(self.records);
                self.text.clear();
                self.text.shrink_to(BATCH);
                self.records = 0;
                if self.said.take().is_some() {
                    tracing::info!(path = %self.path.display(), "accounting.file can be written again");
                }
            }
            Err(error) => self.fail(&error),
        }
    }

    fn try_write(&mut self) -> io::Result<()> {
        let metadata = self.file.metadata()?;
        if metadata.nlink() == 0 {
            // Somebody has removed it, and nobody would ever read what is written there.
            self.file = append_to(&self.path)?;
        }
        self.file.write_all(&self.text).inspect_err(|_| {
            // The disk may have been full in the middle of a line.
            if self.file.metadata().is_ok_and(|now| now.len() > metadata.len()) {
                let _ = self.file.set_len(metadata.len());
            }
        })
    }

    /// One that cannot be opened again is as good as it was before.
    fn reopen(&mut self) {
        match append_to(&self.path) {
            Ok(file) => {
                self.file = file;
                tracing::debug!(path = %self.path.display(), "accounting.file opened again");
            }
            Err(error) => tracing::error!(
                path = %self.path.display(),
                %error,
                "accounting.file cannot be opened again; records go on to the file that was open"
            ),
        }
    }

    fn fail(&mut self, error: &io::Error) {
        self.delivery.failures.add(1);
        if self.said.is_none_or(|said| said.elapsed() >= SAY_AGAIN) {
            self.said = Some(Instant::now());
            let (waiting, lost) = (self.delivery.waiting.get(), self.delivery.lost.get());
            tracing::error!(path = %self.path.display(), %error, waiting, lost, "accounting.file cannot be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn directory(name: &str) -> PathBuf {
        let directory =
            std::env::temp_dir().join(format!("turnbridge-accounting-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        directory
    }

    fn lines(text: &str) -> Word {
        Word::Lines { text: text.as_bytes().to_vec(), records: 1 }
    }

    #[test]
    fn a_file_that_is_moved_away_has_what_came_before_and_another_the_rest() {
        let directory = directory("moved");
        let (path, moved) = (directory.join("records"), directory.join("records.1"));
        let delivery = Delivery::default();
        let mut pen = Pen::new(RecordFile::open(&path).unwrap(), &delivery);
        pen.obey(lines("first\n"));
        fs::rename(&path, &moved).unwrap();
        pen.obey(lines("second\n"));
        pen.obey(Word::Reopen);
        pen.obey(lines("third\n"));
        pen.write();
        assert_eq!(fs::read_to_string(&moved).unwrap(), "first\nsecond\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "third\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777 & !0o640, 0);
        fs::remove_file(&path).unwrap();
        pen.obey(lines("fourth\n"));
        pen.write();
        assert_eq!(fs::read_to_string(&path).unwrap(), "fourth\n", "what is removed is made again");
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn what_cannot_be_written_is_kept_and_written_later() {
        let directory = directory("full");
        let delivery = Delivery::default();
        delivery.waiting.add(2);
        let full =
            RecordFile { path: directory.join("records"), file: append_to("/dev/full".as_ref()).unwrap() };
        let mut pen = Pen::new(full, &delivery);
        pen.obey(lines("first\n"));
        pen.write();
        pen.obey(lines("second\n"));
        pen.write();
        assert_eq!((delivery.failures.get(), delivery.delivered.get(), delivery.waiting.get()), (2, 0, 2));
        pen.obey(Word::Reopen);
        pen.write();
        assert_eq!(fs::read_to_string(directory.join("records")).unwrap(), "first\nsecond\n");
        assert_eq!((delivery.delivered.get(), delivery.waiting.get()), (2, 0));
        fs::remove_dir_all(&directory).unwrap();
    }
}
