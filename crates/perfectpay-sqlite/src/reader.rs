//! Reads of a file: point reads on the caller's own thread, what may be long on threads of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_lock::Semaphore;
use perfectpay::{Error, Unavailability};
use rusqlite::Connection;

use crate::error::Failure;
use crate::open::{self, Location};
use crate::writer::Task;

/// How many threads carry out long reads.
const THREADS: usize = 2;
/// How many long reads wait at most, before whoever asks waits for a place.
const PLACES: usize = 1_024;
/// How many connections are kept for point reads. More callers at one moment open more, for that moment.
const IDLE_CONNECTIONS: usize = 16;

/// The reading connections of a file.
#[derive(Debug)]
pub(crate) struct Readers {
    location: Location,
    idle: Mutex<Vec<Connection>>,
    queue: Option<Sender<Task>>,
    places: Arc<Semaphore>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    /// Connects to a file that was opened for writing before.
    pub(crate) fn spawn(location: Location) -> Result<Self, Error> {
        let (queue, tasks) = channel::<Task>();
        let tasks = Arc::new(Mutex::new(tasks));
        let first = open::reader(&location.path, location.busy_timeout)?;
        first.busy_timeout(Duration::ZERO).map_err(Failure::from)?;
        let idle = Mutex::new(vec![first]);
        let places = Arc::new(Semaphore::new(PLACES));
        let mut readers = Self { location, idle, queue: Some(queue), places, threads: Vec::new() };
        for _ in 0..THREADS {
            let conn = open::reader(&readers.location.path, readers.location.busy_timeout)?;
            let tasks = Arc::clone(&tasks);
            let thread = thread::Builder::new().name("perfectpay-reader".into());
            let thread = thread.spawn(move || run(&conn, &tasks));
            readers.threads.push(thread.map_err(|e| Error::unavailable(Unavailability::Failed, e))?);
        }
        Ok(readers)
    }

    /// Reads on the caller's thread, without waiting for anyone. `None` where no connection is idle and none can be had:
    /// the process has no descriptor left, or there is another file at the path by now.
    pub(crate) fn here<T>(&self, read: impl FnOnce(&Connection) -> Result<T, Failure>) -> Option<Result<T, Failure>> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let conn = match idle {
            Some(conn) => conn,
            None => open::reader(&self.location.path, Duration::ZERO).ok().filter(|_| self.location.place.is_kept())?,
        };
        let answer = read(&conn);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_CONNECTIONS {
            idle.push(conn);
        }
        Some(answer)
    }

    /// Reads on a thread of the store.
    pub(crate) async fn elsewhere<T, R>(&self, read: R) -> Result<T, Error>
    where
        T: Send + 'static,
        R: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        let place = self.places.acquire_arc().await;
        let (task, answer) = asking(move |conn| {
            let _place = place;
            read(conn)
        });
        let closed = || Error::Unavailable { reason: Unavailability::Closed, source: None };
        self.queue.as_ref().ok_or_else(closed)?.send(task).map_err(|_| closed())?;
        answer.await.unwrap_or_else(|e| Err(Error::unavailable(Unavailability::Failed, e)))
    }
}

/// A task that reads, and where its answer arrives.
pub(crate) fn asking<T, R>(read: R) -> (Task, oneshot::AsyncReceiver<Result<T, Error>>)
where
    T: Send + 'static,
    R: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
{
    let (reply, answer) = oneshot::async_channel();
    let task = Box::new(move |conn: &Connection| {
        let answer = read(conn).map_err(Error::from);
        // Whoever asked may have gone.
        let _heard = reply.send(answer);
    });
    (task, answer)
}

fn run(conn: &Connection, tasks: &Mutex<Receiver<Task>>) {
    loop {
        let task = tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(task) = task else { return };
        // A task that panics drops its own reply, and whoever waits for it is told.
        let _done = catch_unwind(AssertUnwindSafe(|| task(conn)));
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            // Panics are caught in the thread.
            let _ended = thread.join();
        }
    }
}
