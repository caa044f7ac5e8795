// SPDX-License-Identifier: BSD-2-Clause
//! `container`: runs containers from a Linux shell, in docker's words.
//!
//! They are not within this Linux but beside it, each with a Linux of its own, made by the system's factory of
//! containers. What this program knows and does goes by files: `/proc/ic/run` starts and ends them, `invoke` in the
//! folder of each asks and commands it (requests and replies are `xos_protocol::container`'s, by postcard). So nothing
//! is kept here, and containers go on when this program has ended.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use xos_container_line::{
    Command, Containers, Cost, FACTORY, Input, Known, MAX_INPUT, Piece, Run, Session,
};
use xos_protocol::container::{Log, Request, Stream, Streams};

/// Where the system shows itself.
const FOLDER: &str = "/proc/ic";
/// How often one is looked at that is waited for.
const PAUSE: Duration = Duration::from_millis(10);

/// A file that does not do what it is asked.
#[derive(Debug)]
struct Failure {
    path: PathBuf,
    error: io::Error,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, error } = self;
        match Path::new(FOLDER).exists() {
            true => write!(f, "{}: {error}", path.display()),
            false => write!(
                f,
                "{}: {error}; only the system's own shell may see it",
                path.display()
            ),
        }
    }
}

type Result<T> = std::result::Result<T, Failure>;

/// The system, behind its files.
struct System {
    interrupt: Arc<AtomicBool>,
    /// What is typed, while it is a container's input.
    typed: Option<Receiver<Vec<u8>>>,
    /// How the terminal was before it was to show nothing.
    before: Option<Termios>,
}

/// Writes an order and reads the answer to it, which whoever gave the order finds in the same open file.
fn order(path: PathBuf, text: &[u8]) -> Result<Vec<u8>> {
    let ask = || {
        let mut file = OpenOptions::new().read(true).write(true).open(&path)?;
        file.write_all(text)?;
        let mut answer = Vec::new();
        file.read_to_end(&mut answer)?;
        Ok(answer)
    };
    ask().map_err(|error| Failure { path, error })
}

fn read(path: PathBuf) -> Result<String> {
    let mut text = String::new();
    match File::open(&path).and_then(|mut file| file.read_to_string(&mut text)) {
        Ok(_) => Ok(text),
        Err(error) => Err(Failure { path, error }),
    }
}

fn run_file() -> PathBuf {
    Path::new(FOLDER).join("run")
}

fn file_of(number: u64, name: &str) -> PathBuf {
    Path::new(FOLDER).join(number.to_string()).join(name)
}

/// Strings as they are in messages: a zero byte behind each.
fn joined(texts: &[String]) -> String {
    texts.iter().flat_map(|text| [text, "\0"]).collect()
}

/// An answer that is none.
fn senseless(number: u64) -> Failure {
    Failure {
        path: file_of(number, "invoke"),
        error: io::ErrorKind::InvalidData.into(),
    }
}

/// Asks a container; gives the bytes of its answer.
fn ask(number: u64, request: &Request<'_>) -> Result<Vec<u8>> {
    let request = postcard::to_stdvec(request).map_err(|_| senseless(number))?;
    order(file_of(number, "invoke"), &request)
}

/// The same for what is answered by a number.
fn ask_number(number: u64, request: &Request<'_>) -> Result<u64> {
    let answer = ask(number, request)?;
    let word = answer.first_chunk().ok_or_else(|| senseless(number))?;
    Ok(u64::from_le_bytes(*word))
}

/// The same for what there is no answer to before somebody has ended.
fn wait_for(number: u64, request: &Request<'_>) -> Result<u8> {
    loop {
        match ask_number(number, request) {
            Err(failure) if failure.error.kind() == io::ErrorKind::WouldBlock => {
                thread::sleep(PAUSE)
            }
            answer => return Ok(answer? as u8),
        }
    }
}

impl Containers for System {
    type Container = u64;
    type Error = Failure;

    fn show(&mut self, stream: Stream, bytes: &[u8]) {
        // Who has seen enough closes the pipe.
        let _ = match stream {
            Stream::Output => io::stdout().write_all(bytes),
            Stream::Error => io::stderr().write_all(bytes),
        };
        let _ = io::stdout().flush();
    }

    fn create_container(&mut self, name: &str, run: &Run) -> Result<(u64, u64)> {
        let mut words = vec![name.to_owned(), run.memory.to_string(), FACTORY.to_owned()];
        match (run.input, run.terminal) {
            (false, false) => {}
            (_, false) => words.push(String::from("-i")),
            (_, true) => words.push(String::from("-t")),
        }
        words.extend(run.environment.iter().cloned());
        words.push(run.image.clone());
        words.extend(run.arguments.iter().cloned());
        let answer = order(run_file(), joined(&words).as_bytes())?;
        let number = String::from_utf8(answer)
            .ok()
            .and_then(|text| text.trim_end().parse().ok());
        let number = number.ok_or_else(|| Failure {
            path: run_file(),
            error: io::ErrorKind::InvalidData.into(),
        })?;
        Ok((number, number))
    }

    fn attach_container(&mut self, _: u64, _: bool) -> Result<()> {
        // So it was made.
        Ok(())
    }

    fn container_input(&mut self, number: u64, of: u32, bytes: &[u8]) -> Result<bool> {
        match ask(number, &Request::Input { of, bytes }) {
            // What came before is on its way.
            Err(failure) if failure.error.kind() == io::ErrorKind::OutOfMemory => Ok(false),
            given => given.map(|_| true),
        }
    }

