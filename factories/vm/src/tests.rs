// SPDX-License-Identifier: BSD-2-Clause
//! A machine as a whole, on a model of its processor.

use std::collections::BTreeMap;
use std::vec::Vec;

use proptest::prelude::*;
use xos_vcpu::{ControlRegisters, Vmcs, cr0, field, guest, primary};

use crate::devices::Board;
use crate::interface::{
    BAD_ADDRESS, CALL_CALL, CALL_RECEIVE, CALL_REPLY, CALL_SEND, CALL_SIGNAL, CALL_SIGNALS,
    MESSAGE_BYTES, MOST, NO_CHANNEL, NO_SUCH_CALL, SHARED, SHARED_END,
};
use crate::links::{Link, Message};
use crate::machine::{End, Exit, Machine, Next, Registers, World, reason};
use crate::memory::Memory;
use crate::processor::Leaf;

const IDENTITY: u32 = 0xfee0_0000;
const SIZE: usize = 64 << 10;
/// What is injected: a general protection fault with an error code, an invalid opcode.
const PROTECTION: u32 = 0x8000_0b0d;
const INVALID: u32 = 0x8000_0306;
const IF: u32 = 0x202;

#[derive(Default)]
struct Fields(BTreeMap<u32, u64>);

impl Vmcs for Fields {
    type Error = u32;

    fn read(&mut self, field: u32) -> Result<u64, u32> {
        Ok(self.0.get(&field).copied().unwrap_or(0))
    }

    fn write(&mut self, field: u32, value: u64) -> Result<(), u32> {
        self.0.insert(field, value);
        Ok(())
    }
}

#[derive(Default)]
struct Around {
    output: Vec<u8>,
    now: u64,
    /// What was wanted of others, by the channel.
    links: Vec<Option<u32>>,
}

impl World for Around {
    fn output(&mut self, bytes: &[u8]) {
        self.output.extend(bytes);
    }

    fn now(&mut self) -> u64 {
        self.now
    }

    fn cpuid(&mut self, leaf: u32) -> Leaf {
        [leaf; 4]
    }

    fn link(&mut self, link: Link<'_>) -> u32 {
        let channel = match link {
            Link::Call(channel, message) => {
                *message = Message::reply(Ok(message.words.map(|word| word + 1)));
                Some(channel)
            }
            Link::Send(channel, _) | Link::Signal(channel) => Some(channel),
            _ => None,
        };
        self.links.push(channel);
        7
    }
}

struct Test {
    machine: Machine,
    vcpu: Fields,
    memory: Vec<u8>,
    around: Around,
}

impl Test {
    fn new() -> Self {
        let mut vcpu = Fields::default();
        let control = ControlRegisters::unpaged(IDENTITY);
        control.install(&mut vcpu).unwrap();
        let board = Board::new(0, SIZE as u64);
        Self {
            machine: Machine::new(0x1000, Registers::default(), control, board),
            vcpu,
            memory: vec![0; SIZE],
            around: Around::default(),
        }
    }

    fn exit(&mut self, exit: Exit) -> Next {
        let mut memory = Memory::new(&mut self.memory);
        self.machine
            .exit(&exit, &mut self.vcpu, &mut memory, &mut self.around)
            .unwrap()
    }

    /// The guest writes a byte to a port.
    fn out(&mut self, port: u16, value: u8) -> Next {
        self.exit(Exit {
            reason: reason::IO,
            qualification: u64::from(port) << 16,
            flags: IF,
            registers: Registers {
                eax: value.into(),
                ..Registers::default()
            },
            ..Exit::default()
        })
    }

    fn hypercall(&mut self, eax: u32, ebx: u32, ecx: u32) -> Next {
        self.exit(Exit {
            reason: reason::VMCALL,
            length: 3,
            registers: Registers {
                eax,
                ebx,
                ecx,
                ..Registers::default()
            },
            ..Exit::default()
        })
    }

    /// The interrupt controllers are ready, and the timer ticks a hundred times a second.
    fn ticking() -> Self {
        let mut test = Self::new();
        for (port, value) in [(0x20, 0x13), (0x21, 0x20), (0x21, 1), (0x21, 0)] {
            test.out(port, value);
        }
        for (port, value) in [(0x43, 0x34), (0x40, 0x9c), (0x40, 0x2e)] {
            test.out(port, value);
        }
        test
    }
}

fn at(reason: u32) -> Exit {
    Exit {
        reason,
        ip: 0x1000,
        length: 2,
        flags: IF,
        ..Exit::default()
    }
}

#[test]
fn a_guest_goes_on_behind_what_was_done_for_it() {
    let mut test = Test::new();
    assert_eq!(test.exit(at(reason::CPUID)), Next::Enter);
    assert_eq!(test.machine.entry(0).ip, 0x1002);
    assert_eq!(test.exit(at(reason::EXTERNAL_INTERRUPT)), Next::Enter);
    assert_eq!(test.machine.entry(0).ip, 0x1000);
}

