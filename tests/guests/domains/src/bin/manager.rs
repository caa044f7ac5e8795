// SPDX-License-Identifier: BSD-2-Clause
//! In the IC manager's place: runs the cases about what the root task hands over.
#![no_std]
#![no_main]

use core::slice;
use sel4::{
    AbsoluteCPtr, CapRights, CapType, ObjectBlueprint, ObjectBlueprintX64, ObjectBlueprintX86, cap,
    cap_type,
};
use sel4_microkit::{Handler, NullHandler, abi, get_mr, panicking, protection_domain, set_mr};
use test_domains::{Ask, Deed, HEAP_SIZE, Note, Serial, got, power_off, read, until, write};
use xos_protocol::slots::DOMAIN_ROOT_RADIX;
use xos_protocol::supervisor::{BootDomain, Op, SIGNAL, boot};
use xos_protocol::{Badge, Error, Who};
use xos_test_kit::{Case, Outcome, cases, check, check_eq};

/// What cases work with.
struct Context {
    boot: boot::ManagerBoot,
    /// The next free slot of the pool.
    free: u32,
}

#[protection_domain(stack_size = 64 * 1024, heap_size = HEAP_SIZE)]
fn init() -> impl Handler {
    panicking::set_hook(&|info| {
        xos_test_kit::panicked(format_args!("{info}"), &mut Serial);
        power_off(false)
    });
    // SAFETY: the root task maps its information there.
    let info = unsafe {
        slice::from_raw_parts(
            boot::INFO_VADDR as *const u8,
            boot::INFO_PAGES as usize * 4096,
        )
    };
    let (boot, _) = postcard::take_from_bytes(info).expect("start information");
    let free = boot::FIRST_FREE;
    let mut context = Context { boot, free };
    let cases: &[Case<Context>] = include!("../../handover.rs");
    let passed = xos_test_kit::run(cases, &mut context, &mut Serial);
    supervisor(Op::PowerOff.label(), u64::from(!passed));
    power_off(false);
    #[allow(unreachable_code)]
    NullHandler::new()
}

/// A slot of the pool, for operations on it.
fn pool(index: u32) -> AbsoluteCPtr {
    cap::CNode::from_bits(boot::POOL)
        .absolute_cptr_from_bits_with_depth(index.into(), boot::POOL_RADIX as usize)
}

/// A capability in the pool.
fn in_pool<T: CapType>(index: u32) -> sel4::Cap<T> {
    sel4::Cap::from_bits(boot::pool(index))
}

/// Asks the supervisor: label and first word of its answer.
fn supervisor(label: u64, word: u64) -> (u64, u64) {
    set_mr(0, word);
    let info = sel4::MessageInfo::new(label, 0, 0, 1);
    let answer = in_pool::<cap_type::Endpoint>(boot::SUPERVISOR).call(info);
    (answer.label(), get_mr(0))
}

/// Asks a server through a capability in the pool: label and first word of its answer.
fn ask(endpoint: u32, ask: Ask, word: u64) -> (u64, u64) {
    set_mr(0, word);
    let info = sel4::MessageInfo::new(ask.label(), 0, 0, 1);
    let answer = in_pool::<cap_type::Endpoint>(endpoint).call(info);
    (answer.label(), get_mr(0))
}

impl Context {
    fn domain(&self, name: &str) -> Outcome<(u32, &BootDomain)> {
        let mut domains = self.boot.domains.iter().enumerate();
        let (index, domain) = domains
            .find(|(_, domain)| domain.name.as_str() == name)
            .ok_or("no such domain")?;
        Ok((index as u32, domain))
    }

    /// Pool slot of something of a domain's.
    fn of(&self, name: &str, what: u32) -> Outcome<u32> {
        Ok(self.domain(name)?.0 * boot::DOMAIN_SLOTS + what)
    }

    /// An empty slot of the pool.
    fn slot(&mut self) -> u32 {
        self.free += 1;
        self.free - 1
    }

    /// Makes an object from the first untyped of ordinary memory.
    fn make(&mut self, blueprint: ObjectBlueprint) -> Outcome<u32> {
        let largest = boot::FIRST_UNTYPED;
        check!(!self.boot.untypeds[0].device)?;
        let to = self.slot();
        retype(largest, blueprint, to)?;
        Ok(to)
    }

    /// A capability to call the server, in the pool.
    fn session(&mut self) -> Outcome<u32> {
        let endpoint = self.of("server", boot::DOMAIN_ENDPOINT)?;
        let session = self.slot();
        let badge = Badge::new(Who::Channel(3)).ok_or("no badge")?;
        let rights = CapRights::new(false, true, false, true);
        pool(session).mint(&pool(endpoint), rights, badge.word())?;
        Ok(session)
    }
}

fn retype(untyped: u32, blueprint: ObjectBlueprint, to: u32) -> sel4::Result<()> {
    let node = cap::CNode::from_bits(boot::POOL).absolute_cptr_for_self();
    in_pool::<cap_type::Untyped>(untyped).untyped_retype(&blueprint, &node, to as usize, 1)
}

