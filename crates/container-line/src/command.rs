// SPDX-License-Identifier: BSD-2-Clause
//! What can be typed about containers, in docker's words.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::{CommandError, Input, is_assignment, size};

/// The factory that makes them.
pub const FACTORY: &str = "container";
/// The words that run one.
pub const RUN: &str =
    "container run [-d|-it] [--rm] [--name N] [-m SIZE] [-e A=B] IMAGE [COMMAND...]";
/// The other ones, in short.
pub const OTHERS: &str = "container list|exec|logs|inspect|kill|wait|rm|stats";
/// All of them.
pub const ALL: &str = "container run|list|exec|logs|inspect|kill|wait|rm|stats";
const EXEC: &str = "container exec [-it] [-e NAME=VALUE] [-w FOLDER] NAME COMMAND...";
const KILL: &str = "container kill [-s SIGNAL] NAME...";
const REMOVE: &str = "container rm [-f] NAME...";
const WAIT: &str = "container wait NAME";
const LOGS: &str = "container logs NAME";
const INSPECT: &str = "container inspect NAME";

/// Signals by name (signal(7)), from number 1 on.
const SIGNALS: &[&str] = &[
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];
/// The signal that ends what handles nothing.
pub(crate) const SIGKILL: u8 = 9;

/// A container that is to be run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Run {
    /// Its name in the file tree.
    pub image: String,
    /// A command in the place of its own, if there are any.
    pub arguments: Vec<String>,
    /// `NAME=value` each.
    pub environment: Vec<String>,
    /// Bytes that it may cost in all; 0: what its description says.
    pub memory: u64,
    /// What it shall be called.
    pub name: Option<String>,
    /// Whether it goes on in the background.
    pub detached: bool,
    /// Whether nothing is kept of it when it has ended.
    pub removed: bool,
    /// Whether what is typed is its input.
    pub input: bool,
    /// Whether its streams are a terminal.
    pub terminal: bool,
}

/// A command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Makes and starts one.
    Run(Run),
    /// All that there are.
    List,
    /// Runs a program in one.
    Exec {
        /// Which.
        name: String,
        /// The program and its arguments.
        arguments: Vec<String>,
        /// `NAME=value` each.
        environment: Vec<String>,
        /// Where; empty: where the container's own begins.
        cwd: String,
        /// What becomes of what is typed, if it is its input.
        input: Option<Input>,
    },
    /// What one has printed.
    Logs(String),
    /// The state of one.
    Inspect(String),
    /// Sends a signal.
    Kill {
        /// To the first process of these.
        names: Vec<String>,
        /// Its number.
        signal: u8,
    },
    /// Waits for the end of one.
    Wait(String),
    /// Forgets some that have ended.
    Remove {
        /// Which.
        names: Vec<String>,
        /// Whether they are ended first.
        force: bool,
    },
    /// What each costs.
    Stats,
}

/// The number of a signal, by number or name.
fn signal(text: &str) -> Option<u8> {
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let by_name = SIGNALS.iter().position(|known| *known == name);
    match text.parse() {
        Ok(number) if (1..=64).contains(&number) => Some(number),
        Ok(_) => None,
        Err(_) => by_name.map(|index| index as u8 + 1),
    }
}

/// Words that begin with `-`, up to the first that does not.
struct Options<'a> {
    words: &'a [String],
    usage: &'static str,
}

impl<'a> Options<'a> {
    /// The next option: its name, and its value if it came with one (`--name=value`).
    fn next(&mut self) -> Option<(&'a str, Option<&'a str>)> {
        let (first, rest) = self.words.split_first()?;
        if !first.starts_with('-') {
            return None;
        }
        self.words = rest;
        Some(match first.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value)),
            _ => (first, None),
        })
    }

    /// The value of an option: what came with it, or the next word.
    fn value(&mut self, given: Option<&'a str>) -> Result<&'a str, CommandError> {
        if let Some(value) = given {
            return Ok(value);
        }
        let (first, rest) = self.words.split_first().ok_or(self.wrong())?;
        self.words = rest;
        Ok(first)
    }

    /// The same for what sets a variable.
    fn variable(&mut self, given: Option<&'a str>) -> Result<String, CommandError> {
        let value = self.value(given)?;
        match is_assignment(value) {
            true => Ok(value.to_string()),
            false => Err(self.wrong()),
        }
    }

    const fn wrong(&self) -> CommandError {
        CommandError::Usage(self.usage)
    }
}

