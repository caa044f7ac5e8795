// SPDX-License-Identifier: BSD-2-Clause

use std::cell::RefCell;
use std::string::String;
use std::vec;
use std::vec::Vec;

use process_factory::images::FILL_ADDRESS;
use proptest::prelude::*;
use xos_container::{
    Capabilities, CapabilitySets, Container, Digest, Limits, List, Mount, MountFlags, MountKind,
    Process, Root, Setup, Span, User,
};
use xos_protocol::container::{Command, GRANTS, Log, Request, ServerOp, Stream, Streams};
use xos_protocol::factory::{HandleOp, SelfOp, SessionOp, Spec};
use xos_protocol::manager::{Op, Payer, RegionCreate, Rights, Share};
use xos_protocol::wire::{self, MAX_WORDS};
use xos_protocol::{Contract, Error, ExitStatus, IcId, Result, Subject, Who};
use xos_server::factory::{Factory, FactoryServer, Maker, Member, Needs};
use xos_server::fake::{Bench, Came, FakeManager};
use xos_server::{Manager, Space};

use crate::factory::{ContainerFactory, DEFAULT_MEMORY, Memory, ROOT_ADDRESS, SERVER};

mod input;

const CLIENT: Who = Who::Session(3);
/// Where regions are granted.
const AT: u64 = GRANTS.start;

/// What the factory of programs was asked, and memory that was filled.
#[derive(Default)]
struct State {
    /// Image, memory, ICs of each program.
    made: Vec<(String, u64, u16)>,
    started: Vec<IcId>,
    gone: Vec<IcId>,
    filled: Vec<(u64, usize)>,
    refuses: Option<Error>,
}

struct Programs<'t>(&'t RefCell<State>);

impl Factory for Programs<'_> {
    type Ic = u8;

    fn describe(&self) -> Contract {
        unreachable!("a container's contract is its own")
    }

    fn create(&mut self, maker: &mut Maker<'_>, spec: &Spec<'_>) -> Result<u8> {
        let mut state = self.0.borrow_mut();
        assert!(spec.composes);
        maker.create(&Needs::default())?;
        state.made.push((spec.image.into(), spec.memory, spec.ics));
        state.refuses.take().map_or(Ok(7), Err)
    }

    fn start(&mut self, ic: Member<'_, u8>) -> Result<()> {
        assert_eq!(*ic.data, 7);
        self.0.borrow_mut().started.push(ic.id);
        Ok(())
    }

    fn arguments(&mut self, _: Member<'_, u8>) -> Result<(u64, u64)> {
        Ok((1, 2))
    }

    fn gone(&mut self, id: IcId, data: u8) {
        assert_eq!(data, 7);
        self.0.borrow_mut().gone.push(id);
    }
}

impl Memory for &RefCell<State> {
    fn fill(&mut self, address: u64, bytes: &[u8]) {
        self.borrow_mut().filled.push((address, bytes.len()));
    }
}

fn container(digest: Digest) -> Container<'static> {
    let mount = |target, kind| Mount {
        target,
        kind,
        flags: MountFlags::empty(),
    };
    Container {
        root: Root {
            image: digest,
            read_only: false,
        },
        process: Process {
            arguments: List("/bin/sh\0-c\0true\0"),
            entrypoint: 1,
            environment: List("A=0\0"),
            cwd: "/",
            user: User::default(),
            terminal: false,
            capabilities: CapabilitySets {
                bounding: Capabilities::KILL,
                ..CapabilitySets::default()
            },
            no_new_privileges: true,
            rlimits: heapless::Vec::new(),
        },
        hostname: "",
        domainname: "",
        mounts: heapless::Vec::from_slice(&[
            mount("/proc", MountKind::Proc),
            mount("/data", MountKind::Region("data")),
        ])
        .unwrap(),
        masked_paths: List(""),
        readonly_paths: List(""),
        limits: Limits::default(),
        stop_signal: 15,
    }
}