fn the_start_information_names_all_domains(context: &mut Context) -> Outcome {
    let (_, manager) = context.domain("ic_manager")?;
    check_eq!((manager.channel, manager.serves), (None, true))?;
    let (_, server) = context.domain("server")?;
    check_eq!((server.channel, server.serves), (Some(1), true))?;
    let (_, plain) = context.domain("plain")?;
    check_eq!((plain.channel, plain.serves), (None, false))?;
    // A root CNode alone takes 32 pages.
    check!(server.pages > 32 && server.pages.is_power_of_two())?;
    check_eq!(context.boot.domains.len(), 5)
}

fn untyped_memory_is_where_the_information_says(context: &mut Context) -> Outcome {
    let scratch = context.slot();
    let mut bytes = 0u64;
    for (index, untyped) in context.boot.untypeds.iter().enumerate() {
        if untyped.device {
            continue;
        }
        bytes += 1 << untyped.size_bits;
        // The kernel clears an untyped when it is first used: large ones take long.
        if (12..=22).contains(&untyped.size_bits) {
            let index = boot::FIRST_UNTYPED + index as u32;
            retype(index, ObjectBlueprintX86::_4k.into(), scratch)?;
            let at = in_pool::<cap_type::Granule>(scratch).frame_get_address()?;
            check_eq!(at as u64, untyped.paddr)?;
            pool(scratch).delete()?;
        }
    }
    check!(bytes > 400 << 20, "{bytes} bytes of 512 MiB")
}

fn device_memory_is_marked_as_such(context: &mut Context) -> Outcome {
    let scratch = context.slot();
    let boot = &context.boot;
    let (index, untyped) = (boot.untypeds.iter().enumerate())
        .find(|(_, untyped)| untyped.device && untyped.size_bits >= 12)
        .ok_or("no device memory")?;
    let index = boot::FIRST_UNTYPED + index as u32;
    check!(retype(index, ObjectBlueprint::Tcb, scratch).is_err())?;
    retype(index, ObjectBlueprintX86::_4k.into(), scratch)?;
    let at = in_pool::<cap_type::Granule>(scratch).frame_get_address()?;
    check_eq!(at as u64, untyped.paddr)
}

fn address_spaces_can_be_named(context: &mut Context) -> Outcome {
    let vspace = context.make(ObjectBlueprintX64::PML4.into())?;
    in_pool::<cap_type::AsidPool>(boot::ASID_POOL).asid_pool_assign(in_pool(vspace))?;
    let memory = context.make(ObjectBlueprint::asid_pool())?;
    let another = context.slot();
    in_pool::<cap_type::AsidControl>(boot::ASID_CONTROL)
        .asid_control_make_pool(in_pool(memory), &pool(another))?;
    let vspace = context.make(ObjectBlueprintX64::PML4.into())?;
    in_pool::<cap_type::AsidPool>(another).asid_pool_assign(in_pool(vspace))?;
    Ok(())
}

fn interrupts_can_be_issued(context: &mut Context) -> Outcome {
    let handler = context.slot();
    in_pool::<cap_type::IrqControl>(boot::IRQ_CONTROL).irq_control_get_ioapic(
        0,
        5,
        0,
        0,
        20,
        &pool(handler),
    )?;
    in_pool::<cap_type::IrqHandler>(handler).irq_handler_ack()?;
    Ok(())
}

fn threads_of_domains_can_be_stopped_and_continued(context: &mut Context) -> Outcome {
    let session = context.session()?;
    let tcb = in_pool::<cap_type::Tcb>(context.of("server", boot::DOMAIN_TCB)?);
    tcb.tcb_suspend()?;
    let registers = tcb.tcb_read_all_registers(false)?;
    check!((0x20_0000..0x40_0000).contains(registers.pc()))?;
    tcb.tcb_resume()?;
    check_eq!(ask(session, Ask::Echo, 1), (0, 2))
}

fn sessions_with_a_domain_can_be_minted(context: &mut Context) -> Outcome {
    let session = context.session()?;
    check_eq!(ask(session, Ask::Echo, 41), (0, 42))
}

fn the_cspace_of_a_domain_can_be_filled(context: &mut Context) -> Outcome {
    let session = context.session()?;
    let root = in_pool::<cap_type::CNode>(context.of("caller_a", boot::DOMAIN_CSPACE)?);
    let place = root.absolute_cptr_from_bits_with_depth(20, DOMAIN_ROOT_RADIX as usize);
    place.copy(&pool(session), CapRights::all())?;
    check!(place.copy(&pool(session), CapRights::all()).is_err())?;
    place.delete()?;
    // Slot 3 of its Microkit slots is its address space.
    let vspace = root.absolute_cptr_from_bits_with_depth(3, 20);
    check!(vspace.copy(&pool(session), CapRights::all()).is_err())
}

