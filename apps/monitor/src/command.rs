// SPDX-License-Identifier: BSD-2-Clause
//! What can be typed.

use alloc::string::{String, ToString};

use xos_container_line as container;
use xos_container_line::{is_assignment, size};

use crate::Start;

/// Bytes that a program may cost in all, unless `-m` says otherwise: room for a few threads, for
/// small programs that it starts itself, or for a virtine on a virtual processor.
pub const DEFAULT_MEMORY: u64 = 8 << 20;
/// The factory of which the default is its own: a machine's memory is another matter than a program's.
const MACHINES: &str = "vm";

/// A command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Nothing, or a comment.
    Nothing,
    /// What can be typed.
    Help,
    /// All ICs.
    List,
    /// One IC, by the number that `list` shows.
    Stat(u64),
    /// Starts a program.
    Run {
        /// What.
        start: Start,
        /// Whether the prompt comes back at once.
        background: bool,
    },
    /// Ends an IC.
    Kill(u64),
    /// Freezes a program in the background, for good.
    Snapshot(u64),
    /// Starts a clone of one that was frozen.
    Clone {
        /// Of which.
        of: u64,
        /// Whether the prompt comes back at once.
        background: bool,
    },
    /// Who has to do with whom, in the DOT language; or, of two ICs, what they have in common, in words.
    Graph(Option<(u64, u64)>),
    /// Ends what two ICs have in common.
    Revoke(u64, u64),
    /// Starts a program that makes ICs, in the background.
    Factory(Start),
    /// The factories and their contracts.
    Factories,
    /// What is left.
    Free,
    /// Something about containers.
    Container(container::Command),
    /// The demonstration.
    Demo,
    /// Waits so many milliseconds.
    Sleep(u64),
    /// Stops the machine.
    PowerOff {
        /// What the simulator says to its caller.
        success: bool,
    },
}

/// What `help` prints: the words of each command, and what it does.
pub const HELP: &[(&str, &str)] = &[
    ("help", "this list"),
    (
        "list",
        "all isolation contexts: kind, name, state, owner, memory",
    ),
    ("stat ID", "one of them"),
    (
        "run [-m SIZE] FACTORY [NAME=VALUE...] IMAGE [ARG...] [&]",
        "runs a program; Ctrl-C ends it, & puts it into the background",
    ),
    ("kill ID", "ends an isolation context and all it pays for"),
    (
        "snapshot ID",
        "freezes a program in the background, for good",
    ),
    (
        "clone ID [&]",
        "runs a clone of one that was frozen, from where it stands",
    ),
    (container::RUN, "runs a container; -d: in the background"),
    (container::OTHERS, "what there is, as docker has it"),
    (
        "factory [-m SIZE] [NAME=VALUE...] IMAGE [ARG...]",
        "starts a program that makes isolation contexts itself",
    ),
    (
        "graph",
        "who has to do with whom, in the DOT language of Graphviz",
    ),
    (
        "graph ID ID",
        "what two have in common, and through whom they could talk",
    ),
    (
        "revoke ID ID",
        "ends all sessions and shared memory between two",
    ),
    (
        "factories",
        "the kinds that can be run, and their contracts",
    ),
    ("free", "memory and capability slots that are left"),
    ("demo", "the demonstration that is shown at boot"),
    ("sleep MS", "waits so many milliseconds"),
    (
        "PROGRAM [ARG...]",
        "any other word is a Linux program; `sh` is a shell",
    ),
    (
        "poweroff [CODE]",
        "stops the machine; with a CODE other than 0 it reports failure",
    ),
];