/// A file tree with containers `one` and `two` of one image, `other` of another, `small` with limits,
/// `lost` whose image is missing and `bad` that is none.
fn files() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |path: &str, data: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        header.set_path(path).unwrap();
        header.set_cksum();
        tar.append(&header, data).unwrap();
    };
    let digests = [1, 2, 3].map(|i| Digest([i; 32]));
    let mut describe = |name: &str, container: &Container<'_>| {
        let mut bytes = [0; 4096];
        add(
            &format!("containers/{name}"),
            container.write(&mut bytes).unwrap(),
        );
    };
    describe("one", &container(digests[0]));
    describe("two", &container(digests[0]));
    describe("other", &container(digests[1]));
    describe("lost", &container(digests[2]));
    let mut small = container(digests[0]);
    small.limits = Limits {
        memory: Some(1 << 20),
        pids: Some(5),
    };
    describe("small", &small);
    add("containers/bad", b"not a description");
    add(&format!("images/{}.tar", digests[0]), &[1; 3000]);
    add(&format!("images/{}.tar", digests[1]), &vec![2; 3 << 20]);
    tar.into_inner().unwrap()
}

/// Containers at a time; half of them for one client.
const MAX: usize = 8;

type Server<'t> = FactoryServer<
    ContainerFactory<'t, Programs<'t>, &'t RefCell<State>, MAX, &'t FakeManager>,
    MAX,
    &'t FakeManager,
>;

struct Test<'t> {
    bench: Bench<Server<'t>>,
    manager: &'t FakeManager,
    state: &'t RefCell<State>,
}

/// Stack of a test, in bytes: a factory, which is made for a static, is built there and moved.
const STACK: usize = 16 << 20;

/// Runs a test with a factory.
fn with(test: impl FnOnce(Test<'_>) + Send) {
    std::thread::scope(|scope| {
        let run = std::thread::Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, || with_factory(test));
        if let Err(panic) = run.unwrap().join() {
            std::panic::resume_unwind(panic);
        }
    });
}

fn with_factory(test: impl FnOnce(Test<'_>)) {
    let (state, manager, files) = (RefCell::default(), FakeManager::default(), files());
    let client = Manager::new(&manager);
    let factory = ContainerFactory::new(Programs(&state), &state, client);
    let mut server = FactoryServer::new(factory, client, Space::DOMAIN);
    server
        .factory()
        .set_files(process_factory::files::Files::new(&files).unwrap());
    test(Test {
        bench: Bench::new(server, 32),
        manager: &manager,
        state: &state,
    });
}

/// What came, if it is an answer.
fn answer(came: Came) -> Result<Vec<u64>> {
    match came {
        Came::Answer(told) => told,
        other => panic!("{other:?}"),
    }
}

/// The bytes of a counted reply.
fn bytes(words: &[u64]) -> Vec<u8> {
    let all: Vec<u8> = words[1..]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    all[..words[0] as usize].to_vec()
}

fn word(words: &[u64]) -> u64 {
    u64::from_le_bytes(bytes(words).try_into().unwrap())
}

impl Test<'_> {
    fn create_with(&mut self, spec: &Spec<'_>) -> Result<IcId> {
        let mut words = [0; MAX_WORDS];
        words[0] = 20;
        let used = wire::encode(spec, &mut words[1..]).unwrap();
        let came = self
            .bench
            .call(CLIENT, SessionOp::Create.label(), &words[..1 + used]);
        answer(came).map(|words| IcId::from_word(words[0]))
    }

    fn create(&mut self, name: &str) -> Result<IcId> {
        self.create_with(&Spec {
            image: name,
            ..Spec::default()
        })
    }

    fn running(&mut self, name: &str) -> IcId {
        let id = self.create(name).unwrap();
        assert_eq!(self.ask(id, HandleOp::Start), Came::Answer(Ok(vec![])));
        id
    }

    fn ask(&mut self, id: IcId, op: HandleOp) -> Came {
        self.bench.call(Who::Handle(id.index()), op.label(), &[])
    }

    /// The holder of the handle asks.
    fn holder(&mut self, id: IcId, request: &Request<'_>) -> Came {
        self.holder_bytes(id, &postcard::to_allocvec(request).unwrap())
    }

    fn holder_bytes(&mut self, id: IcId, bytes: &[u8]) -> Came {
        let mut words = [0; MAX_WORDS];
        words[0] = bytes.len() as u64;
        let used = wire::put_bytes(&mut words[1..], bytes).unwrap();
        let who = Who::Handle(id.index());
        self.bench
            .call(who, HandleOp::Invoke.label(), &words[..1 + used])
    }

    /// The server says something.
    fn server(&mut self, id: IcId, op: ServerOp, words: &[u64]) -> Came {
        self.bench.call(Who::Itself(id.index()), op.label(), words)
    }

    fn prints(&mut self, id: IcId, stream: Stream, text: &str) -> Came {
        self.prints_of(id, 0, stream, text)
    }

    fn prints_of(&mut self, id: IcId, of: u32, stream: Stream, text: &str) -> Came {
        let mut words = [0; MAX_WORDS];
        words[..3].copy_from_slice(&[text.len() as u64, stream as u64, of.into()]);
        let used = wire::put_bytes(&mut words[3..], text.as_bytes()).unwrap();
        self.server(id, ServerOp::Output, &words[..3 + used])
    }

    fn exits(&mut self, id: IcId, code: u64) {
        let came = self
            .bench
            .call(Who::Itself(id.index()), SelfOp::Exit.label(), &[code]);
        assert_eq!(came, Came::Nothing);
    }

    fn status(&mut self, id: IcId) -> String {
        let words = answer(self.holder(id, &Request::State)).unwrap();
        let state: serde_json::Value = serde_json::from_slice(&bytes(&words)).unwrap();
        state["status"].as_str().unwrap().into()
    }

    /// The setup, fetched in pieces as a server does.
    fn setup(&mut self, id: IcId) -> Vec<u8> {
        let mut setup = Vec::new();
        loop {
            let words = answer(self.server(id, ServerOp::Describe, &[setup.len() as u64])).unwrap();
            let rest = words[0] as usize - setup.len();
            let piece: Vec<u8> = words[1..]
                .iter()
                .flat_map(|word| word.to_le_bytes())
                .collect();
            setup.extend(&piece[..rest.min(piece.len())]);
            if setup.len() == words[0] as usize {
                return setup;
            }
        }
    }
}