    fn take_input(&mut self, input: Option<Input>) {
        // Who looks at raw keys shows none of them.
        if let Some(before) = self.before.take() {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        self.typed = Some(receiver);
        match input {
            None => self.typed = None,
            Some(Input::Raw) => {
                if let Ok(before) = tcgetattr(io::stdin()) {
                    let mut raw = before.clone();
                    raw.make_raw();
                    let _ = tcsetattr(io::stdin(), OptionalActions::Now, &raw);
                    self.before = Some(before);
                }
            }
            Some(Input::Lines) => {}
        }
        if self.typed.is_some() {
            // It ends with this program, which cannot wait for it.
            thread::spawn(move || {
                let mut buffer = [0; MAX_INPUT];
                loop {
                    let count = io::stdin().read(&mut buffer).unwrap_or(0);
                    if sender.send(buffer[..count].to_vec()).is_err() || count == 0 {
                        break;
                    }
                }
            });
        }
    }

    fn typed(&mut self) -> Vec<Vec<u8>> {
        let typed = self.typed.as_ref();
        typed.map_or_else(Vec::new, |typed| typed.try_iter().collect())
    }

    fn start_container(&mut self, _: u64) -> Result<()> {
        // It runs already: whoever makes one by a file lets it run.
        Ok(())
    }

    fn container_state(&mut self, number: u64) -> Result<String> {
        let state = ask(number, &Request::State)?;
        String::from_utf8(state).map_err(|_| senseless(number))
    }

    fn container_log(&mut self, number: u64, of: u32, from: u64) -> Result<Piece> {
        let wait = false;
        let answer = ask(number, &Request::Log { from, wait, of })?;
        let log: Log<'_> = postcard::from_bytes(&answer).map_err(|_| senseless(number))?;
        Ok(Piece {
            bytes: log.bytes.to_vec(),
            stream: log.stream,
            next: log.next,
            end: log.end,
        })
    }

    fn signal_container(&mut self, number: u64, signal: u8) -> Result<()> {
        ask(number, &Request::Signal(signal)).map(drop)
    }

    fn exec_in(
        &mut self,
        number: u64,
        arguments: &[String],
        environment: &[String],
        cwd: &str,
        input: Option<Input>,
    ) -> Result<u32> {
        let request = Request::Exec {
            arguments: &joined(arguments),
            environment: &joined(environment),
            cwd,
            streams: match input {
                None => Streams::Output,
                Some(Input::Lines) => Streams::Input,
                Some(Input::Raw) => Streams::Terminal,
            },
        };
        let program = ask_number(number, &request)?;
        u32::try_from(program).map_err(|_| senseless(number))
    }

    fn wait_for_exec(&mut self, number: u64, program: u32) -> Result<u8> {
        wait_for(number, &Request::ExecWait(program))
    }

    fn wait_for_container(&mut self, number: u64) -> Result<u8> {
        wait_for(number, &Request::Wait)
    }

    fn remove_container(&mut self, number: u64) -> Result<()> {
        let known = known()?;
        match known.iter().find(|known| known.number == number) {
            Some(known) => order(run_file(), known.name.as_bytes()).map(drop),
            // Somebody was faster.
            None => Ok(()),
        }
    }

    fn container_cost(&mut self, number: u64) -> Result<Option<Cost>> {
        match read(file_of(number, "cost")) {
            Ok(text) => text.parse().map(Some).map_err(|_| senseless(number)),
            Err(failure) if failure.error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    fn take_interrupts(&mut self, take: bool) {
        if take {
            // Without it the signal ends this program, and the container goes on.
            let _ =
                signal_hook::flag::register(signal_hook::consts::SIGINT, self.interrupt.clone());
        }
    }

    fn interrupted(&mut self) -> bool {
        self.interrupt.swap(false, Relaxed)
    }

    fn pause(&mut self) {
        thread::sleep(PAUSE);
    }
}

/// The containers that were started from this Linux.
fn known() -> Result<Vec<Known<u64>>> {
    Ok(read(run_file())?.lines().filter_map(of_line).collect())
}

/// Reads a line of what was started: a name, a number, a state, a factory, an image, and its command.
fn of_line(line: &str) -> Option<Known<u64>> {
    let mut words = line.split('\t');
    let (name, number, _, factory, image, command) = (
        words.next()?,
        words.next()?.parse().ok()?,
        words.next()?,
        words.next()?,
        words.next()?,
        words.next()?,
    );
    (factory == FACTORY).then(|| Known {
        name: name.to_owned(),
        image: image.to_owned(),
        command: command.to_owned(),
        number,
        container: number,
    })
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let command = match Command::parse(&words) {
        Ok(command) => command,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let known = match known() {
        Ok(known) => known,
        Err(failure) => {
            eprintln!("container: {failure}");
            return ExitCode::from(125);
        }
    };
    let mut system = System {
        interrupt: Arc::default(),
        typed: None,
        before: None,
    };
    let outcome = Session::of(known).act(&mut system, command);
    if let Some(message) = outcome.message {
        eprintln!("container: {message}");
    }
    // A status of Linux's has no more room.
    ExitCode::from(outcome.status as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_container_if_the_factory_of_containers_made_it() {
        let known = of_line("web\t41\truns\tcontainer\tbusybox\tsleep 99").unwrap();
        assert_eq!((&*known.name, known.number), ("web", 41));
        assert_eq!((&*known.image, &*known.command), ("busybox", "sleep 99"));
        for line in [
            "",
            "1\t2",
            "77\t41\truns\tprocess\thello\t",
            "a\tb\truns\tcontainer\tc\t",
        ] {
            assert_eq!(of_line(line), None, "{line}");
        }
    }
}