#[test]
fn bytes_for_the_serial_port_go_out_and_the_other_bytes_of_eax_stay() {
    let mut test = Test::new();
    test.out(0x3f8, b'x');
    assert_eq!(test.around.output, b"x");
    test.exit(Exit {
        qualification: 0x3fd << 16 | 8,
        registers: Registers {
            eax: 0x1234_5678,
            ..Registers::default()
        },
        ..at(reason::IO)
    });
    assert_eq!(test.machine.registers().eax, 0x1234_5660);
}

#[test]
fn a_tick_is_injected_when_it_is_due_and_the_guest_lets_it() {
    let mut test = Test::ticking();
    assert_eq!(test.machine.entry(9_000_000).interruption, 0);
    let entry = test.machine.entry(11_000_000);
    assert_eq!(entry.interruption, 0x8000_0020);
    assert_eq!(entry.controls & primary::INTERRUPT_WINDOW, 0);
}

#[test]
fn a_guest_with_interrupts_off_is_left_as_soon_as_it_turns_them_on() {
    let mut test = Test::ticking();
    test.exit(Exit {
        flags: 2,
        ..at(reason::EXTERNAL_INTERRUPT)
    });
    let entry = test.machine.entry(11_000_000);
    assert_eq!(entry.interruption, 0);
    assert_ne!(entry.controls & primary::INTERRUPT_WINDOW, 0);
    test.exit(at(reason::INTERRUPT_WINDOW));
    assert_eq!(test.machine.entry(11_000_000).interruption, 0x8000_0020);
}

#[test]
fn a_guest_that_waits_sleeps_until_its_timer_and_not_behind_it() {
    let mut test = Test::ticking();
    // STI; HLT: the processor still protects the instruction behind STI.
    let Next::Idle(Some(until)) = test.exit(Exit {
        interruptibility: 1,
        ..at(reason::HLT)
    }) else {
        panic!("it does not wait");
    };
    assert_eq!(test.machine.wake(until - 1), Next::Idle(Some(until)));
    assert_eq!(test.machine.wake(until), Next::Enter);
    assert_eq!(test.machine.entry(until).interruption, 0x8000_0020);
    assert_eq!(test.vcpu.0[&guest::INTERRUPTIBILITY_STATE], 0);
}

#[test]
fn a_guest_that_waits_for_nothing_waits_for_its_console() {
    let mut test = Test::ticking();
    for (port, value) in [(0x43, 0x30), (0x3fc, 8), (0x3f9, 1)] {
        test.out(port, value);
    }
    assert_eq!(test.exit(at(reason::HLT)), Next::Idle(None));
    test.machine.board().receive(b'x').unwrap();
    assert_eq!(test.machine.wake(0), Next::Enter);
    assert_eq!(test.machine.entry(0).interruption, 0x8000_0024);
}

#[test]
fn a_guest_that_stops_for_ever_has_ended() {
    let mut test = Test::new();
    let next = test.exit(Exit {
        flags: 2,
        ..at(reason::HLT)
    });
    assert_eq!(next, Next::End(End::Halted(0x1000)));
}

#[test]
fn the_ends_of_a_machine_are_told_apart() {
    let end = |exit| Test::new().exit(exit);
    assert_eq!(
        end(at(reason::TRIPLE_FAULT)),
        Next::End(End::TripleFault(0x1000))
    );
    let outside = Exit {
        physical: 0xfee0_0030,
        ..at(reason::EPT_VIOLATION)
    };
    assert_eq!(
        end(outside),
        Next::End(End::NoMemory {
            address: 0xfee0_0030,
            ip: 0x1000
        })
    );
    assert_eq!(
        end(at(reason::INVALID_STATE)),
        Next::End(End::InvalidState(0x1000))
    );
    assert!(matches!(
        end(at(u32::MAX)),
        Next::End(End::Unsupported { .. })
    ));
    assert_eq!(Test::new().out(0xf4, 3), Next::End(End::PowerOff(3)));
    assert_eq!(Test::new().out(0x64, 0xfe), Next::End(End::Reset));
    assert_eq!(Test::new().hypercall(4, 5, 0), Next::End(End::PowerOff(5)));
}