/// Reads the log reply in these words and gives it to a test.
fn log<R>(words: &[u64], look: impl FnOnce(Log<'_>) -> R) -> R {
    look(postcard::from_bytes(&bytes(words)).unwrap())
}

const FROM_BEGIN: Request<'static> = Request::Log {
    from: 0,
    wait: false,
    of: 0,
};

#[test]
fn a_container_is_a_server_with_a_root_that_it_cannot_write() {
    with(|mut test| {
        let id = test.create("one").unwrap();
        assert_eq!(test.state.borrow().made[0].0, SERVER);
        assert_eq!(test.state.borrow().filled, [(FILL_ADDRESS, 3000)]);
        let shares: Vec<Share> = test
            .manager
            .asked()
            .into_iter()
            .filter(|(op, _)| *op == Op::Share)
            .map(|(_, words)| {
                Share::from_words([&words[..], &[0; 4]].concat()[..4].try_into().unwrap()).unwrap()
            })
            .collect();
        assert_eq!(
            (shares[0].target, shares[0].address),
            (Subject::Myself, FILL_ADDRESS)
        );
        assert_eq!(
            (shares[1].target, shares[1].address),
            (Subject::Ic(id), ROOT_ADDRESS)
        );
        assert_eq!(shares[1].rights, Rights::R);
    });
}

#[test]
fn containers_of_one_image_share_one_copy() {
    with(|mut test| {
        for name in ["one", "two", "one"] {
            test.create(name).unwrap();
        }
        assert_eq!(test.state.borrow().filled.len(), 1);
        test.create("other").unwrap();
        let regions: Vec<RegionCreate> = test
            .manager
            .asked()
            .into_iter()
            .filter(|(op, _)| *op == Op::RegionCreate)
            .map(|(_, words)| {
                RegionCreate::from_words([&words[..], &[0; 4]].concat()[..4].try_into().unwrap())
                    .unwrap()
            })
            .collect();
        let expected = |pages| RegionCreate {
            payer: Payer::Myself,
            pages,
            large: true,
            place: 0,
        };
        assert_eq!(regions, [expected(512), expected(1024)]);
    });
}

