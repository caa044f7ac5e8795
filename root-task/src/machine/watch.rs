// SPDX-License-Identifier: BSD-2-Clause
//! The supervisor's loop: receives, decides ([`xos_root_task::supervise`]), carries out.

use sel4::{CapRights, Fault as KernelFault, MessageInfo, cap, cap_type};
use xos_image::console::Frame;
use xos_protocol::ic::{Fault, FaultKind};
use xos_protocol::supervisor::LINE;
use xos_root_task::cspace::REPLIES_RADIX;
use xos_root_task::report::{Crash, Decision, Logged};
use xos_root_task::restart::Verdict;
use xos_root_task::supervise::{Action, Event, Start, Supervisor};
use xos_runtime::guarded;
use xos_runtime::panic_report::{self, PanicReport};

use super::build::{Builder, tcb_of};
use super::console;
use super::kernel::{self, Result, cap_in, own};
use super::stub;

/// A running system.
pub struct Watch<'a> {
    pub builder: Builder<'a>,
    pub supervisor: Supervisor,
}

impl Watch<'_> {
    /// Supervises for ever.
    pub fn watch(&mut self) -> ! {
        let endpoint: cap::Endpoint = cap_in(self.builder.plan.own.supervisor);
        loop {
            let (info, badge) = endpoint.recv(());
            let (fault, word) = sel4::with_ipc_buffer(|buffer| {
                (KernelFault::try_new(buffer, &info), buffer.msg_regs()[0])
            });
            let word = if info.length() > 0 { word } else { 0 };
            let event = Event::of(badge, info.label(), word);
            if let (Event::Fault { domain }, Some(KernelFault::VmFault(_))) = (event, &fault)
                && self.lands(domain)
            {
                continue;
            }
            for action in self.supervisor.handle(event, kernel::now()) {
                self.act(action, fault.as_ref());
            }
        }
    }

    /// Has a domain go on elsewhere after a fault that it was prepared for: memory of somebody else's was taken away
    /// while it copied.
    fn lands(&mut self, domain: usize) -> bool {
        let Some(tcb) = self.builder.plan.domains.get(domain).map(tcb_of) else {
            return false;
        };
        let Ok(mut registers) = tcb.tcb_read_all_registers(false) else {
            return false;
        };
        let raw = registers.inner_mut();
        let Some(landing) = guarded::landing(raw.r8, raw.r9) else {
            return false;
        };
        raw.rip = landing;
        self.supervisor.may_land(domain, kernel::now())
            && tcb.tcb_write_all_registers(true, &mut registers).is_ok()
    }

    fn act(&mut self, action: Action, fault: Option<&KernelFault>) {
        match action {
            Action::Report { domain, verdict } => self.report(domain, verdict, fault),
            Action::Answer { domain } => {
                // A thread that cannot be restarted has been deleted, and its callers with it.
                let _ = tcb_of(&self.builder.plan.domains[domain])
                    .tcb_write_all_registers(true, &mut stub::answer());
            }
            Action::Drain { domain } => {
                self.stop(domain);
                self.drain(domain);
            }
            Action::Signal => {
                if let Some(handover) = &self.builder.plan.handover {
                    cap_in::<cap_type::Notification>(handover.signal).signal();
                }
            }
            Action::Build { domain, start } => {
                if let Err(error) = self.rebuild(domain, start) {
                    let name = self.name(domain);
                    console::print(format_args!(
                        "{}",
                        Logged(format_args!(
                            "supervisor: {name} cannot be built again: {error}"
                        ))
                    ));
                    self.supervisor.build_failed(domain);
                }
            }
            Action::Stop { domain } => self.stop(domain),
            Action::Log { bytes } => print_message(bytes),
            Action::Reply(answer) => {
                let (label, word) = match answer {
                    Ok(word) => (0, word),
                    Err(error) => (error.label(), 0),
                };
                sel4::reply_with_mrs(MessageInfo::new(label, 0, 0, 1), [word]);
            }
            Action::PowerOff { code } => console::power_off(code == 0),
        }
    }

    fn name(&self, domain: usize) -> &str {
        &self.builder.image.system().domains[domain].name
    }

    fn stop(&self, domain: usize) {
        // Only a thread that was deleted cannot be stopped, and need not be.
        let _ = tcb_of(&self.builder.plan.domains[domain]).tcb_suspend();
    }

    fn report(&mut self, domain: usize, verdict: Option<Verdict>, fault: Option<&KernelFault>) {
        let registers = tcb_of(&self.builder.plan.domains[domain])
            .tcb_read_all_registers(true)
            .unwrap_or_default();
        let mut fault = fault.and_then(what);
        let mut buffer = [0; panic_report::MAX_LEN];
        let mut message = "";
        let r = registers.inner();
        let last_words = PanicReport::from_registers(r.rax, r.rdi, r.rsi);
        if let (Some(fault), Some(report)) = (&mut fault, last_words)
            && fault.kind == FaultKind::Exception(panic_report::EXCEPTION as u8)
        {
            fault.kind = FaultKind::Panic;
            let read = self.read(domain, report.addr, &mut buffer[..report.len]);
            message = panic_report::text(&buffer[..read]);
        }
        let name = self.name(domain);
        console::print(format_args!(
            "{}",
            Logged(Crash {
                name,
                fault,
                registers,
                message,
            })
        ));
        if let Some(verdict) = verdict {
            console::print(format_args!("{}", Logged(Decision { name, verdict })));
        }
    }

    /// Reads memory of a domain, as far as it was mapped at its start. Gives the number of bytes read.
    fn read(&mut self, domain: usize, vaddr: u64, to: &mut [u8]) -> usize {
        let mut done = 0;
        while done < to.len() {
            let Some(vaddr) = vaddr.checked_add(done as u64) else {
                break;
            };
            let Some((frame, offset, size)) = self.builder.plan.domains[domain].frame_at(vaddr)
            else {
                break;
            };
            let rest = &mut to[done..];
            let count = rest.len().min((size - offset) as usize);
            let copied = self
                .builder
                .window
                .read(frame, size.trailing_zeros(), |bytes| {
                    rest[..count].copy_from_slice(&bytes[offset as usize..][..count]);
                });
            if copied.is_err() {
                break;
            }
            done += count;
        }
        done
    }

    /// Answers everybody whose reply capability a domain had put aside.
    ///
    /// The domain could have put anything there; sending it a message without waiting is no more than
    /// the domain could have done itself.
    fn drain(&self, domain: usize) {
        let objects = &self.builder.plan.domains[domain].objects;
        let Some(replies) = objects.replies else {
            return;
        };
        let scratch = self.builder.plan.own.scratch;
        let probe = own(objects.notification);
        for index in 0..1 << REPLIES_RADIX {
            let slot = cap_in::<cap_type::CNode>(replies)
                .absolute_cptr_from_bits_with_depth(index, REPLIES_RADIX as usize);
            // Only an empty slot takes this. (To try to move what is not there is as good, but for
            // the line that debug kernels print each time.)
            if slot.copy(&probe, CapRights::none()).is_ok() {
                let _ = slot.delete();
            } else if own(scratch).move_(&slot).is_ok() {
                cap_in::<cap_type::Unspecified>(scratch).nb_send(stub::died());
                // A reply capability is gone with its use. Deleting what is not there does nothing.
                let _ = own(scratch).delete();
            }
        }
    }

    fn rebuild(&mut self, domain: usize, start: Start) -> Result {
        self.builder.destroy(domain)?;
        self.builder.create(domain)?;
        self.builder.compose(domain, start)?;
        if start == Start::Program {
            self.builder.acknowledge_irqs(domain)?;
        }
        self.builder.resume(domain)
    }
}

