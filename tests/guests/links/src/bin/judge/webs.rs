// SPDX-License-Identifier: BSD-2-Clause
//! Webs: ICs of several kinds, with edges between them. A word that one of them knows gets to whom the edges lead,
//! and to nobody else; and when the edges on the path between two that the graph reports are taken away, it does not
//! get from the one to the other, whatever they try.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

use sel4::cap::Endpoint;
use test_links::{INLETS, NODES, Order};
use xos_client::Port;
use xos_protocol::manager::{Consent, Edge, EdgeKind, Open};
use xos_protocol::slots::leaf;
use xos_protocol::{IcId, Name, RegionId, Subject};
use xos_test_judge::{Job, MANAGER, served};
use xos_test_kit::{Failure, Outcome, check, check_eq};
use xos_view::relate;

use super::{Context, edges};

/// What one node gives another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A session, which the other opens.
    Session,
    /// A session with the one, by a third that has one.
    Passed,
    Endpoint,
    Signal,
    Memory,
    MemoryToRead,
}

const KINDS: [Kind; 6] = [
    Kind::Session,
    Kind::Passed,
    Kind::Endpoint,
    Kind::Signal,
    Kind::Memory,
    Kind::MemoryToRead,
];

/// By which the edge can be taken away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Tie {
    Link(u32),
    Region(RegionId),
}

/// An edge that was made: `giver` gave it to `holder`. Both are numbers of nodes.
#[derive(Clone, Copy, Debug)]
struct Made {
    kind: Kind,
    giver: usize,
    holder: usize,
    tie: Tie,
}

impl Made {
    /// Whether a word gets from one node to another by this.
    fn carries(&self, from: usize, to: usize) -> bool {
        let forth = (self.holder, self.giver) == (from, to);
        let back = (self.giver, self.holder) == (from, to);
        match self.kind {
            // A call is answered.
            Kind::Session | Kind::Passed | Kind::Endpoint | Kind::Memory => forth || back,
            Kind::Signal => forth,
            Kind::MemoryToRead => back,
        }
    }
}

/// Nodes that run.
pub struct Web {
    jobs: Vec<Job>,
    ports: Vec<Endpoint>,
    ids: Vec<IcId>,
    made: Vec<Made>,
    /// No two words are the same.
    word: u64,
}

impl Web {
    const fn new() -> Self {
        Self {
            jobs: Vec::new(),
            ports: Vec::new(),
            ids: Vec::new(),
            made: Vec::new(),
            word: 1 << 32,
        }
    }

    /// Starts a node for each of these kinds of ICs.
    fn start(&mut self, c: &mut Context, kinds: &[&str]) -> Outcome {
        for (kind, name) in kinds.iter().zip(NODES) {
            let line = format!("test-links-node {name} {kind}");
            self.jobs.push(c.start(&line, false)?);
            served(name)?;
            let slot = c.slots.take().ok_or("no slot")?;
            self.ports.push(Endpoint::from_bits(leaf(slot)));
            let session = MANAGER.open(&Open {
                name: Name::new(name),
                slot,
                consent: Consent::default(),
            })?;
            self.ids.push(session.server);
        }
        Ok(())
    }

    /// Ends all of it.
    fn end(self, c: &mut Context) -> Outcome {
        for job in self.jobs {
            c.kill(job)?;
        }
        for port in self.ports {
            c.slots.give((port.bits() >> 8) as u32);
        }
        Ok(())
    }

    fn order(&self, node: usize, order: Order, words: [u64; 3]) -> Outcome<[u64; 4]> {
        let [a, b, c] = words;
        match Port::call(&self.ports[node], order.label(), [a, b, c, 0], 3) {
            Ok(answer) => Ok(answer.words),
            Err(error) => Err(Failure::new(format_args!(
                "node {node} does not obey {:#x} {words:?}: {error}",
                order.label()
            ))),
        }
    }