#[test]
fn what_is_no_container_is_refused_and_nothing_stays() {
    with(|mut test| {
        for (name, error) in [
            ("none", Error::NoImage),
            ("", Error::NoImage),
            ("../one", Error::NoImage),
            ("a/b", Error::NoImage),
            ("lost", Error::NoImage),
            ("bad", Error::BadImage),
        ] {
            assert_eq!(test.create(name), Err(error), "{name}");
        }
        let spec = |arguments, environment| Spec {
            image: "one",
            arguments,
            environment,
            ..Spec::default()
        };
        assert_eq!(
            test.create_with(&spec("", "no assignment\0")),
            Err(Error::Malformed)
        );
        assert!(test.manager.alive().is_empty());
        assert!(test.state.borrow().made.is_empty());
    });
}

#[test]
fn what_was_half_made_is_taken_back() {
    with(|mut test| {
        test.state.borrow_mut().refuses = Some(Error::OverBudget);
        assert_eq!(test.create("one"), Err(Error::OverBudget));
        // The second time, that of mapping the root into the container.
        test.manager.refuse(Op::Share, Error::NoMemory);
        assert_eq!(test.create("one"), Err(Error::NoMemory));
        assert!(test.manager.alive().is_empty());
        assert_eq!(test.state.borrow().gone.len(), 1);
        // All records are there again.
        for _ in 0..MAX / 2 {
            test.create("one").unwrap();
        }
        assert_eq!(test.create("one"), Err(Error::TableFull));
    });
}

#[test]
fn a_budget_is_the_smaller_of_what_is_described_and_what_is_asked() {
    with(|mut test| {
        let mut memory = |name, memory| {
            let id = test
                .create_with(&Spec {
                    image: name,
                    memory,
                    ..Spec::default()
                })
                .unwrap();
            test.ask(id, HandleOp::Kill);
            test.ask(id, HandleOp::Wait);
            test.state.borrow().made.last().unwrap().1
        };
        assert_eq!(memory("one", 0), DEFAULT_MEMORY);
        assert_eq!(memory("one", 1 << 30), 1 << 30);
        assert_eq!(memory("small", 0), 1 << 20);
        assert_eq!(memory("small", 1 << 30), 1 << 20);
        assert_eq!(memory("small", 1 << 18), 1 << 18);
        assert_eq!(test.state.borrow().made.last().unwrap().2, 5 + 16 + 2 * 5);
    });
}

#[test]
fn another_server_can_be_named() {
    with(|mut test| {
        test.create("mine:one").unwrap();
        assert_eq!(test.state.borrow().made[0].0, "mine");
    });
}

#[test]
fn a_life_is_created_running_stopped_gone() {
    with(|mut test| {
        let id = test.create("one").unwrap();
        assert_eq!(test.status(id), "created");
        test.ask(id, HandleOp::Start);
        assert_eq!(test.state.borrow().started, [id]);
        assert_eq!(test.status(id), "running");
        test.exits(id, 3);
        assert_eq!(test.status(id), "stopped");
        let words = ExitStatus::Code(3).words().to_vec();
        assert_eq!(test.ask(id, HandleOp::Wait), Came::Answer(Ok(words)));
        assert_eq!(
            test.holder(id, &Request::State),
            Came::Answer(Err(Error::Gone))
        );
        assert!(test.manager.alive().is_empty());
    });
}

#[test]
fn a_server_is_told_all_that_the_container_is() {
    with(|mut test| {
        let id = test
            .create_with(&Spec {
                image: "one",
                arguments: "echo\0hi\0",
                environment: "A=1\0",
                ..Spec::default()
            })
            .unwrap();
        let grant = Request::Grant {
            name: "data",
            address: AT,
            bytes: 100,
        };
        answer(test.holder(id, &grant)).unwrap();
        test.ask(id, HandleOp::Start);
        let bytes = test.setup(id);
        let setup = Setup::read(&bytes).unwrap();
        assert_eq!(
            setup.arguments().collect::<Vec<_>>(),
            ["/bin/sh", "echo", "hi"]
        );
        assert_eq!(setup.environment().collect::<Vec<_>>(), ["A=1"]);
        assert_eq!(setup.hostname(), "one");
        let root = Span {
            address: ROOT_ADDRESS,
            bytes: 3000,
        };
        assert_eq!(setup.root, root);
        assert_eq!(
            (setup.regions[0].name, setup.regions[0].span.bytes),
            ("data", 100)
        );
        let beyond = test.server(id, ServerOp::Describe, &[bytes.len() as u64 + 1]);
        assert_eq!(beyond, Came::Answer(Err(Error::Malformed)));
    });
}

