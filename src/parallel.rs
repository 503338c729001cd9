//! Work in several threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::ScopedJoinHandle;
use std::time::Duration;

/// More threads than this do not make a disk faster, and fewer leave a distant host idle.
const THREADS: usize = 4;

/// So many small questions to a distant host are on their way at a time.
const QUESTIONS: usize = 32;

/// More of what reads and writes files is not begun at a time however distant a host is: each takes
/// memory, besides what is under way for all of them.
const MOST: usize = 32;

/// How many users' files are worked on at a time, where a question to a host takes so long to be
/// answered: the more of it is waiting, the more.
pub(crate) fn abreast(round_trip: Duration) -> usize {
    let wait = usize::try_from(round_trip.as_millis() / 2).unwrap_or(MOST);
    THREADS.saturating_add(wait).min(MOST)
}

/// Maps items in a few threads. The results come in the order of the items.
pub(crate) fn map<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    map_in(THREADS, items, work)
}

/// The same where the work is asking a host small questions.
pub(crate) fn ask<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    map_in(QUESTIONS, items, work)
}

/// The same in so many threads.
pub(crate) fn map_in<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let slots: Vec<Mutex<Option<R>>> = items.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..threads.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let (Some(item), Some(slot)) = (items.get(at), slots.get(at)) else {
                        break;
                    };
                    let result = work(item);
                    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
                }
            });
        }
    });
    let results = slots
        .into_iter()
        .map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner));
    results
        .map(|result| result.expect("every item was worked on"))
        .collect()
}

/// More items are not worked on as one, lest some threads have nothing to do while others have much.
const LOT: usize = 32;

/// Works on items in lots: several that follow each other, so that what each lot costs is paid for fewer
/// times. Lots are small towards the end, that all threads end at about the same time; `weight` tells how
/// much work an item is. The results come in the order of the items, each with the lot that it is of.
pub(crate) fn in_lots<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    weight: impl Fn(&T) -> u64,
    work: impl Fn(&[T]) -> R + Sync,
) -> Vec<(&[T], R)> {
    let lots = lots(threads, items, weight);
    let done = map_in(threads, &lots, |lot| work(lot));
    lots.into_iter().zip(done).collect()
}

fn lots<T>(threads: usize, items: &[T], weight: impl Fn(&T) -> u64) -> Vec<&[T]> {
    let mut left: u64 = items.iter().map(&weight).sum();
    let (mut lots, mut rest) = (Vec::new(), items);
    while !rest.is_empty() {
        let share = left / (2 * threads.max(1) as u64);
        let mut taken = 0;
        let fits = |item: &&T| {
            let room = taken == 0 || taken + weight(item) <= share;
            taken += if room { weight(item).max(1) } else { 0 };
            room
        };
        let count = rest.iter().take(LOT).take_while(fits).count();
        let (lot, later) = rest.split_at(count);
        left = left.saturating_sub(lot.iter().map(&weight).sum());
        lots.push(lot);
        rest = later;
    }
    lots
}

/// So many at a time, of any number of threads.
#[derive(Debug)]
pub(crate) struct Turns {
    free: Mutex<usize>,
    freed: Condvar,
}

impl Turns {
    pub(crate) const fn new(at_a_time: usize) -> Self {
        Self {
            free: Mutex::new(at_a_time),
            freed: Condvar::new(),
        }
    }

    /// Waits for a turn, which ends when it is dropped.
    pub(crate) fn take(&self) -> Turn<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.freed.wait_while(free, |free| *free == 0);
        *waited.unwrap_or_else(PoisonError::into_inner) -= 1;
        Turn(self)
    }
}

/// See [`Turns::take`].
#[derive(Debug)]
pub(crate) struct Turn<'a>(&'a Turns);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

/// Two things at the same time, such as looking at two hosts.
pub(crate) fn both<A: Send, B>(
    one: impl FnOnce() -> A + Send,
    other: impl FnOnce() -> B,
) -> (A, B) {
    std::thread::scope(|scope| {
        let one = scope.spawn(one);
        let other = other();
        (joined(one), other)
    })
}

/// What a thread comes to. Its panic goes on here.
pub(crate) fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[test]
    fn no_more_have_a_turn_than_may() {
        let turns = super::Turns::new(3);
        let [now, most] = [(); 2].map(|()| AtomicUsize::new(0));
        super::ask(&[(); 100], |()| {
            let _turn = turns.take();
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(1));
            now.fetch_sub(1, Ordering::SeqCst);
        });
        assert_eq!(most.into_inner(), 3);
    }

    #[test]
    fn more_is_begun_at_a_time_the_more_distant_a_host_is() {
        let abreast = [0, 1, 20, 200, 100_000].map(|ms| super::abreast(Duration::from_millis(ms)));
        assert_eq!(abreast, [4, 4, 14, 32, 32]);
    }

    #[test]
    fn lots_are_large_at_first_and_small_at_the_end() {
        let sizes = |threads, items: &[u64]| -> Vec<usize> {
            let lots = super::lots(threads, items, |&weight| weight);
            assert_eq!(lots.concat(), items);
            lots.iter().map(|lot| lot.len()).collect()
        };
        assert_eq!(
            sizes(4, &[1; 20]),
            [2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
        );
        assert_eq!(
            sizes(4, &[1; 1000])[..3],
            [32, 32, 32],
            "never more than this"
        );
        assert_eq!(
            sizes(1, &[100, 1, 1, 1, 1, 1]),
            [1, 2, 1, 1, 1],
            "a heavy one is alone"
        );
        assert_eq!(
            sizes(2, &[0, 0, 0]),
            [1, 1, 1],
            "what weighs nothing is no endless lot"
        );
        assert_eq!(sizes(8, &[]), [] as [usize; 0]);
    }

    #[test]
    fn results_keep_the_order_of_the_items() {
        let items: Vec<u64> = (0..1000).collect();
        let doubled = super::map(&items, |n| {
            if n % 7 == 0 {
                std::thread::yield_now();
            }
            n * 2
        });
        assert_eq!(doubled, (0..1000).map(|n| n * 2).collect::<Vec<_>>());
        assert!(super::map(&[] as &[u8], |n| *n).is_empty());
    }
}
