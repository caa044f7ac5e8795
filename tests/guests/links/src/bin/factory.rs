// SPDX-License-Identifier: BSD-2-Clause
//! The factory of lwCs, but that all lwCs have a page of the factory's in common: given to each by the IC manager, or
//! mapped by the factory itself, of which nobody is told.
//!
//! `test-links-factory share` or `test-links-factory keep`.
#![no_std]
#![no_main]

#[path = "../../../../../apps/lwc-factory/src/machine.rs"]
mod machine;

use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use lwc_factory::NAME;
use lwc_factory::factory::{CONTRACT, Lwc, LwcFactory};
use machine::Machine;
use sel4::{CapRights, Fault, VmAttributes, cap_type};
use spin::Mutex;
use test_links::COMMON_PAGE;
use xos::protocol::factory::Entry;
use xos::protocol::manager::{Payer, RegionCreate, Rights, Share};
use xos::protocol::start::SHARES;
use xos::protocol::{Contract, Error, ExitStatus, IcId, RegionId, Result, Subject};
use xos::server::factory::{Factory, FactoryServer, Fate, Maker, Member};
use xos::server::{Deferred, Outcome, Parts, Reply, Request, Space};
use xos::{eprintln, manager};

xos::main!(main);

/// LwCs at a time.
const LWCS: usize = 8;
/// Where a node looks for regions and has none itself.
const SHARED_AT: u64 = SHARES.start + 15 * (4 << 20);
/// Root slot of the node with the common page: behind the places of lwCs and of callers.
const STASH: u32 = 200;
/// A slot of an lwC's parts that nothing is in: it has eight pages of stack, and so the others end before it.
const FREE_PART: u32 = 31;

/// Whether nobody is told.
static KEEPS: AtomicBool = AtomicBool::new(false);

struct Joining {
    lwcs: LwcFactory<Machine>,
    region: RegionId,
}

impl Joining {
    fn join(&mut self, lwc: Parts, id: IcId) -> Result<()> {
        if self.region == RegionId::NONE {
            self.region = manager().region_create(&RegionCreate {
                payer: Payer::Myself,
                pages: 1,
                large: false,
                place: STASH,
            })?;
        }
        if !KEEPS.load(SeqCst) {
            return manager().share(&Share {
                region: self.region,
                target: Subject::Ic(id),
                address: SHARED_AT,
                rights: Rights::RW,
            });
        }
        let frame = Space::IC.node(STASH).slot(0);
        let copied = lwc.slot(FREE_PART).copy(&frame, CapRights::all());
        let mapped = lwc.cap::<cap_type::Granule>(FREE_PART).frame_map(
            lwc.vspace(),
            COMMON_PAGE as usize,
            CapRights::read_write(),
            VmAttributes::DEFAULT,
        );
        copied.and(mapped).map_err(|_| Error::Kernel)
    }
}

impl Factory for Joining {
    type Ic = Lwc;

    fn describe(&self) -> Contract {
        CONTRACT
    }

    fn spawn(&mut self, maker: &mut Maker<'_>, entry: &Entry) -> Result<Lwc> {
        let lwc = self.lwcs.spawn(maker, entry)?;
        let id = maker.made().ok_or(Error::Kernel)?;
        self.join(Space::IC.node(maker.place()), id)?;
        Ok(lwc)
    }

    fn start(&mut self, lwc: Member<'_, Lwc>) -> Result<()> {
        self.lwcs.start(lwc)
    }

    fn fault(&mut self, lwc: Member<'_, Lwc>, fault: &Fault) -> Fate {
        self.lwcs.fault(lwc, fault)
    }

    fn invoke(
        &mut self,
        lwc: Member<'_, Lwc>,
        request: Request<'_>,
        reply: &mut Reply,
        deferred: &mut Deferred<'_>,
    ) -> Outcome {
        self.lwcs.invoke(lwc, request, reply, deferred)
    }

    fn asked(
        &mut self,
        lwc: Member<'_, Lwc>,
        request: Request<'_>,
        reply: &mut Reply,
        deferred: &mut Deferred<'_>,
    ) -> Outcome {
        self.lwcs.asked(lwc, request, reply, deferred)
    }

    fn ended(&mut self, lwc: Member<'_, Lwc>, status: ExitStatus) {
        self.lwcs.ended(lwc, status);
    }

    fn gone(&mut self, id: IcId, lwc: Lwc) {
        self.lwcs.gone(id, lwc);
    }

    fn closed(&mut self, client: u32) {
        self.lwcs.closed(client);
    }

    fn settle(&mut self, deferred: &mut Deferred<'_>) {
        self.lwcs.settle(deferred);
    }
}

/// In a static because of its size; taken once.
static SERVER: Mutex<FactoryServer<Joining, LWCS>> = Mutex::new(FactoryServer::new(
    Joining {
        lwcs: LwcFactory::new(Machine, manager()),
        region: RegionId::NONE,
    },
    manager(),
    Space::IC,
));

fn main() -> i32 {
    KEEPS.store(xos::args().nth(1) == Some("keep"), SeqCst);
    match xos::service::serve_factory(NAME, &mut SERVER.lock()) {
        Ok(never) => match never {},
        Err(error) => eprintln!("error: {error}"),
    }
    1
}