#[test]
fn paging_is_turned_on_through_the_exit_for_it() {
    let mut test = Test::new();
    let write = |control: u64, general: u64, registers| Exit {
        qualification: control | general << 8,
        length: 3,
        registers,
        ..at(reason::CONTROL_REGISTER)
    };
    let edx = |edx| Registers {
        edx,
        ..Registers::default()
    };
    assert_eq!(test.exit(write(3, 2, edx(0x5000))), Next::Enter);
    assert_eq!(test.vcpu.0[&guest::CR3], IDENTITY.into());
    let on = cr0::PE | cr0::PG;
    assert_eq!(test.exit(write(0, 2, edx(on))), Next::Enter);
    assert_eq!(test.vcpu.0[&guest::CR3], 0x5000);
    assert_eq!(test.machine.entry(0).ip, 0x1003);
    assert_eq!(
        test.exit(write(0, 2, edx(0))),
        Next::End(End::RealMode(0x1000))
    );
}

#[test]
fn a_control_register_bit_that_is_not_there_is_a_protection_fault() {
    let mut test = Test::new();
    test.exit(Exit {
        qualification: 4,
        registers: Registers {
            eax: 1 << 20,
            ..Registers::default()
        },
        ..at(reason::CONTROL_REGISTER)
    });
    let entry = test.machine.entry(0);
    assert_eq!((entry.ip, entry.interruption), (0x1000, PROTECTION));
    assert_eq!(test.machine.entry(0).interruption, 0, "it is injected once");
}

#[test]
fn the_short_instructions_for_the_first_control_register_change_what_they_are_for() {
    let mut test = Test::new();
    // LMSW with monitor-coprocessor, emulation and task-switched bits.
    test.exit(Exit {
        qualification: 3 << 4 | 0xe << 16,
        ..at(reason::CONTROL_REGISTER)
    });
    assert_eq!(test.vcpu.0[&guest::CR0] & 15, 15);
    test.exit(Exit {
        qualification: 2 << 4,
        ..at(reason::CONTROL_REGISTER)
    });
    assert_eq!(test.vcpu.0[&guest::CR0] & 15, 7);
    assert_eq!(
        test.vcpu.0[&field::CR0_READ_SHADOW] as u32 & cr0::PG,
        0,
        "paging is still off for the guest"
    );
}

#[test]
fn debug_registers_remember_and_reach_nothing() {
    let mut test = Test::new();
    test.exit(Exit {
        qualification: 7,
        registers: Registers {
            eax: u32::MAX,
            ..Registers::default()
        },
        ..at(reason::DEBUG_REGISTER)
    });
    test.exit(Exit {
        qualification: 7 | 1 << 4 | 6 << 8,
        ..at(reason::DEBUG_REGISTER)
    });
    assert_eq!(test.machine.registers().esi, 0xffff_2fff);
    assert!(!test.vcpu.0.contains_key(&guest::DR7));
}

#[test]
fn a_model_specific_register_that_is_not_there_is_a_protection_fault() {
    let mut test = Test::new();
    for (reason, ecx) in [
        (reason::RDMSR, 0x1b),
        (reason::WRMSR, 0x1b),
        (reason::WRMSR, 0xc000_0080),
        (reason::RDMSR, u32::MAX),
    ] {
        test.exit(Exit {
            registers: Registers {
                ecx,
                ..Registers::default()
            },
            ..at(reason)
        });
        assert_eq!(test.machine.entry(0).interruption, PROTECTION, "{ecx:#x}");
    }
}

#[test]
fn a_guest_that_wants_to_be_a_hypervisor_finds_no_such_instruction() {
    for reason in reason::VMCLEAR..=reason::VMXON {
        let mut test = Test::new();
        test.exit(at(reason));
        let entry = test.machine.entry(0);
        assert_eq!((entry.ip, entry.interruption), (0x1000, INVALID));
    }
}

#[test]
fn hypercalls_write_and_read_the_console() {
    let mut test = Test::new();
    test.memory[0x100..0x105].copy_from_slice(b"hello");
    test.hypercall(1, 0x100, 5);
    assert_eq!(
        (test.around.output.as_slice(), test.machine.registers().eax),
        (&b"hello"[..], 5)
    );
    test.machine.board().receive(b'y').unwrap();
    test.hypercall(2, 0x200, 9);
    assert_eq!(
        (test.memory[0x200], test.machine.registers().eax),
        (b'y', 1)
    );
    test.around.now = 0x1_2345_6789;
    test.hypercall(3, 0, 0);
    let Registers { eax, edx, .. } = *test.machine.registers();
    assert_eq!((eax, edx), (0x2345_6789, 1));
}