    /// Makes an edge, and nothing else that stays.
    fn make(&mut self, kind: Kind, giver: usize, holder: usize) -> Outcome {
        let from = giver as u64;
        if kind == Kind::Session {
            // There is one at a time: opening another closes the first.
            if self.is_made(kind, giver, holder) {
                return Ok(());
            }
            let link = self.order(holder, Order::Open, [from, 0, 0])?[0] as u32;
            return self.made(kind, giver, holder, Tie::Link(link));
        }
        // By a session that is closed again. That of an edge stays.
        let via = match kind {
            Kind::Passed => (0..self.ids.len()).find(|third| *third != giver && *third != holder),
            _ => Some(giver),
        };
        let via = via.ok_or("no third node")?;
        let scaffolding = [(holder, via), (via, giver)];
        let stands = |(from, to): &(usize, usize)| from != to;
        if scaffolding
            .iter()
            .any(|(from, to)| self.is_made(Kind::Session, *to, *from))
        {
            return Ok(());
        }
        let mut links = [0; 2];
        for (link, (from, to)) in links
            .iter_mut()
            .zip(scaffolding)
            .filter(|(_, at)| stands(at))
        {
            *link = self.order(from, Order::Open, [to as u64, 0, 0])?[0];
        }
        let inlet = self.made.len() as u64 % INLETS as u64;
        let signal = u64::from(kind == Kind::Signal);
        let [slot, _, place, _] = self.order(holder, Order::Inlet, [inlet, signal, 0])?;
        let session = links[0];
        let tie = match kind {
            Kind::Memory | Kind::MemoryToRead => {
                let write = u64::from(kind == Kind::Memory);
                let id = self.order(via, Order::Share, [session, place, write])?[0];
                Tie::Region(RegionId::from_word(id))
            }
            _ => {
                let order = match kind {
                    Kind::Endpoint => Order::Connect,
                    Kind::Signal => Order::Bell,
                    _ => Order::Pass,
                };
                Tie::Link(self.order(via, order, [session, slot, from])?[0] as u32)
            }
        };
        for (from, to) in scaffolding.iter().filter(|at| stands(at)) {
            self.order(*from, Order::Close, [*to as u64, 0, 0])?;
        }
        self.made(kind, giver, holder, tie)
    }

    fn is_made(&self, kind: Kind, giver: usize, holder: usize) -> bool {
        let is_it = |made: &Made| (made.kind, made.giver, made.holder) == (kind, giver, holder);
        self.made.iter().any(is_it)
    }

    fn made(&mut self, kind: Kind, giver: usize, holder: usize, tie: Tie) -> Outcome {
        self.made.push(Made {
            kind,
            giver,
            holder,
            tie,
        });
        Ok(())
    }

    /// To which nodes a word gets that one of them knows, when all do what they can.
    fn reached(&mut self, from: usize) -> Outcome<BTreeSet<usize>> {
        self.word += 1;
        let word = self.word;
        for node in 0..self.ids.len() {
            let known = if node == from { word } else { 0 };
            self.order(node, Order::Begin, [known, 0, 0])?;
        }
        // A word takes a step in a round at least.
        for _ in 1..self.ids.len() {
            for node in 0..self.ids.len() {
                self.order(node, Order::Talk, [word, 0, 0])?;
            }
        }
        let mut reached = BTreeSet::new();
        for node in 0..self.ids.len() {
            if self.order(node, Order::Talk, [word, 0, 0])?[1] == word {
                reached.insert(node);
            }
        }
        Ok(reached)
    }

    /// To which it should get.
    fn reachable(&self, from: usize) -> BTreeSet<usize> {
        let all = 0..self.ids.len();
        let mut reached = BTreeSet::from([from]);
        for _ in all.clone() {
            for to in all.clone() {
                let carried = |made: &Made| reached.iter().any(|from| made.carries(*from, to));
                if self.made.iter().any(carried) {
                    reached.insert(to);
                }
            }
        }
        reached
    }

    /// What the graph says of the nodes: edges between them, and memory that somebody gave to them.
    fn edges(&self) -> Outcome<Vec<Edge>> {
        let is_node = |id| self.ids.contains(&id);
        let concerns = |edge: &Edge| {
            is_node(edge.to) && (is_node(edge.from) || matches!(edge.kind, EdgeKind::Share(..)))
        };
        Ok(edges()?.into_iter().filter(concerns).collect())
    }

    /// Words get where they should, all of them, and where the graph says that there is a path.
    pub fn is_as_the_graph_says(&mut self) -> Outcome {
        let edges = self.edges()?;
        for from in 0..self.ids.len() {
            let (reached, expected) = (self.reached(from)?, self.reachable(from));
            check!(
                reached == expected,
                "a word gets from {from} to {reached:?}, not to {expected:?}, by {:?}",
                self.made
            )?;
            for to in reached {
                let path = relate::path(&edges, self.ids[from], self.ids[to]);
                check!(
                    path.is_some(),
                    "no path from {from} to {to}: {:?}",
                    self.made
                )?;
            }
        }
        Ok(())
    }

    /// Takes away what is on the paths from one node to another, until there is none: how many edges.
    pub fn part(&mut self, a: usize, b: usize) -> Outcome<usize> {
        let (a, b) = (self.ids[a], self.ids[b]);
        let mut parted = 0;
        loop {
            let edges = self.edges()?;
            let Some(path) = relate::path(&edges, a, b) else {
                let said = relate::describe(&[], &edges, a, b);
                check!(
                    said.contains("have nothing in common") && said.contains("there is nobody"),
                    "{said}"
                )?;
                return Ok(parted);
            };
            for two in path.windows(2) {
                for edge in relate::between(&edges, two[0], two[1]) {
                    self.take_away(&edge)?;
                    parted += 1;
                }
            }
        }
    }

