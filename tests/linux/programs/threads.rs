// SPDX-License-Identifier: BSD-2-Clause
//! What a program of Rust's standard library does with threads, and what these need of the system.

use std::cell::Cell;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, RwLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

thread_local! {
    static OWN: Cell<u64> = const { Cell::new(7) };
}

fn main() {
    // Many threads, one lock.
    let (count, total) = (Arc::new(Mutex::new(0u64)), Arc::new(AtomicU64::new(0)));
    let threads: Vec<_> = (0..16)
        .map(|number| {
            let (count, total) = (Arc::clone(&count), Arc::clone(&total));
            thread::spawn(move || {
                for _ in 0..500 {
                    *count.lock().unwrap() += 1;
                }
                OWN.set(OWN.get() + number);
                total.fetch_add(OWN.get(), Ordering::Relaxed);
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    println!("{} {} {}", count.lock().unwrap(), total.load(Ordering::Relaxed), OWN.get());

    // A pipeline of channels.
    let (first, mut end) = mpsc::channel::<u64>();
    for step in 1..=8 {
        let (next, new_end) = mpsc::sync_channel(2);
        let input = std::mem::replace(&mut end, {
            let (forward, out) = mpsc::channel();
            thread::spawn(move || new_end.iter().for_each(|value: u64| forward.send(value).unwrap()));
            out
        });
        thread::spawn(move || input.iter().for_each(|value| next.send(value * step).unwrap()));
    }
    for value in 0..4 {
        first.send(value).unwrap();
    }
    drop(first);
    println!("{:?}", end.iter().collect::<Vec<_>>());

    // Turns, by a condition.
    let turn = Arc::new((Mutex::new(0), Condvar::new()));
    let log = Arc::new(RwLock::new(Vec::new()));
    thread::scope(|scope| {
        for me in 0..4 {
            let (turn, log) = (&turn, &log);
            scope.spawn(move || {
                for round in 0..3 {
                    let guard = turn.0.lock().unwrap();
                    let mut guard = turn.1.wait_while(guard, |turn| *turn % 4 != me).unwrap();
                    log.write().unwrap().push((round, me));
                    *guard += 1;
                    turn.1.notify_all();
                }
            });
        }
    });
    let log = log.read().unwrap();
    println!("{} turns in order: {}", log.len(), log.is_sorted());

    // A barrier, a panic that is caught where it is joined, a time-out.
    let barrier = Arc::new(Barrier::new(5));
    let leaders: usize = (0..5)
        .map(|_| {
            let barrier = Arc::clone(&barrier);
            thread::spawn(move || usize::from(barrier.wait().is_leader()))
        })
        .collect::<Vec<_>>()
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .sum();
    std::panic::set_hook(Box::new(|_| {}));
    let panicked = thread::Builder::new().stack_size(64 << 10).spawn(|| panic!("oh")).unwrap().join();
    let (_sender, receiver) = mpsc::channel::<()>();
    let start = Instant::now();
    let late = receiver.recv_timeout(Duration::from_millis(30)).is_err();
    println!("{leaders} {} {late} {}", panicked.is_err(), start.elapsed() >= Duration::from_millis(30));

    // Files, a child, its input and output; maps with keys that are random each time.
    std::fs::write("letters", "c\na\nb\n").unwrap();
    let mut child = Command::new("sort").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let letters = std::fs::read("letters").unwrap();
    child.stdin.take().unwrap().write_all(&letters).unwrap();
    let mut sorted = String::new();
    child.stdout.take().unwrap().read_to_string(&mut sorted).unwrap();
    println!("{sorted:?} {:?}", child.wait().unwrap().code());
    let map: HashMap<_, _> = (0..1000).map(|key| (key, key * key)).collect();
    println!("{} {}", map.len(), map[&999]);
}