/// Prints bytes of the message that was received last, from its second word on: a line for the log.
fn print_message(bytes: usize) {
    let mut text = [0; LINE];
    sel4::with_ipc_buffer(|buffer| {
        let words = &buffer.msg_regs()[1..];
        for (chunk, word) in text.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
    });
    let line = panic_report::text(&text[..bytes.min(LINE)]);
    console::print(format_args!("{}", Frame::Log(line.trim_end())));
}

/// Bit of a page fault's error code: the access was a write (Intel SDM volume 3, section 4.7).
const WRITE: u64 = 1 << 1;

/// What the kernel says that happened.
fn what(fault: &KernelFault) -> Option<Fault> {
    Some(match fault {
        KernelFault::NullFault(_) => return None,
        KernelFault::CapFault(fault) => Fault {
            ip: fault.inner().get_IP(),
            kind: FaultKind::Capability(fault.inner().get_Addr()),
        },
        KernelFault::UnknownSyscall(fault) => Fault {
            ip: fault.inner().get_FaultIP(),
            kind: FaultKind::Syscall(fault.inner().get_Syscall()),
        },
        KernelFault::UserException(fault) => Fault {
            ip: fault.inner().get_FaultIP(),
            kind: FaultKind::Exception(fault.inner().get_Number() as u8),
        },
        KernelFault::VmFault(fault) => {
            let raw = fault.inner();
            let (ip, write) = (raw.get_IP(), raw.get_FSR() & WRITE != 0);
            let fetch = raw.get_PrefetchFault() != 0;
            Fault {
                ip,
                kind: FaultKind::page_fault(ip, raw.get_Addr(), write, fetch),
            }
        }
    })
}