#[test]
fn a_region_is_granted_once_under_a_name_that_is_mounted_before_the_start() {
    with(|mut test| {
        let id = test.create("one").unwrap();
        let mut grant = |name, address, bytes| {
            answer(test.holder(
                id,
                &Request::Grant {
                    name,
                    address,
                    bytes,
                },
            ))
        };
        assert_eq!(grant("other", AT, 1), Err(Error::NotFound));
        assert_eq!(grant("data", AT + 1, 1), Err(Error::BadAddress));
        assert_eq!(grant("data", AT, 0), Err(Error::BadAddress));
        // Where the server may have something of its own, or its root is.
        for (address, bytes) in [
            (0x1000, 1),
            (AT - 0x1000, 0x1001),
            (GRANTS.end - 0x1000, 0x1001),
        ] {
            assert_eq!(grant("data", address, bytes), Err(Error::BadAddress));
        }
        assert_eq!(grant("data", AT, u64::MAX), Err(Error::BadAddress));
        assert!(grant("data", AT, 1).is_ok());
        assert_eq!(grant("data", AT, 1), Err(Error::NameTaken));
        let late = test.running("two");
        let request = Request::Grant {
            name: "data",
            address: AT,
            bytes: 1,
        };
        assert_eq!(
            test.holder(late, &request),
            Came::Answer(Err(Error::BadState))
        );
    });
}

#[test]
fn output_is_kept_beyond_the_end() {
    with(|mut test| {
        let id = test.running("one");
        test.prints(id, Stream::Output, "out");
        test.prints(id, Stream::Error, "err");
        test.exits(id, 0);
        let words = answer(test.holder(id, &FROM_BEGIN)).unwrap();
        let next = log(&words, |log| {
            assert_eq!(
                (log.stream, log.bytes, log.end),
                (Stream::Output, &b"out"[..], false)
            );
            log.next
        });
        let words = answer(test.holder(
            id,
            &Request::Log {
                from: next,
                wait: true,
                of: 0,
            },
        ))
        .unwrap();
        let next = log(&words, |log| {
            assert_eq!((log.stream, log.bytes), (Stream::Error, &b"err"[..]));
            log.next
        });
        let words = answer(test.holder(
            id,
            &Request::Log {
                from: next,
                wait: true,
                of: 0,
            },
        ))
        .unwrap();
        log(&words, |log| assert!(log.end && log.bytes.is_empty()));
    });
}

#[test]
fn who_waits_for_output_is_answered_when_there_is_some_or_never_will_be() {
    with(|mut test| {
        let id = test.running("one");
        let wait = Request::Log {
            from: 0,
            wait: true,
            of: 0,
        };
        let Came::Kept(slot) = test.holder(id, &wait) else {
            panic!("answered without output");
        };
        test.prints(id, Stream::Output, "hello");
        let answers = test.bench.answers();
        assert_eq!(answers[0].0, slot);
        let words = answers[0].1.clone().unwrap();
        let next = log(&words, |log| {
            assert_eq!(log.bytes, b"hello");
            log.next
        });
        assert!(matches!(
            test.holder(
                id,
                &Request::Log {
                    from: next,
                    wait: true,
                    of: 0
                }
            ),
            Came::Kept(_)
        ));
        test.exits(id, 0);
        let words = test.bench.answers()[0].1.clone().unwrap();
        log(&words, |log| assert!(log.end));
        assert_eq!(test.bench.kept(), 0);
    });
}