impl Command {
    /// Reads the words behind `container`.
    ///
    /// # Errors
    /// What would be right.
    pub fn parse(words: &[String]) -> Result<Self, CommandError> {
        let (verb, words) = words.split_first().ok_or(CommandError::Usage(ALL))?;
        let one = |usage| match words {
            [name] if !name.starts_with('-') => Ok(name.clone()),
            _ => Err(CommandError::Usage(usage)),
        };
        match verb.as_str() {
            "run" => run(words),
            "list" | "ls" | "ps" if words.is_empty() => Ok(Self::List),
            "stats" if words.is_empty() => Ok(Self::Stats),
            "exec" => exec(words),
            "logs" => one(LOGS).map(Self::Logs),
            "inspect" => one(INSPECT).map(Self::Inspect),
            "wait" => one(WAIT).map(Self::Wait),
            "kill" => kill(words),
            "rm" => remove(words),
            _ => Err(CommandError::Usage(ALL)),
        }
    }
}

fn run(words: &[String]) -> Result<Command, CommandError> {
    let mut options = Options { words, usage: RUN };
    let mut run = Run::default();
    while let Some((option, given)) = options.next() {
        match (option, given) {
            ("-d" | "--detach", None) => run.detached = true,
            ("--rm", None) => run.removed = true,
            ("-i" | "--interactive", None) => run.input = true,
            ("-t" | "--tty", None) => run.terminal = true,
            ("-it" | "-ti", None) => (run.input, run.terminal) = (true, true),
            ("--name", given) => run.name = Some(options.value(given)?.to_string()),
            ("-m" | "--memory", given) => run.memory = size(options.value(given)?)?,
            ("-e" | "--env", given) => run.environment.push(options.variable(given)?),
            _ => return Err(options.wrong()),
        }
    }
    // Nobody can come back to it later.
    if run.detached && (run.input || run.terminal) {
        return Err(options.wrong());
    }
    let (image, arguments) = options.words.split_first().ok_or(options.wrong())?;
    run.image = image.clone();
    run.arguments = arguments.to_vec();
    Ok(Command::Run(run))
}

fn exec(words: &[String]) -> Result<Command, CommandError> {
    let mut options = Options { words, usage: EXEC };
    let (mut environment, mut cwd, mut input) = (Vec::new(), String::new(), None);
    while let Some((option, given)) = options.next() {
        match option {
            "-i" | "--interactive" if given.is_none() => input = input.or(Some(Input::Lines)),
            "-t" | "--tty" | "-it" | "-ti" if given.is_none() => input = Some(Input::Raw),
            "-e" | "--env" => environment.push(options.variable(given)?),
            "-w" | "--workdir" => cwd = options.value(given)?.to_string(),
            _ => return Err(options.wrong()),
        }
    }
    match options.words {
        [name, arguments @ ..] if !arguments.is_empty() => Ok(Command::Exec {
            name: name.clone(),
            arguments: arguments.to_vec(),
            environment,
            cwd,
            input,
        }),
        _ => Err(options.wrong()),
    }
}

fn kill(words: &[String]) -> Result<Command, CommandError> {
    let mut options = Options { words, usage: KILL };
    let mut number = SIGKILL;
    while let Some((option, given)) = options.next() {
        match option {
            "-s" | "--signal" => {
                number = signal(options.value(given)?).ok_or(options.wrong())?;
            }
            _ => return Err(options.wrong()),
        }
    }
    match options.words {
        [] => Err(options.wrong()),
        names => Ok(Command::Kill {
            names: names.to_vec(),
            signal: number,
        }),
    }
}