#[test]
fn hypercalls_with_bad_arguments_are_told_so_and_do_nothing() {
    let end = SIZE as u32;
    for (address, length) in [
        (end, 1),
        (end - 1, 2),
        (u32::MAX, 1),
        (u32::MAX, u32::MAX),
        (0xf001, u32::MAX),
    ] {
        for call in [1, 2] {
            let mut test = Test::new();
            assert_eq!(test.hypercall(call, address, length), Next::Enter);
            assert_eq!(test.machine.registers().eax, BAD_ADDRESS);
            assert!(test.around.output.is_empty());
        }
    }
    for number in [CALL_SIGNALS + 1, 0xffff, u32::MAX] {
        let mut test = Test::new();
        test.hypercall(number, 0, 0);
        assert_eq!(test.machine.registers().eax, NO_SUCH_CALL);
    }
    let mut test = Test::new();
    test.hypercall(1, 0, u32::MAX);
    assert_eq!(test.machine.registers().eax, MOST, "a call is short");
}

#[test]
fn a_message_is_answered_where_it_was() {
    let mut test = Test::new();
    let message = Message {
        label: 9,
        words: [1, 2, 3, 4],
        who: 0,
    };
    test.memory[0x100..0x100 + MESSAGE_BYTES as usize].copy_from_slice(&message.bytes());
    test.hypercall(CALL_CALL, 40, 0x100);
    assert_eq!(test.machine.registers().eax, 7);
    assert_eq!(test.around.links, [Some(40)]);
    let reply = test.memory[0x100..].first_chunk().unwrap();
    assert_eq!(Message::read(reply), Message::reply(Ok([2, 3, 4, 5])));
}

#[test]
fn messages_with_bad_arguments_are_told_so_and_reach_nobody() {
    let end = SIZE as u32;
    let mut test = Test::new();
    for address in [end, end - 1, end - MESSAGE_BYTES + 1, SHARED, u32::MAX] {
        for (call, channel) in [
            (CALL_CALL, 40),
            (CALL_CALL, 2),
            (CALL_SEND, 40),
            (CALL_RECEIVE, 0),
            (CALL_REPLY, 0),
        ] {
            test.hypercall(call, channel, address);
            assert_eq!(test.machine.registers().eax, BAD_ADDRESS);
        }
    }
    for channel in [0, 1, 3, 7, 12, 32, 64, u32::MAX] {
        for call in [CALL_CALL, CALL_SEND, CALL_SIGNAL] {
            test.hypercall(call, channel, 0);
            assert_eq!(test.machine.registers().eax, NO_CHANNEL);
        }
    }
    for (call, channel) in [
        (CALL_SEND, 2),
        (CALL_SIGNAL, 2),
        (CALL_RECEIVE, 1),
        (CALL_REPLY, 9),
    ] {
        test.hypercall(call, channel, 0);
        assert_eq!(test.machine.registers().eax, NO_CHANNEL);
    }
    assert!(test.around.links.is_empty());
}

#[test]
fn memory_that_others_do_not_share_any_more_is_a_protection_fault() {
    for physical in [SHARED, SHARED_END - 1] {
        let mut test = Test::new();
        let next = test.exit(Exit {
            physical: physical.into(),
            ..at(reason::EPT_VIOLATION)
        });
        assert_eq!(next, Next::Enter);
        let entry = test.machine.entry(0);
        assert_eq!((entry.ip, entry.interruption), (0x1000, PROTECTION));
    }
}

fn any_exit() -> impl Strategy<Value = Exit> {
    let reasons = prop_oneof![
        Just(reason::IO),
        Just(reason::CONTROL_REGISTER),
        Just(reason::VMCALL),
        0u32..70
    ];
    (reasons, any::<[u32; 7]>(), any::<u64>(), any::<[u32; 4]>()).prop_map(
        |(reason, [eax, ebx, ecx, edx, esi, edi, ebp], qualification, words)| Exit {
            reason,
            ip: words[0],
            qualification: qualification & !0xc0,
            length: words[1] % 16,
            physical: qualification,
            flags: words[2],
            interruptibility: words[3] & 15,
            registers: Registers {
                eax,
                ebx,
                ecx,
                edx,
                esi,
                edi,
                ebp,
            },
        },
    )
}

proptest! {
    #[test]
    fn whatever_a_guest_does_it_goes_on_or_ends_and_its_processor_stays_confined(
        exits in proptest::collection::vec((any_exit(), 0u64..1 << 30), 1..60)
    ) {
        let mut test = Test::new();
        for (exit, later) in exits {
            test.around.now += later;
            let next = test.exit(exit);
            let cr0 = test.vcpu.0[&guest::CR0] as u32;
            prop_assert_eq!(cr0 & (cr0::PE | cr0::PG | cr0::NE), cr0::PE | cr0::PG | cr0::NE);
            let entry = test.machine.entry(test.around.now);
            prop_assert_eq!(entry.controls & primary::ALWAYS, primary::ALWAYS);
            if entry.interruption & 0x700 == 0 && entry.interruption != 0 {
                prop_assert!(exit.flags & 0x200 != 0, "an interrupt that the guest did not want");
            }
            if let Next::End(_) = next {
                break;
            }
        }
    }
}