#[test]
fn one_container_has_another_ones_output_never() {
    with(|mut test| {
        let (one, two) = (test.running("one"), test.running("two"));
        test.prints(one, Stream::Output, "secret");
        let words = answer(test.holder(two, &FROM_BEGIN)).unwrap();
        log(&words, |log| assert!(log.bytes.is_empty()));
        // Nor has one that comes in its place later.
        test.exits(one, 0);
        test.ask(one, HandleOp::Wait);
        let third = test.running("one");
        let words = answer(test.holder(third, &FROM_BEGIN)).unwrap();
        log(&words, |log| assert!(log.bytes.is_empty() && log.next == 0));
    });
}

#[test]
fn a_signal_is_fetched_by_the_server_before_or_after_it_is_sent() {
    with(|mut test| {
        let id = test.running("one");
        let command = |words: &[u64]| match postcard::from_bytes(&bytes(words)).unwrap() {
            Command::Signal(signal) => signal,
            other => panic!("{other:?}"),
        };
        answer(test.holder(id, &Request::Signal(15))).unwrap();
        assert_eq!(
            command(&answer(test.server(id, ServerOp::Next, &[])).unwrap()),
            15
        );
        assert!(matches!(
            test.server(id, ServerOp::Next, &[]),
            Came::Kept(_)
        ));
        answer(test.holder(id, &Request::Signal(2))).unwrap();
        let words = test.bench.answers()[0].1.clone().unwrap();
        assert_eq!(command(&words), 2);
    });
}

#[test]
fn a_signal_needs_a_container_that_runs_and_a_number() {
    with(|mut test| {
        let id = test.create("one").unwrap();
        let signal =
            |test: &mut Test<'_>, number| answer(test.holder(id, &Request::Signal(number)));
        assert_eq!(signal(&mut test, 15), Err(Error::BadState));
        test.ask(id, HandleOp::Start);
        for number in [0, 65, 255] {
            assert_eq!(signal(&mut test, number), Err(Error::Malformed));
        }
        test.exits(id, 0);
        assert_eq!(signal(&mut test, 15), Err(Error::BadState));
    });
}

#[test]
fn a_server_that_fetches_nothing_costs_a_bounded_amount() {
    with(|mut test| {
        let id = test.running("one");
        for _ in 0..crate::record::MAX_COMMANDS {
            answer(test.holder(id, &Request::Signal(15))).unwrap();
        }
        let full = Came::Answer(Err(Error::TableFull));
        assert_eq!(test.holder(id, &Request::Signal(15)), full);
        let exec = Request::Exec {
            arguments: "true\0",
            environment: "",
            cwd: "",
            streams: Streams::Output,
        };
        assert_eq!(test.holder(id, &exec), full);
        assert_eq!(
            test.holder(id, &Request::ExecWait(1)),
            Came::Answer(Err(Error::Gone))
        );
    });
}

