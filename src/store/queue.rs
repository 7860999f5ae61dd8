//! The bounded queue in front of the writer thread.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

/// Something that takes up room in a queue.
pub(super) trait Weight {
    /// Bytes it stands for.
    fn weight_bytes(&self) -> usize;
}

/// A first-in first-out queue between threads, bounded by count and by bytes.
///
/// One item may exceed the bytes: whatever the size of an item, an empty queue takes it.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    drained: Condvar,
    bounds: Bounds,
}

/// How much a queue holds, or how much is taken from it at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) items: usize,
    pub(super) bytes: usize,
}

impl Bounds {
    const fn admits(self, items: usize, bytes: usize) -> bool {
        items < self.items && bytes < self.bytes
    }
}

struct State<T> {
    items: VecDeque<T>,
    bytes: usize,
    closed: bool,
}

impl<T: Weight> Queue<T> {
    pub(super) const fn new(bounds: Bounds) -> Self {
        Self {
            state: Mutex::new(State {
                items: VecDeque::new(),
                bytes: 0,
                closed: false,
            }),
            filled: Condvar::new(),
            drained: Condvar::new(),
            bounds,
        }
    }

    /// Queues `item`, after waiting for room if need be. Gives it back if the queue is closed.
    pub(super) fn push(&self, item: T) -> Result<(), T> {
        let is_full = |state: &mut State<T>| !state.closed && !state.has_room(self.bounds);
        let mut state = self
            .drained
            .wait_while(self.lock(), is_full)
            .unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Err(item);
        }
        state.put(item);
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// Queues `item` whatever waits there; its kind must have a bound of its own. Gives it back if
    /// the queue is closed.
    pub(super) fn push_anyway(&self, item: T) -> Result<(), T> {
        let mut state = self.lock();
        if state.closed {
            return Err(item);
        }
        state.put(item);
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// Waits until something is queued and takes what there is, up to `most`; never nothing.
    /// `None` once the queue is closed and empty.
    pub(super) fn take(&self, most: Bounds) -> Option<Vec<T>> {
        let is_idle = |state: &mut State<T>| !state.closed && state.items.is_empty();
        let mut state = self
            .filled
            .wait_while(self.lock(), is_idle)
            .unwrap_or_else(PoisonError::into_inner);
        let mut taken = Vec::new();
        let mut bytes = 0;
        while most.admits(taken.len(), bytes) {
            let Some(item) = state.items.pop_front() else {
                break;
            };
            bytes += item.weight_bytes();
            taken.push(item);
        }
        state.bytes -= bytes;
        drop(state);
        self.drained.notify_all();
        if taken.is_empty() { None } else { Some(taken) }
    }

    /// Admits nothing more; what is queued can still be taken.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
        self.drained.notify_all();
    }

    /// Closes the queue and drops what it holds.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.bytes = 0;
        let items = std::mem::take(&mut state.items);
        drop(state);
        drop(items);
        self.filled.notify_all();
        self.drained.notify_all();
    }

    /// Number of items that wait.
    pub(super) fn len(&self) -> usize {
        self.lock().items.len()
    }

    // A panic under the lock can only be one of the allocator's: the state is whole at any point.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Weight> State<T> {
    fn has_room(&self, bounds: Bounds) -> bool {
        self.items.is_empty() || bounds.admits(self.items.len(), self.bytes)
    }

    fn put(&mut self, item: T) {
        self.bytes += item.weight_bytes();
        self.items.push_back(item);
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    impl Weight for usize {
        fn weight_bytes(&self) -> usize {
            *self
        }
    }

    fn queue(items: usize, bytes: usize) -> Queue<usize> {
        Queue::new(Bounds { items, bytes })
    }

    const ALL: Bounds = Bounds {
        items: usize::MAX,
        bytes: usize::MAX,
    };

    #[test]
    fn what_is_taken_at_once_stays_within_its_bounds_and_in_order() {
        let queue = queue(10, 1_000);
        for weight in [5, 1, 9, 20, 2] {
            queue.push(weight).unwrap();
        }
        let take = |items, bytes| queue.take(Bounds { items, bytes });
        assert_eq!(take(2, 100), Some(vec![5, 1]));
        assert_eq!(take(9, 9), Some(vec![9]));
        assert_eq!(take(9, 100), Some(vec![20, 2]));
    }

    #[test]
    fn a_closed_queue_is_emptied_and_then_ends() {
        let queue = queue(9, 100);
        queue.push(1).unwrap();
        queue.close();
        assert_eq!(queue.push(2), Err(2));
        assert_eq!(queue.push_anyway(2), Err(2));
        assert_eq!(queue.take(ALL), Some(vec![1]));
        assert_eq!(queue.take(ALL), None);
    }

    #[test]
    fn threads_that_wait_for_room_lose_nothing_and_the_queue_keeps_its_bounds() {
        // By count, by bytes, and where each item has more than there may be.
        for (queue, weight, most) in [
            (queue(3, 1_000), 1, 3),
            (queue(100, 100), 50, 2),
            (queue(100, 100), 500, 1),
        ] {
            let queue = Arc::new(queue);
            let pushers: Vec<_> = (0..4)
                .map(|_| {
                    let queue = Arc::clone(&queue);
                    thread::spawn(move || (0..100).for_each(|_| queue.push(weight).unwrap()))
                })
                .collect();
            let mut sum = 0;
            while sum < 400 {
                while queue.len() < most.min(400 - sum) {
                    thread::yield_now();
                }
                let taken = queue.take(ALL).unwrap().len();
                assert!(taken <= most, "{taken} of {most}");
                sum += taken;
            }
            for pusher in pushers {
                pusher.join().unwrap();
            }
            assert_eq!(queue.len(), 0);
        }
    }

    #[test]
    fn a_thread_that_waits_for_room_is_released_by_the_end() {
        let queue = Arc::new(queue(1, 1_000));
        queue.push(1).unwrap();
        let waiting = thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.push(2)
        });
        queue.abandon();
        assert_eq!(waiting.join().unwrap(), Err(2));
    }
}