fn remove(words: &[String]) -> Result<Command, CommandError> {
    let mut options = Options {
        words,
        usage: REMOVE,
    };
    let mut force = false;
    while let Some((option, given)) = options.next() {
        match (option, given) {
            ("-f" | "--force", None) => force = true,
            _ => return Err(options.wrong()),
        }
    }
    match options.words {
        [] => Err(options.wrong()),
        names => Ok(Command::Remove {
            names: names.to_vec(),
            force,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(line: &str) -> Result<Command, CommandError> {
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        Command::parse(&words)
    }

    proptest! {
        #[test]
        fn any_words_are_a_command_or_an_error(words in proptest::collection::vec("[-a-z=]{0,8}", 0..6)) {
            let words: Vec<_> = words.into_iter().collect();
            let _ = Command::parse(&words);
        }
    }

    #[test]
    fn run_takes_dockers_options() {
        let line = "run -d --rm --name=web -m 8M -e A=1 --env B=2 busybox ls -l";
        let Ok(Command::Run(run)) = parse(line) else {
            panic!("{line}");
        };
        assert!(run.detached && run.removed);
        assert_eq!(run.name.as_deref(), Some("web"));
        assert_eq!((&*run.image, run.memory), ("busybox", 8 << 20));
        assert_eq!(run.environment, ["A=1", "B=2"]);
        // What comes behind the image is the command's.
        assert_eq!(run.arguments, ["ls", "-l"]);
    }

    #[test]
    fn a_program_in_a_container_has_options_of_its_own() {
        let line = "exec -w /tmp -i -e A=1 web sh -c id";
        let Ok(Command::Exec {
            name,
            arguments,
            environment,
            cwd,
            input,
        }) = parse(line)
        else {
            panic!("{line}");
        };
        assert_eq!((&*name, &*cwd, input), ("web", "/tmp", Some(Input::Lines)));
        assert_eq!(
            (arguments, environment),
            (
                vec!["sh".into(), "-c".into(), "id".into()],
                vec!["A=1".into()]
            )
        );
    }

    #[test]
    fn a_program_in_a_container_may_have_a_terminal() {
        for (options, expected) in [
            ("", None),
            ("-i", Some(Input::Lines)),
            ("-t", Some(Input::Raw)),
            ("-it", Some(Input::Raw)),
            ("-ti", Some(Input::Raw)),
            ("-t -i", Some(Input::Raw)),
            ("-i -t", Some(Input::Raw)),
        ] {
            let Ok(Command::Exec { input, .. }) = parse(&format!("exec {options} web sh")) else {
                panic!("{options}");
            };
            assert_eq!(input, expected, "{options}");
        }
    }

    #[test]
    fn input_and_a_terminal_are_asked_for_as_in_docker() {
        for (line, input, terminal) in [
            ("run -i box", true, false),
            ("run -t box", false, true),
            ("run -it box sh", true, true),
            ("run --tty --interactive box", true, true),
            ("run box", false, false),
        ] {
            let Ok(Command::Run(run)) = parse(line) else {
                panic!("{line}");
            };
            assert_eq!((run.input, run.terminal), (input, terminal), "{line}");
        }
    }

    #[test]
    fn signals_have_names_and_numbers() {
        for (text, number) in [
            ("TERM", Some(15)),
            ("SIGKILL", Some(9)),
            ("int", Some(2)),
            ("64", Some(64)),
            ("0", None),
            ("65", None),
            ("NONE", None),
        ] {
            assert_eq!(signal(text), number, "{text}");
        }
        let Ok(Command::Kill { names, signal }) = parse("kill a b") else {
            panic!();
        };
        assert_eq!((names.len(), signal), (2, SIGKILL));
    }

    #[test]
    fn what_is_missing_or_unknown_is_said() {
        for (line, usage) in [
            ("", ALL),
            ("frobnicate", ALL),
            ("run", RUN),
            ("run -d -it busybox", RUN),
            ("exec -x web sh", EXEC),
            ("run --name", RUN),
            ("run -e x busybox", RUN),
            ("exec web", EXEC),
            ("kill", KILL),
            ("kill -s x web", KILL),
            ("rm -f", REMOVE),
            ("logs", LOGS),
            ("logs -f", LOGS),
            ("wait", WAIT),
            ("inspect a b", INSPECT),
        ] {
            assert_eq!(parse(line), Err(CommandError::Usage(usage)), "{line}");
        }
    }
}
