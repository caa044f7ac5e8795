// SPDX-License-Identifier: BSD-2-Clause
//! The virtine factory, broken on purpose: its domain's name says how, and is what it registers as.
#![no_std]
#![no_main]

use process_factory::files::Files;
use process_factory::kernel::{At, Outcome, Refusal};
use process_factory::machine::Machine as Composer;
use sel4::UserContext;
use sel4_microkit::abi::endpoint;
use sel4_microkit::{NullHandler, memory_region_bytes, protection_domain};
use spin::Mutex;
use virtine_factory::factory::{MAX_VIRTINES, VirtineFactory};
use virtine_factory::kernel::Kernel;
use virtine_factory::machine::Machine;
use xos_protocol::factory::HandleOp;
use xos_protocol::manager::Successor;
use xos_protocol::virtine::{Ask, Plan};
use xos_protocol::wire::MAX_WORDS;
use xos_protocol::{Result, Who};
use xos_server::client::{Console, Timer};
use xos_server::factory::FactoryServer;
use xos_server::{Deferred, Manager, Outcome as Told, Reply, Request, Space, serve};

const MANAGER: Manager = Manager::new(endpoint(0));
const CONSOLE: Console = Console::new(endpoint(1));
const TIMER: Timer = Timer::new(endpoint(2));

/// The kernel, and what the factory forgets to have it do.
struct Forgetful(Machine);

fn forgets(what: &str) -> bool {
    sel4_microkit::pd_name().is_ok_and(|name| name == what)
}

impl Kernel for Forgetful {
    type Composing = Composer;

    fn composing(&mut self) -> &mut Composer {
        self.0.composing()
    }

    fn protect(&mut self, frame: At, parts: u32, writable: bool) -> Outcome {
        self.0.protect(frame, parts, writable)
    }

    fn revoke(&mut self, untyped: At) -> Outcome {
        match forgets("forgets_lent_memory") {
            true => Err(Refusal::Other),
            false => self.0.revoke(untyped),
        }
    }

    fn begin(&mut self, parts: u32, pages: u128, now: bool) -> Outcome {
        let entry = self
            .plan((parts - Space::DOMAIN.first_place()) as usize)
            .entry;
        // What the image does before its first call is as it should be.
        let calls = now && entry != 0;
        if calls && forgets("forgets_pages") {
            return self.0.begin(parts, 0, now);
        }
        if calls && forgets("forgets_registers") {
            // The instruction pointer alone, as far as the trampoline would have gone.
            let mut context = UserContext::default();
            context.inner_mut().rip = entry;
            return Space::DOMAIN
                .node(parts)
                .tcb()
                .tcb_write_registers(now, 1, &mut context)
                .map_err(|_| Refusal::Other);
        }
        self.0.begin(parts, pages, now)
    }

    fn stop(&mut self, parts: u32) -> Outcome {
        self.0.stop(parts)
    }

    fn plan(&mut self, index: usize) -> &mut Plan {
        self.0.plan(index)
    }

    fn plan_frame(&self, index: usize) -> At {
        self.0.plan_frame(index)
    }

    fn trampoline_frame(&self) -> At {
        self.0.trampoline_frame()
    }

    fn alarm(&mut self) -> Result<()> {
        self.0.alarm()
    }
}

type Server = FactoryServer<VirtineFactory<'static, Forgetful>, MAX_VIRTINES>;

/// The loop, which believes that callers grant everything.
struct Generous<'a>(&'a mut Server);

impl xos_server::Server for Generous<'_> {
    fn call(
        &mut self,
        who: Who,
        request: Request<'_>,
        reply: &mut Reply,
        deferred: &mut Deferred<'_>,
    ) -> Told {
        let (mut words, length) = ([0; MAX_WORDS], request.words().len());
        words[..length].copy_from_slice(request.words());
        if forgets("grants_everything")
            && matches!(who, Who::Handle(_))
            && request.label() == HandleOp::Invoke.label()
            && let Ok(Ask::Call { limit, long, .. }) = Ask::from_word(words[1])
        {
            let granted = u32::MAX;
            words[1] = Ask::Call {
                granted,
                limit,
                long,
            }
            .word();
        }
        let request = Request::new(request.label(), &words[..length]);
        self.0.call(who, request, reply, deferred)
    }

    fn notified(&mut self, bits: u64, deferred: &mut Deferred<'_>) {
        self.0.notified(bits, deferred);
    }
}

/// In a static because of its size; taken once.
static SERVER: Mutex<Server> = {
    // SAFETY: the first thing that happens to it is that it is prepared.
    let machine = unsafe { Machine::new(CONSOLE, TIMER) };
    let factory = VirtineFactory::new(Forgetful(machine), MANAGER);
    Mutex::new(FactoryServer::new(factory, MANAGER, Space::DOMAIN))
};

#[protection_domain(heap_size = 8 * 1024)]
fn init() -> NullHandler {
    // SAFETY: the system description maps the tree for reading only, whoever has it.
    let archive = unsafe { memory_region_bytes!(files, files_len) };
    let mut server = SERVER.lock();
    server
        .factory()
        .kernel()
        .0
        .prepare(&MANAGER)
        .expect("pages");
    if let Ok(files) = Files::new(archive) {
        server.factory().set_files(files);
    }
    let name = sel4_microkit::pd_name().unwrap_or_default();
    server.register(name, Successor::None).expect("a name");
    serve(&mut Generous(&mut server))
}
