// SPDX-License-Identifier: BSD-2-Clause
//! Machines that are shell scripts: what counts here is how their process behaves.

use super::*;

fn fake(script: &str) -> Machine {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    Machine::start(command).unwrap()
}

fn events(machine: &mut Machine) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        events.push(
            machine
                .next(Some(Duration::from_secs(20)), "the next event")
                .unwrap(),
        );
        if let Some(Event::Off(_)) = events.last() {
            return events;
        }
    }
}

fn end(script: &str) -> PowerOff {
    match events(&mut fake(script)).pop() {
        Some(Event::Off(how)) => how,
        event => panic!("{event:?}"),
    }
}

#[test]
fn text_and_frames_come_in_order_and_then_the_end() {
    let mut machine = fake(r"printf 'hello\r\n\036xos:exec:end 7\r\nbye'; exit 33");
    let mut text = Vec::new();
    let mut rest = Vec::new();
    for event in events(&mut machine) {
        match event {
            Event::Text(bytes) if rest.is_empty() => text.extend(bytes),
            event => rest.push(event),
        }
    }
    assert_eq!(text, b"hello\n");
    assert_eq!(
        rest,
        [
            Event::Frame("xos:exec:end 7\r".into()),
            Event::Text(b"bye".to_vec()),
            Event::Off(PowerOff::Success)
        ]
    );
}

#[test]
fn the_exit_status_tells_how_the_machine_stopped() {
    assert_eq!(end("exit 33"), PowerOff::Success);
    assert_eq!(end("exit 35"), PowerOff::Failure);
    assert_eq!(end("exit 0"), PowerOff::Reset);
    assert_eq!(end("exit 1"), PowerOff::Simulator(Some(1)));
    assert_eq!(end("kill -9 $$"), PowerOff::Simulator(None));
}

#[test]
fn a_machine_that_hangs_is_an_error_with_its_log() {
    let mut machine = fake(r"printf 'one\ntwo\n'; exec sleep 60");
    let within = Some(Duration::from_millis(500));
    let error = loop {
        match machine.next(within, "the prompt") {
            Ok(Event::Text(_)) => {}
            Ok(event) => panic!("{event:?}"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.contains("the prompt"), "{error}");
    assert!(error.contains("  | one\n  | two"), "{error}");
}

#[test]
fn a_machine_that_is_dropped_is_killed() {
    let machine = fake("exec sleep 60");
    let process = format!("/proc/{}", machine.child.id());
    assert!(std::path::Path::new(&process).exists());
    drop(machine);
    assert!(!std::path::Path::new(&process).exists());
}

#[test]
fn what_is_sent_arrives_at_the_machine() {
    let mut machine = fake("read line; printf \"got %s\" \"$line\"; exit 33");
    machine.send(b"abc\n").unwrap();
    assert_eq!(events(&mut machine)[0], Event::Text(b"got abc".to_vec()));
}

#[test]
fn a_simulator_that_is_not_there_is_named() {
    let error = Machine::start(Command::new("/no/such/simulator"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("/no/such/simulator") && error.contains("make deps"),
        "{error}"
    );
}
