// SPDX-License-Identifier: BSD-2-Clause
//! A boot domain that is registered as a factory and does what its clients tell it.
#![no_std]
#![no_main]

use heapless::Vec;
use sel4::{CapRights, ObjectBlueprint, ObjectBlueprintX86, cap};
use sel4_microkit::{NullHandler, pd_name, protection_domain};
use test_system::rogue::{ASK, DIE, HARM, KEEP, MAKE, PRY, RELEASE};
use test_system::{Harm, Step};
use xos_client::Port;
use xos_protocol::manager::{Create, Payer, Register, ServiceKind, Successor};
use xos_protocol::slots::{domain, parts};
use xos_protocol::{Error, Name, Result, Who};
use xos_server::{
    Deferred, Manager, Outcome, Parts, Reply, Request, Server, Slots, Space, Token, serve,
};

const MANAGER: Manager = Manager::new(cap::Endpoint::from_bits(sel4_microkit::abi::BASE_ENDPOINT));
const SPACE: Space = Space::DOMAIN;
/// Radix of parts nodes, and their slots.
const RADIX: u32 = 5;
const SLOTS: u32 = 1 << RADIX;
/// Where stolen capabilities are put.
const LOOT: u32 = 3000;

struct Rogue {
    kept: Vec<Token, 16>,
    slots: Slots,
}

#[protection_domain(heap_size = 8 * 1024)]
fn init() -> NullHandler {
    let name = pd_name().unwrap_or_default();
    let registered = MANAGER.register(&Register {
        name: Name::new(name),
        endpoint: 0,
        kind: ServiceKind::Factory,
        successor: Successor::None,
    });
    if let Err(error) = registered {
        panic!("cannot register: {error}");
    }
    serve(&mut Rogue {
        kept: Vec::new(),
        slots: Slots::new(domain::FIRST_FREE_ROOT, LOOT),
    })
}

/// Dies, if that is the step to die after.
fn step(now: Step, last: Option<Step>) {
    if last == Some(now) {
        die(0);
    }
}

fn die(how: u64) {
    match how {
        1 => panic!("as told"),
        // SAFETY: an illegal instruction ends this program, which is what is asked for.
        2 => unsafe { core::arch::asm!("ud2") },
        // SAFETY: as above.
        _ => unsafe { core::arch::asm!("mov byte ptr [0x10], 0") },
    }
}

impl Rogue {
    fn make(&mut self, client: u32, handle: u64, last: Option<Step>) -> Result<[u64; 2]> {
        step(Step::Received, last);
        let place = self.slots.take().ok_or(Error::TableFull)?;
        let created = MANAGER.create(&Create {
            payer: Payer::Client(client),
            place,
            handle: handle as u32,
            session: true,
            memory: 8,
            quota: 0,
            ics: 0,
            parts_radix: RADIX,
            cspace_radix: 5,
        });
        let created = match created {
            Ok(created) => created,
            Err(error) => {
                self.slots.give(place);
                return Err(error);
            }
        };
        step(Step::Made, last);
        let node = SPACE.node(place);
        let frame = ObjectBlueprint::Arch(ObjectBlueprintX86::_4k);
        node.cap::<sel4::cap_type::Untyped>(created.first)
            .untyped_retype(&frame, &node.node(), parts::FIRST_FREE as usize, 2)
            .map_err(|_| Error::Kernel)?;
        step(Step::Composed, last);
        MANAGER.annotate(created.id, Name::new("victim"))?;
        step(Step::Named, last);
        // It has no program: what it does is to fault, without anybody to be told.
        MANAGER.resume(created.id)?;
        step(Step::Resumed, last);
        Ok([created.id.word(), place.into()])
    }

    fn answer(&mut self, client: u32, request: Request<'_>, reply: &mut Reply) -> Result<Outcome> {
        match request.label() {
            ASK => {
                let words = core::array::from_fn(|i| request.word(i + 1));
                let asked = Port::call(MANAGER.port(), request.word(0), words, 4);
                let told = match asked {
                    Ok(answer) => {
                        let [a, b, c, d] = answer.words;
                        [0, a, b, c, d]
                    }
                    Err(error) => [error.label(), 0, 0, 0, 0],
                };
                Ok(reply.ok(&told))
            }
            MAKE => {
                let last = Step::from_word(request.word(1)).filter(|last| *last != Step::None);
                let made = self.make(client, request.word(0), last)?;
                Ok(reply.ok(&made))
            }
            HARM => {
                let harm_ = Harm::from_word(request.word(1)).ok_or(Error::Malformed)?;
                harm(SPACE.node(request.word(0) as u32), harm_);
                Ok(reply.ok(&[]))
            }
            PRY => Ok(reply.ok(&[pry(SPACE.node(request.word(0) as u32))])),
            DIE => {
                die(request.word(0));
                Err(Error::Kernel)
            }
            _ => Err(Error::NoSuchOperation),
        }
    }
}