#[test]
fn a_program_is_started_in_a_container_and_waited_for_once() {
    with(|mut test| {
        let id = test.running("one");
        let exec = Request::Exec {
            arguments: "ls\0/\0",
            environment: "B=1\0",
            cwd: "/tmp",
            streams: Streams::Output,
        };
        let number = word(&answer(test.holder(id, &exec)).unwrap());
        let fetched = bytes(&answer(test.server(id, ServerOp::Next, &[])).unwrap());
        let expected = Command::Exec {
            number: number as u32,
            arguments: "ls\0/\0",
            environment: "B=1\0",
            cwd: "/tmp",
            streams: Streams::Output,
        };
        assert_eq!(postcard::from_bytes::<Command<'_>>(&fetched), Ok(expected));
        assert!(matches!(
            test.holder(id, &Request::ExecWait(number as u32)),
            Came::Kept(_)
        ));
        let done = test.server(id, ServerOp::Done, &[number, 5]);
        assert_eq!(done, Came::Answer(Ok(vec![])));
        assert_eq!(word(&test.bench.answers()[0].1.clone().unwrap()), 5);
        let gone = Came::Answer(Err(Error::Gone));
        assert_eq!(test.holder(id, &Request::ExecWait(number as u32)), gone);
        assert_eq!(test.server(id, ServerOp::Done, &[number, 6]), gone);
        assert_eq!(test.server(id, ServerOp::Done, &[99, 6]), gone);
    });
}

#[test]
fn output_of_a_program_that_was_started_in_a_container_is_its_own_and_ends_with_it() {
    with(|mut test| {
        let id = test.running("one");
        let exec = Request::Exec {
            arguments: "ls\0",
            environment: "",
            cwd: "",
            streams: Streams::Output,
        };
        let of = word(&answer(test.holder(id, &exec)).unwrap()) as u32;
        answer(test.server(id, ServerOp::Next, &[])).unwrap();
        test.prints(id, Stream::Output, "the container's");
        test.prints_of(id, of, Stream::Error, "the program's");
        let (wait, from) = (true, 0);
        let request = Request::Log { from, wait, of };
        let words = answer(test.holder(id, &request)).unwrap();
        let from = log(&words, |log| {
            assert_eq!((log.bytes, log.end), (&b"the program's"[..], false));
            log.next
        });
        // There is no more, until it has ended.
        let request = Request::Log { from, wait, of };
        assert!(matches!(test.holder(id, &request), Came::Kept(_)));
        test.prints(id, Stream::Output, "more of the container's");
        test.server(id, ServerOp::Done, &[of.into(), 0]);
        log(&test.bench.answers()[0].1.clone().unwrap(), |log| {
            assert!(log.end && log.bytes.is_empty());
        });
        // One that there never was has ended, too.
        let request = Request::Log {
            from: 0,
            wait,
            of: 99,
        };
        log(&answer(test.holder(id, &request)).unwrap(), |log| {
            assert!(log.end)
        });
    });
}

#[test]
fn programs_that_were_started_in_a_container_are_killed_with_it() {
    with(|mut test| {
        let id = test.running("one");
        let exec = Request::Exec {
            arguments: "sleep\0",
            environment: "",
            cwd: "",
            streams: Streams::Output,
        };
        let waited = word(&answer(test.holder(id, &exec)).unwrap()) as u32;
        let unwaited = word(&answer(test.holder(id, &exec)).unwrap()) as u32;
        assert!(matches!(
            test.holder(id, &Request::ExecWait(waited)),
            Came::Kept(_)
        ));
        test.exits(id, 0);
        assert_eq!(word(&test.bench.answers()[0].1.clone().unwrap()), 137);
        assert_eq!(
            word(&answer(test.holder(id, &Request::ExecWait(unwaited))).unwrap()),
            137
        );
        assert_eq!(test.holder(id, &exec), Came::Answer(Err(Error::BadState)));
    });
}

#[test]
fn who_waits_for_the_end_is_told_it_and_the_container_stays() {
    with(|mut test| {
        let id = test.running("one");
        assert!(matches!(test.holder(id, &Request::Wait), Came::Kept(_)));
        test.exits(id, 42);
        assert_eq!(word(&test.bench.answers()[0].1.clone().unwrap()), 42);
        assert_eq!(word(&answer(test.holder(id, &Request::Wait)).unwrap()), 42);
        assert_eq!(test.manager.alive(), [id]);
    });
}

#[test]
fn a_container_that_is_killed_ends_with_137() {
    with(|mut test| {
        for started in [false, true] {
            let id = test.create("one").unwrap();
            if started {
                test.ask(id, HandleOp::Start);
            }
            answer(test.ask(id, HandleOp::Kill)).unwrap();
            assert_eq!(test.status(id), "stopped");
            assert_eq!(word(&answer(test.holder(id, &Request::Wait)).unwrap()), 137);
        }
    });
}

#[test]
fn a_server_that_crashes_ends_its_container_and_nobody_waits_for_ever() {
    with(|mut test| {
        let id = test.running("one");
        assert!(matches!(test.holder(id, &Request::Wait), Came::Kept(_)));
        assert!(matches!(
            test.server(id, ServerOp::Next, &[]),
            Came::Kept(_)
        ));
        // A page fault: instruction, address, no fetch, a write.
        let came = test
            .bench
            .call(Who::Itself(id.index()), 5, &[1, 0x7000, 0, 6]);
        assert_eq!(came, Came::Nothing);
        let answers = test.bench.answers();
        assert_eq!(word(&answers[0].1.clone().unwrap()), 139);
        assert_eq!(answers[1].1, Err(Error::Gone));
        assert_eq!(test.bench.kept(), 0);
    });
}

#[test]
fn a_container_that_the_manager_takes_away_is_no_loss_to_who_waits() {
    with(|mut test| {
        let id = test.running("one");
        for request in [
            Request::Wait,
            Request::Log {
                from: 0,
                wait: true,
                of: 0,
            },
        ] {
            assert!(matches!(test.holder(id, &request), Came::Kept(_)));
        }
        test.manager.kill(id);
        test.bench.notify(1);
        assert_eq!(test.bench.answers().len(), 2);
        assert_eq!(test.bench.kept(), 0);
        assert_eq!(test.state.borrow().gone, [id]);
    });
}

#[test]
fn an_image_stays_while_it_is_used_and_makes_room_when_it_is_not() {
    with(|mut test| {
        let id = test.running("one");
        // There is no room for the other: the first one is in use and stays.
        test.manager.refuse(Op::RegionCreate, Error::NoMemory);
        assert_eq!(test.create("other"), Err(Error::NoMemory));
        test.exits(id, 0);
        test.ask(id, HandleOp::Wait);
        test.manager.asked();
        test.manager.refuse(Op::RegionCreate, Error::NoMemory);
        test.create("other").unwrap();
        let given_up = test
            .manager
            .asked()
            .iter()
            .filter(|(op, _)| *op == Op::RegionDestroy)
            .count();
        assert_eq!(given_up, 1);
    });
}

#[test]
fn a_servers_word_is_about_its_own_container_alone() {
    with(|mut test| {
        let (one, two) = (test.running("one"), test.running("two"));
        let exec = Request::Exec {
            arguments: "x\0",
            environment: "",
            cwd: "",
            streams: Streams::Output,
        };
        let number = word(&answer(test.holder(one, &exec)).unwrap());
        assert_eq!(
            test.server(two, ServerOp::Done, &[number, 0]),
            Came::Answer(Err(Error::Gone))
        );
        test.exits(two, 0);
        assert_eq!(test.status(one), "running");
    });
}

#[test]
fn only_one_call_of_a_server_waits() {
    with(|mut test| {
        let id = test.running("one");
        assert!(matches!(
            test.server(id, ServerOp::Next, &[]),
            Came::Kept(_)
        ));
        assert_eq!(
            test.server(id, ServerOp::Next, &[]),
            Came::Answer(Err(Error::BadState))
        );
        assert_eq!(test.bench.kept(), 1);
    });
}

#[test]
fn a_signal_is_no_way_into_a_container_for_its_holder() {
    // What a holder says is never taken for the server's.
    with(|mut test| {
        let id = test.running("one");
        for op in [
            ServerOp::Describe,
            ServerOp::Next,
            ServerOp::Output,
            ServerOp::Done,
        ] {
            let came = test
                .bench
                .call(Who::Handle(id.index()), op.label(), &[0, 1]);
            assert_eq!(came, Came::Answer(Err(Error::NoSuchOperation)));
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_anyone_says_nobody_is_harmed(
        says in proptest::collection::vec(
            (0u64..0x20, any::<bool>(), proptest::collection::vec(prop_oneof![0u64..20, any::<u64>()], 0..8)), 0..60),
    ) {
        with(|mut test| {
            let (id, other) = (test.running("one"), test.running("two"));
            for (label, server, words) in &says {
                let (who, label) = match server {
                    true => (Who::Itself(id.index()), 0x220 + label),
                    false => (Who::Handle(id.index()), 0x210 + label),
                };
                // Other than waiting, so that there are callers left.
                if !(*server && label == ServerOp::Next.label()) {
                    let _ = test.bench.call(who, label, words);
                }
            }
            assert_eq!(test.status(other), "running");
            let words = answer(test.holder(other, &FROM_BEGIN)).unwrap();
            log(&words, |log| assert!(log.bytes.is_empty()));
        });
    }

    #[test]
    fn any_bytes_are_a_request_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        with(|mut test| {
            let id = test.running("one");
            let _ = test.holder_bytes(id, &bytes);
            assert_eq!(test.manager.alive().len(), 1);
        });
    }
}