/// Why a line is no command.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CommandError {
    /// A quote without its end.
    #[error("a quotation mark has no partner; close it, or put \\ before it")]
    Quotes,
    /// No such command.
    #[error("no command `{0}`, and no Linux programs in the file tree; type `help` for a list")]
    Unknown(String),
    /// Too few or too many words.
    #[error("usage: {0}")]
    Usage(&'static str),
    /// Not a number.
    #[error("`{0}` is no number; `list` shows the number of each isolation context")]
    Number(String),
    /// Of words that others know.
    #[error(transparent)]
    Words(#[from] container::CommandError),
}

/// The words of the command that begins with `name`.
fn usage(name: &str) -> CommandError {
    let words = HELP.iter().map(|(words, _)| *words);
    let mut of_name = words.filter(|words| words.split(' ').next() == Some(name));
    CommandError::Usage(of_name.next().unwrap_or("help"))
}

pub(crate) fn number(text: &str) -> Result<u64, CommandError> {
    text.parse()
        .map_err(|_| CommandError::Number(text.to_string()))
}

/// Bytes that a factory may cost in all, unless `-m` says otherwise: its tables, beside what a program needs.
pub const FACTORY_MEMORY: u64 = 8 << 20;

fn factory(words: &[String]) -> Result<Command, CommandError> {
    // The words of `run`, with the factory's factory filled in.
    let at = match words {
        [flag] if flag == "-m" => return Err(usage("factory")),
        [flag, ..] if flag == "-m" => 2,
        _ => 0,
    };
    let mut all = words.to_vec();
    all.insert(at, String::from("process"));
    match run(&all, true) {
        Ok(Command::Run { mut start, .. }) => {
            start.composes = true;
            if at == 0 {
                start.memory = FACTORY_MEMORY;
            }
            Ok(Command::Factory(start))
        }
        Err(CommandError::Usage(_)) => Err(usage("factory")),
        other => other,
    }
}

fn run(words: &[String], background: bool) -> Result<Command, CommandError> {
    let mut words = words;
    let mut limit = None;
    if let [flag, value, rest @ ..] = words
        && flag == "-m"
    {
        limit = Some(size(value)?);
        words = rest;
    }
    let [factory, words @ ..] = words else {
        return Err(usage("run"));
    };
    let memory = limit.unwrap_or(match factory == MACHINES {
        true => 0,
        false => DEFAULT_MEMORY,
    });
    let variables = words.iter().take_while(|word| is_assignment(word)).count();
    let (environment, words) = words.split_at(variables);
    let [image, arguments @ ..] = words else {
        return Err(usage("run"));
    };
    let start = Start {
        factory: factory.clone(),
        image: image.clone(),
        arguments: arguments.to_vec(),
        environment: environment.to_vec(),
        memory,
        composes: false,
    };
    if factory == container::FACTORY {
        // What it prints is the affair of its log, and its memory that of its description.
        return Ok(Command::Container(container::Command::Run(
            container::Run {
                image: start.image,
                arguments: start.arguments,
                environment: start.environment,
                memory: limit.unwrap_or(0),
                name: None,
                detached: background,
                removed: true,
                input: false,
                terminal: false,
            },
        )));
    }
    Ok(Command::Run { start, background })
}

/// The commands in a line: apart by `;`, but for one in quotes or behind a `\\`.
pub fn commands(line: &str) -> impl Iterator<Item = &str> {
    let (mut quote, mut escaped) = (None, false);
    line.split(move |c| {
        let was_escaped = core::mem::take(&mut escaped);
        match (quote, c) {
            _ if was_escaped => false,
            (Some('\''), '\'') | (Some('"'), '"') => {
                quote = None;
                false
            }
            (None, '\'' | '"') => {
                quote = Some(c);
                false
            }
            (None | Some('"'), '\\') => {
                escaped = true;
                false
            }
            (None, ';') => true,
            _ => false,
        }
    })
}

/// What runs programs that nobody here compiled: not a factory but a server, which the monitor starts for
/// each command, by the process factory.
pub const LINUX: &str = "linux";

impl Command {
    /// A line whose first word is no command of the monitor's: a Linux program and its arguments.
    pub fn linux(line: &str) -> Result<Self, CommandError> {
        let mut words = alloc::vec![LINUX.to_string()];
        words.extend(shlex::split(line).ok_or(CommandError::Quotes)?);
        // Whether something is in the background is the affair of a shell that is started.
        let (head, arguments) = words.split_at(2.min(words.len()));
        let [factory, image] = head else {
            return Ok(Self::Nothing);
        };
        Ok(Self::Run {
            start: Start {
                factory: factory.clone(),
                image: image.clone(),
                arguments: arguments.to_vec(),
                memory: 0,
                ..Start::default()
            },
            background: false,
        })
    }

    /// Reads a line: words apart by blanks, quotes and `\` as in a POSIX shell, `#` for a comment.
    pub fn parse(line: &str) -> Result<Self, CommandError> {
        let line = line.trim_end();
        // An `&` in quotes or behind a `\` is a letter like any other.
        let (line, background) = match line.strip_suffix('&') {
            Some(rest) if !rest.ends_with('\\') => (rest, true),
            _ => (line, false),
        };
        let words = shlex::split(line).ok_or(CommandError::Quotes)?;
        let Some((name, words)) = words.split_first() else {
            return Ok(Self::Nothing);
        };
        let command = match (name.as_str(), words) {
            ("run", words) => return run(words, background),
            ("container", words) => Self::Container(container::Command::parse(words)?),
            ("help", []) => Self::Help,
            ("list", []) => Self::List,
            ("stat", [id]) => Self::Stat(number(id)?),
            ("kill", [id]) => Self::Kill(number(id)?),
            ("snapshot", [id]) => Self::Snapshot(number(id)?),
            ("clone", [id]) => {
                let of = number(id)?;
                return Ok(Self::Clone { of, background });
            }
            ("graph", []) => Self::Graph(None),
            ("graph", [one, other]) => Self::Graph(Some((number(one)?, number(other)?))),
            ("revoke", [one, other]) => Self::Revoke(number(one)?, number(other)?),
            ("factory", words) => factory(words)?,
            ("factories", []) => Self::Factories,
            ("free", []) => Self::Free,
            ("demo", []) => Self::Demo,
            ("sleep", [time]) => Self::Sleep(number(time)?),
            ("poweroff", []) => Self::PowerOff { success: true },
            ("poweroff", [code]) => Self::PowerOff {
                success: number(code)? == 0,
            },
            (name, _) => {
                return Err(
                    if HELP
                        .iter()
                        .any(|(words, _)| words.split(' ').next() == Some(name))
                    {
                        usage(name)
                    } else {
                        CommandError::Unknown(name.to_string())
                    },
                );
            }
        };
        if background {
            return Err(CommandError::Usage("only `run` and `clone` take &"));
        }
        Ok(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(line: &str) -> (Start, bool) {
        match Command::parse(line) {
            Ok(Command::Run { start, background }) => (start, background),
            other => panic!("{line}: {other:?}"),
        }
    }

    proptest! {
        #[test]
        fn any_line_is_a_command_or_an_error(line: String) {
            let _ = Command::parse(&line);
        }

        #[test]
        fn any_arguments_arrive_as_they_were_quoted(arguments in proptest::collection::vec("[^\0]{0,12}", 0..5)) {
            let mut words = vec!["run", "process", "hello"];
            words.extend(arguments.iter().map(String::as_str));
            let (start, background) = run(&shlex::try_join(words).unwrap());
            prop_assert_eq!(start.arguments, arguments);
            prop_assert!(!background);
        }
    }

    #[test]
    fn run_takes_factory_image_and_arguments() {
        let (start, background) = run("run process hello a 'b c'");
        assert_eq!((&*start.factory, &*start.image), ("process", "hello"));
        assert_eq!(start.arguments, ["a", "b c"]);
        assert_eq!(start.memory, DEFAULT_MEMORY);
        assert!(!background && start.environment.is_empty());
    }

    #[test]
    fn run_takes_a_size_and_variables() {
        let (start, _) = run("run -m 8M process LANG=C x2=a=b hello c=d");
        assert_eq!(start.memory, 8 << 20);
        assert_eq!(run("run vm guest").0.memory, 0);
        assert_eq!(run("run -m 8M vm guest").0.memory, 8 << 20);
        assert_eq!(start.environment, ["LANG=C", "x2=a=b"]);
        assert_eq!(start.arguments, ["c=d"]);
    }

    #[test]
    fn a_factory_is_a_program_that_composes() {
        for (line, memory) in [
            ("factory X=1 lwc-factory a", FACTORY_MEMORY),
            ("factory -m 2M X=1 lwc-factory a", 2 << 20),
        ] {
            let Ok(Command::Factory(start)) = Command::parse(line) else {
                panic!("{line}");
            };
            assert_eq!((&*start.factory, &*start.image), ("process", "lwc-factory"));
            assert_eq!(
                (start.arguments, start.environment),
                (vec!["a".into()], vec!["X=1".into()])
            );
            assert_eq!((start.memory, start.composes), (memory, true));
        }
        for line in ["factory", "factory -m", "factory -m 2M"] {
            assert!(
                matches!(Command::parse(line), Err(CommandError::Usage(words)) if words.starts_with("factory")),
                "{line}"
            );
        }
    }

    #[test]
    fn a_semicolon_ends_a_command_unless_it_is_quoted() {
        let all = |line| commands(line).collect::<Vec<_>>();
        assert_eq!(all("list; free;"), ["list", " free", ""]);
        for line in [r"run p 'a;b'", r#"run p "a;\";b""#, r"run p a\;b"] {
            assert_eq!(all(line), [line]);
        }
    }

    #[test]
    fn a_linux_program_gets_its_arguments_as_they_were_quoted() {
        let Ok(Command::Run { start, background }) = Command::linux("sh -c 'echo a | cat &'")
        else {
            panic!();
        };
        assert_eq!((&*start.factory, &*start.image), (LINUX, "sh"));
        assert_eq!(start.arguments, ["-c", "echo a | cat &"]);
        assert!(!background);
        assert_eq!(Command::linux(" "), Ok(Command::Nothing));
    }

    #[test]
    fn an_ampersand_at_the_end_means_background() {
        assert!(run("run process hello a &").1);
        assert!(run("run process hello a& ").1);
        for line in ["run process hello '&'", r"run process hello \&"] {
            let (start, background) = run(line);
            assert_eq!((start.arguments, background), (vec!["&".into()], false));
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        assert_eq!(
            Command::parse("run process"),
            Err(CommandError::Usage(HELP[3].0))
        );
        assert_eq!(Command::parse("stat"), Err(CommandError::Usage("stat ID")));
        assert_eq!(
            Command::parse("stat x"),
            Err(CommandError::Number("x".into()))
        );
        assert_eq!(
            Command::parse("frob"),
            Err(CommandError::Unknown("frob".into()))
        );
        assert_eq!(Command::parse("run 'x"), Err(CommandError::Quotes));
        for text in ["", "M", "-1", "1T", "99999999999G"] {
            let line = format!("run -m '{text}' process hello");
            assert_eq!(
                Command::parse(&line),
                Err(container::CommandError::Size(text.into()).into()),
                "{line}"
            );
        }
    }

    #[test]
    fn every_command_of_the_list_is_understood() {
        for (words, _) in HELP {
            let line = words
                .replace(
                    "factory [-m SIZE] [NAME=VALUE...] IMAGE [ARG...]",
                    "factory x",
                )
                .replace("FACTORY", "process")
                .replace("MS", "1")
                .replace("ID", "1")
                .replace(
                    " [-m SIZE] process [NAME=VALUE...] IMAGE [ARG...] [&]",
                    " process hello",
                )
                .replace(" [&]", "")
                .replace(" [CODE]", " 3");
            if words.starts_with("PROGRAM") || words.starts_with("container") {
                continue;
            }
            assert!(Command::parse(&line).is_ok(), "{line}");
        }
    }

    #[test]
    fn empty_lines_and_comments_are_nothing() {
        for line in ["", "   ", "# list"] {
            assert_eq!(Command::parse(line), Ok(Command::Nothing));
        }
    }
}
