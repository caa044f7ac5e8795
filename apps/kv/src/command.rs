// SPDX-License-Identifier: BSD-2-Clause
//! What the program is told to do.

/// How it is used.
pub const USAGE: &str = "usage: kv [--at NAME] [COMMAND]\n\
    \n  serve          serves until it is killed\
    \n  put KEY VALUE  sets a value\
    \n  get KEY        prints it\
    \n  delete KEY     removes it\
    \n  usage          prints how the server is used\
    \n  client NUMBER  works with entries of its own, and tries those of others\
    \n  vandal         sends messages that make no sense\
    \n\nWithout a command: starts a server and some clients, and shows what comes of it.";

/// The name of a server when nobody says another.
pub const DEFAULT_NAME: &str = "kv";

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command<'a> {
    /// Starts all the others.
    Demonstrate,
    /// Is the server.
    Serve,
    /// Sets a value.
    Put(&'a str, &'a str),
    /// Prints a value.
    Get(&'a str),
    /// Removes an entry.
    Delete(&'a str),
    /// Prints how the server is used.
    Usage,
    /// Is a client that behaves.
    Client(u32),
    /// Is a client that does not.
    Vandal,
}

/// Reads the arguments, of which the program's own name is not one: the name of the server, and what to
/// do. `None` when they make no sense.
pub fn parse<'a>(
    mut arguments: impl Iterator<Item = &'a str> + Clone,
) -> Option<(&'a str, Command<'a>)> {
    let mut name = DEFAULT_NAME;
    let mut rest = arguments.clone();
    if arguments.next() == Some("--at") {
        name = arguments.next().filter(|name| !name.is_empty())?;
        rest = arguments;
    }
    let Some(command) = rest.next() else {
        return Some((name, Command::Demonstrate));
    };
    let command = match command {
        "serve" => Command::Serve,
        "put" => Command::Put(rest.next()?, rest.next()?),
        "get" => Command::Get(rest.next()?),
        "delete" => Command::Delete(rest.next()?),
        "usage" => Command::Usage,
        "client" => Command::Client(rest.next()?.parse().ok()?),
        "vandal" => Command::Vandal,
        _ => return None,
    };
    rest.next().is_none().then_some((name, command))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &'static str) -> Option<(&'static str, Command<'static>)> {
        parse(line.split_whitespace())
    }

    #[test]
    fn a_command_has_the_words_that_it_needs_and_no_more() {
        assert_eq!(parsed(""), Some(("kv", Command::Demonstrate)));
        assert_eq!(parsed("put a b"), Some(("kv", Command::Put("a", "b"))));
        assert_eq!(parsed("client 3"), Some(("kv", Command::Client(3))));
        for line in ["put a", "get", "get a b", "client x", "frob", "serve now"] {
            assert_eq!(parsed(line), None, "{line}");
        }
    }

    #[test]
    fn a_server_can_have_another_name() {
        assert_eq!(parsed("--at x serve"), Some(("x", Command::Serve)));
        assert_eq!(parsed("--at x"), Some(("x", Command::Demonstrate)));
        assert_eq!(parsed("--at"), None);
        assert_eq!(parse(["--at", "", "serve"].into_iter()), None);
    }

    #[test]
    fn every_command_is_in_the_usage() {
        for line in USAGE.lines().filter_map(|line| line.strip_prefix("  ")) {
            let words = line.split("  ").next().unwrap();
            let words = words.replace("NUMBER", "1");
            assert!(parse(words.split(' ')).is_some(), "{words}");
        }
    }
}