/// Does harm to every slot of a node. What the kernel refuses is not done, and no matter.
fn harm(node: Parts, harm: Harm) {
    let own = |slot: u64| {
        cap::CNode::from_bits(domain::ROOT).absolute_cptr_from_bits_with_depth(slot, 20)
    };
    for i in 0..SLOTS {
        let slot = node.slot(i);
        let _ = match harm {
            Harm::Delete => slot.delete(),
            Harm::Revoke => slot.revoke(),
            Harm::Overwrite => slot
                .delete()
                .and_then(|()| slot.copy(&own(domain::INPUT), CapRights::all())),
            Harm::Impersonate => {
                let source = if i % 2 == 0 {
                    domain::VSPACE
                } else {
                    domain::ROOT
                };
                slot.delete()
                    .and_then(|()| slot.copy(&own(source), CapRights::all()))
            }
            Harm::Steal => SPACE.slot(LOOT + i).move_(&slot),
            Harm::Rotate if i == 0 => SPACE.slot(LOOT).move_(&slot),
            Harm::Rotate if i == SLOTS - 1 => node
                .slot(i - 1)
                .move_(&slot)
                .and_then(|()| slot.move_(&SPACE.slot(LOOT))),
            Harm::Rotate => node.slot(i - 1).move_(&slot),
        };
    }
    for i in 0..SLOTS {
        // So that the next IC is robbed, too.
        let _ = SPACE.slot(LOOT + i).delete();
    }
}

/// What a factory must not be able to do with the parts of an IC of its own: to make memory that the
/// IC was not given, or to reach beyond the node. Gives the number of attempts that succeeded.
fn pry(node: Parts) -> u64 {
    let mut succeeded = 0;
    // The node has so many slots, and what is behind them is nobody's.
    for i in SLOTS..256 {
        succeeded += u64::from(node.slot(i).delete().is_ok());
        succeeded += u64::from(
            SPACE
                .slot(LOOT)
                .copy(&node.slot(i), CapRights::all())
                .is_ok(),
        );
    }
    // All memory that there is in the node is in its pieces: at most 64 pages here.
    let frame = ObjectBlueprint::Arch(ObjectBlueprintX86::_4k);
    let mut frames = 0;
    for piece in 0..parts::MAX_UNTYPED {
        let untyped = node.cap::<sel4::cap_type::Untyped>(parts::FIRST_UNTYPED + piece);
        let slot = parts::FIRST_FREE as usize + 2;
        while frames < 1000
            && untyped
                .untyped_retype(&frame, &node.node(), slot, 1)
                .is_ok()
        {
            frames += 1;
            let _ = SPACE.slot(LOOT).delete();
            // Kept, so that the piece does not begin anew.
            let _ = SPACE
                .slot(LOOT + 1 + frames as u32)
                .move_(&node.slot(slot as u32));
        }
    }
    if frames > 8 {
        succeeded += frames;
    }
    succeeded
}

impl Server for Rogue {
    fn call(
        &mut self,
        who: Who,
        request: Request<'_>,
        reply: &mut Reply,
        deferred: &mut Deferred<'_>,
    ) -> Outcome {
        let Who::Session(client) = who else {
            return match who {
                // Faults of its ICs, which have no program.
                Who::Itself(_) => Outcome::NoReply,
                _ => reply.error(Error::NotSupported),
            };
        };
        match request.label() {
            KEEP => match deferred.keep() {
                Ok(token) => match self.kept.push(token) {
                    Ok(()) => Outcome::Deferred,
                    Err(token) => {
                        deferred.answer_with(token, Err(Error::TableFull));
                        Outcome::Deferred
                    }
                },
                Err(error) => reply.error(error),
            },
            RELEASE => {
                while let Some(token) = self.kept.pop() {
                    deferred.answer_with(token, Ok(&[]));
                }
                reply.ok(&[])
            }
            _ => match self.answer(client, request, reply) {
                Ok(outcome) => outcome,
                Err(error) => reply.error(error),
            },
        }
    }

    fn notified(&mut self, _bits: u64, _deferred: &mut Deferred<'_>) {
        // Events are read, so that sessions' numbers can be used again.
        while let Ok(event) = MANAGER.next_event()
            && event != xos_protocol::manager::Event::None
        {}
    }
}