    fn take_away(&mut self, edge: &Edge) -> Outcome {
        let tie = match edge.kind {
            EdgeKind::Session(link) | EdgeKind::Connection(link) => {
                MANAGER.close(link)?;
                Tie::Link(link)
            }
            EdgeKind::Share(region, _) => {
                MANAGER.unshare(region, Subject::Ic(edge.to))?;
                Tie::Region(region)
            }
            other => return check!(false, "{other:?} between nodes"),
        };
        let ids = &self.ids;
        self.made.retain(|made| {
            let is_to = !matches!(tie, Tie::Region(_)) || ids[made.holder] == edge.to;
            made.tie != tie || !is_to
        });
        Ok(())
    }

    /// Takes everything away.
    fn clear(&mut self) -> Outcome {
        for a in 0..self.ids.len() {
            for b in 0..a {
                self.part(a, b)?;
            }
        }
        // What the nodes remember of their sessions.
        for a in 0..self.ids.len() {
            for other in 0..self.ids.len() as u64 {
                self.order(a, Order::Close, [other, 0, 0])?;
            }
        }
        check_eq!(self.made.len(), 0)
    }

    /// The word from `a` gets to `b` by the edges that were made, as long as these are there. Then nobody else is
    /// disturbed.
    fn carries_until_revoked(&mut self, a: usize, b: usize) -> Outcome {
        self.is_as_the_graph_says()?;
        self.part(a, b)?;
        for (from, to) in [(a, b), (b, a)] {
            let reached = self.reached(from)?;
            check!(
                !reached.contains(&to),
                "a word still gets from {from} to {to}"
            )?;
        }
        self.is_as_the_graph_says()
    }
}

/// Runs `body` on nodes of these kinds, and ends them.
fn with_web(c: &mut Context, kinds: &[&str], body: impl FnOnce(&mut Web) -> Outcome) -> Outcome {
    let mut web = Web::new();
    let outcome = web.start(c, kinds).and_then(|()| body(&mut web));
    web.end(c)?;
    outcome
}

/// A–B–C, where B passes on what it hears: by every kind of edge on either side.
pub fn chains(c: &mut Context, middle: &str) -> Outcome {
    with_web(c, &["process", middle, "process"], |web| {
        for (number, kind) in KINDS.into_iter().enumerate() {
            let other = KINDS[(number + 2) % KINDS.len()];
            web.make(kind, 1, 0)?;
            web.make(other, 1, 2)?;
            // Both ways, or only one, or, if both can but signal to it or both can but read, none.
            let [there, back] = [web.reachable(0).contains(&2), web.reachable(2).contains(&0)];
            check!(there || back, "{kind:?} and {other:?} carry nothing")?;
            web.carries_until_revoked(0, 2)?;
            web.clear()?;
        }
        Ok(())
    })
}

/// A source of numbers (xorshift64*, Vigna 2016): the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }
}

/// Webs with edges of any kind between any nodes.
pub fn generated(c: &mut Context) -> Outcome {
    let mut numbers = Numbers(0x5e14);
    let mut carried = 0;
    for kinds in [
        ["process", "thread", "lwc", "process"],
        ["lwc", "thread", "lwc", "thread"],
    ] {
        with_web(c, &kinds, |web| {
            for _ in 0..12 {
                for _ in 0..=numbers.below(INLETS - 1) {
                    let (giver, more) =
                        (numbers.below(NODES.len()), numbers.below(NODES.len() - 1));
                    let holder = (giver + 1 + more) % NODES.len();
                    web.make(KINDS[numbers.below(KINDS.len())], giver, holder)?;
                }
                let (a, b) = (numbers.below(2), 2 + numbers.below(2));
                carried += usize::from(web.reachable(a).contains(&b));
                web.carries_until_revoked(a, b)?;
                web.clear()?;
            }
            Ok(())
        })?;
    }
    check!(carried > 5, "only {carried} of them carried anything")
}

/// Two lwCs, of a factory that has done something to both of them that they did not ask for.
pub fn joined(c: &mut Context, body: impl FnOnce(&mut Web) -> Outcome) -> Outcome {
    with_web(c, &["lwc", "lwc"], body)
}

impl Web {
    /// Their factory gave both the same memory, by the manager: the graph says so, and it can be taken away.
    pub fn is_joined_until_revoked(&mut self) -> Outcome {
        let edges = self.edges()?;
        check!(
            relate::path(&edges, self.ids[0], self.ids[1]).is_some(),
            "the graph does not show it"
        )?;
        check!(self.reached(0)?.contains(&1), "it carries nothing")?;
        check_eq!(self.part(0, 1)?, 2)?;
        check_eq!(self.reached(0)?, BTreeSet::from([0]))?;
        check_eq!(self.reached(1)?, BTreeSet::from([1]))
    }
}