fn domains_can_be_signalled_on_their_channel(context: &mut Context) -> Outcome {
    write(Note::CommandA, Ask::Count.label());
    write(Note::AnswerA, 0);
    let notification = context.of("caller_a", boot::DOMAIN_NOTIFICATION)?;
    in_pool::<cap_type::Notification>(notification).signal();
    until(|| read(Note::AnswerA) != 0, "caller A")?;
    check!(read(Note::AnswerA) >= got(0, 1))?;
    // Whoever has no channel cannot be signalled.
    let none = context.of("plain", boot::DOMAIN_NOTIFICATION)?;
    let scratch = context.slot();
    check!(pool(scratch).move_(&pool(none)).is_err())
}

fn the_supervisor_refuses_what_makes_no_sense(context: &mut Context) -> Outcome {
    let (server, _) = context.domain("server")?;
    check_eq!(supervisor(Op::NextCrash.label(), 0), (0, 0))?;
    let refused = |label, word| supervisor(label, word).0;
    let disposed = Op::Disposed.label();
    check_eq!(refused(disposed, server.into()), Error::BadState.label())?;
    check_eq!(refused(disposed, u64::MAX), Error::Malformed.label())?;
    check_eq!(refused(0, 0), Error::NoSuchOperation.label())?;
    // Not even what it takes for a fault when somebody else says it.
    check_eq!(refused(5, 0), Error::NoSuchOperation.label())
}

/// Lets caller A or B ask the server.
fn let_ask(context: &Context, name: &str, notes: (Note, Note), ask: Ask) -> Outcome {
    write(notes.0, ask.label());
    write(notes.1, 0);
    let notification = context.of(name, boot::DOMAIN_NOTIFICATION)?;
    // It has a higher priority: it runs at once.
    in_pool::<cap_type::Notification>(notification).signal();
    Ok(())
}

const A: (Note, Note) = (Note::CommandA, Note::AnswerA);
const B: (Note, Note) = (Note::CommandB, Note::AnswerB);

fn callers_that_were_put_aside_can_be_answered_later(context: &mut Context) -> Outcome {
    let session = context.session()?;
    let_ask(context, "caller_a", A, Ask::Defer)?;
    check_eq!(ask(session, Ask::Echo, 1), (0, 2))?;
    check_eq!(read(Note::AnswerA), 0)?;
    check_eq!(ask(session, Ask::AnswerDeferred, 0), (0, 1))?;
    check_eq!(read(Note::AnswerA), got(0, 77))
}

fn a_death_answers_all_callers_at_once(context: &mut Context) -> Outcome {
    let session = context.session()?;
    let_ask(context, "caller_a", A, Ask::Defer)?;
    let_ask(context, "caller_b", B, Ask::WaitAndDie)?;
    check_eq!((read(Note::AnswerA), read(Note::AnswerB)), (0, 0))?;
    let notification = context.of("server", boot::DOMAIN_NOTIFICATION)?;
    in_pool::<cap_type::Notification>(notification).signal();
    let died = got(Error::ServerDied.label(), 0);
    check_eq!((read(Note::AnswerA), read(Note::AnswerB)), (died, died))?;
    // The capability is good, nobody receives.
    let info = sel4::MessageInfo::new(Ask::Echo.label(), 0, 0, 0);
    in_pool::<cap_type::Endpoint>(session).nb_send(info);
    Ok(())
}

fn the_manager_is_signalled_and_told_once_who_died(context: &mut Context) -> Outcome {
    let (server, _) = context.domain("server")?;
    let (_, badge) = cap::Notification::from_bits(abi::NOTIFICATION_SLOT).poll();
    check_eq!(badge, SIGNAL)?;
    check_eq!(
        supervisor(Op::NextCrash.label(), 0),
        (0, u64::from(server) + 1)
    )?;
    check_eq!(supervisor(Op::NextCrash.label(), 0), (0, 0))
}

fn a_domain_is_built_again_when_its_clients_are_disposed_of(context: &mut Context) -> Outcome {
    let (server, _) = context.domain("server")?;
    let starts = read(Note::Starts);
    check_eq!(supervisor(Op::Disposed.label(), server.into()), (0, 0))?;
    until(|| read(Note::Starts) > starts, "the server's start")?;
    check_eq!(read(Note::Starts), starts + 1)?;
    check_eq!(
        supervisor(Op::Disposed.label(), server.into()).0,
        Error::BadState.label()
    )
}

fn what_the_manager_holds_of_a_domain_is_good_again(context: &mut Context) -> Outcome {
    threads_of_domains_can_be_stopped_and_continued(context)?;
    let session = context.session()?;
    // The instance is new: the first call is ours from before.
    check_eq!(ask(session, Ask::Count, 0), (0, 2))?;
    // Its replies node is empty, and works.
    callers_that_were_put_aside_can_be_answered_later(context)?;
    // And it can die once more.
    let (server, _) = context.domain("server")?;
    let starts = read(Note::Starts);
    let (label, _) = ask(session, Ask::Die, Deed::Panic as u64);
    check_eq!(label, Error::ServerDied.label())?;
    let (_, next) = supervisor(Op::NextCrash.label(), 0);
    check_eq!(next, u64::from(server) + 1)?;
    supervisor(Op::Disposed.label(), server.into());
    until(|| read(Note::Starts) > starts, "the server's start")?;
    check_eq!(ask(session, Ask::Count, 0), (0, 1))
}
