// SPDX-License-Identifier: BSD-2-Clause
//! The defects that are in what the factory decides.

use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use process_factory::compose::Process;
use sel4::Fault;
use test_conformance::Knob;
use xos_protocol::contract::{
    Capabilities, Channels, Contract, Cpu, FaultContainment, Memory, Names, Quota, Teardown,
};
use xos_protocol::factory::Spec;
use xos_protocol::ic::FaultKind;
use xos_protocol::manager::{Payer, RegionCreate, Rights, Share};
use xos_protocol::{Error, ExitStatus, IcId, RegionId, Result, Subject};
use xos_server::factory::{Factory, Fate, Maker, Member};
use xos_server::{Deferred, Outcome, Reply, Request, faults};

use crate::{MANAGER, Processes};

/// The knob of this domain.
pub fn knob() -> &'static Knob {
    // SAFETY: all descriptions with this program map it.
    unsafe { Knob::of_domain() }
}

/// Whether this defect is on.
pub fn is(name: &str) -> bool {
    knob().defect() == name
}

/// Whether it is supplying a page that was touched.
pub static SUPPLYING: AtomicBool = AtomicBool::new(false);

/// The factory with its defects.
pub struct Broken {
    pub processes: Processes,
    /// The last ICs that it made.
    made: [IcId; 8],
    /// How many there are.
    alive: u32,
    /// Memory that it has for ICs, beside their own: the last.
    beside: [(IcId, RegionId); 8],
}

impl Broken {
    pub const fn new(processes: Processes) -> Self {
        Self {
            processes,
            made: [IcId::NONE; 8],
            alive: 0,
            beside: [(IcId::NONE, RegionId::NONE); 8],
        }
    }
}

/// Where ICs should have nothing.
const LANDMARK: u64 = 0x4000_0000;
/// An address that no probe goes to: one that tells of a fault there has made that up.
const FORGED: u64 = 0x1234;
/// ICs that live at once where few do.
const FEW: u32 = 4;
/// Bytes of the `syscall` instruction, and of `sysenter`.
const SYSCALL: u64 = 2;
/// Registers as far as the instruction pointer.
const UP_TO_IP: u64 = 1;

impl Factory for Broken {
    type Ic = Process;

    const CLONES: bool = Processes::CLONES;

    fn describe(&self) -> Contract {
        let kept = self.processes.describe();
        match knob().defect() {
            "the_creators_memory_is_promised_and_private_is_given" => Contract {
                memory: Memory::SharedWithCreator,
                ..kept
            },
            "the_creators_capabilities_are_promised_and_own_are_given" => Contract {
                capabilities: Capabilities::Shared,
                ..kept
            },
            "the_creators_names_are_promised_and_none_are_given" => Contract {
                names: Names::Creators,
                ..kept
            },
            "open_memory_is_promised_and_faults_are_contained" => Contract {
                fault_containment: FaultContainment::CreatorsMemory,
                ..kept
            },
            "channels_through_memory_are_promised_and_there_are_none" => Contract {
                channels: Channels::CreatorsMemory,
                ..kept
            },
            "a_value_is_promised_that_has_no_probe" => Contract {
                names: Names::Own,
                ..kept
            },
            "the_creators_quota_is_promised_and_an_own_one_is_given" => Contract {
                quota: Quota::Creators,
                ..kept
            },
            "an_own_priority_is_promised_and_the_creators_is_given"
            | "an_own_priority_is_promised_and_given" => Contract {
                cpu: Cpu::OwnPriority,
                ..kept
            },
            "the_factorys_help_is_promised_and_does_not_come"
            | "the_factorys_help_is_promised_and_comes" => Contract {
                teardown: Teardown::NeedsFactory,
                ..kept
            },
            _ => kept,
        }
    }

    fn create(&mut self, maker: &mut Maker<'_>, spec: &Spec<'_>) -> Result<Process> {
        let spec = Spec {
            memory: match is("the_limit_of_memory_is_ignored") {
                true => spec.memory * 2,
                false => spec.memory,
            },
            ..spec.clone()
        };
        let beside = match knob().defect() {
            "memory_stays_when_an_ic_is_destroyed"
            | "a_life_leaves_memory_behind"
            | "the_factorys_help_is_promised_and_does_not_come"
            | "the_factorys_help_is_promised_and_comes" => MANAGER
                .region_create(&RegionCreate {
                    payer: Payer::Client(maker.client()),
                    pages: 4,
                    large: false,
                    place: 0,
                })
                .ok(),
            _ => None,
        };
        if is("few_ics_live_at_once") && self.alive >= FEW {
            return Err(Error::TableFull);
        }
        let mut made = self.processes.create(maker, &spec);
        if let (true, Err(Error::NoImage)) = (is("an_image_that_is_not_there_is_replaced"), &made) {
            let image = "hello";
            made = self.processes.create(maker, &Spec { image, ..spec });
        }
        self.alive += u32::from(made.is_ok());
        if let (Some(region), Some(id)) = (beside, maker.made()) {
            self.beside.rotate_right(1);
            self.beside[0] = (id, region);
        }
        assert!(
            !(is("a_refusal_by_the_manager_ends_the_factory")
                && matches!(made, Err(Error::OverBudget | Error::TableFull))),
            "a defect"
        );
        assert!(
            !(is("a_slot_that_is_taken_ends_the_factory") && matches!(made, Err(Error::BadSlot))),
            "a defect"
        );
        made
    }

    fn start(&mut self, ic: Member<'_, Process>) -> Result<()> {
        let id = ic.id;
        self.made.rotate_right(1);
        self.made[0] = id;
        let rights = match knob().defect() {
            "a_page_of_the_factory_is_mapped_in_every_ic"
            | "a_page_of_the_factory_is_executed_in_every_ic" => Some(Rights::R),
            "a_page_of_the_factory_is_writable_in_every_ic" => Some(Rights::RW),
            _ => None,
        };
        if let Some(rights) = rights {
            let region = MANAGER.region_create(&RegionCreate {
                payer: Payer::Myself,
                pages: 1,
                large: false,
                place: 0,
            })?;
            MANAGER.share(&Share {
                region,
                target: Subject::Ic(id),
                address: LANDMARK,
                rights,
            })?;
        }
        self.processes.start(ic)
    }

    fn fault(&mut self, ic: Member<'_, Process>, fault: &Fault) -> Fate {
        let (id, parts) = (ic.id, ic.parts);
        assert!(
            !(is("a_forged_fault_ends_the_factory")
                && matches!(faults::describe(fault).kind, FaultKind::Execute(FORGED))),
            "a defect"
        );
        SUPPLYING.store(true, SeqCst);
        let fate = self.processes.fault(ic, fault);
        SUPPLYING.store(false, SeqCst);
        if !matches!(fate, Fate::Ends(_)) {
            return fate;
        }
        match knob().defect() {
            "linux_system_calls_are_answered" | "unknown_kernel_calls_are_answered" => {
                let Ok(mut context) = parts.tcb().tcb_read_registers(false, UP_TO_IP) else {
                    return fate;
                };
                context.inner_mut().rip += SYSCALL;
                match parts
                    .tcb()
                    .tcb_write_registers(true, UP_TO_IP, &mut context)
                {
                    Ok(()) => Fate::GoesOn,
                    Err(_) => fate,
                }
            }
            "a_fault_is_reported_as_an_exit" => Fate::Ends(ExitStatus::Code(0)),
            "a_fault_ends_a_sibling_as_well" => {
                for other in self.made.iter().filter(|other| **other != id) {
                    let _ = MANAGER.destroy(*other);
                }
                fate
            }
            "a_fault_ends_the_factory" => panic!("a defect"),
            _ => fate,
        }
    }

    fn touched(&mut self, ic: Member<'_, Process>, address: u64, code: u64) -> Result<()> {
        self.processes.touched(ic, address, code)
    }

    fn arguments(&mut self, ic: Member<'_, Process>) -> Result<(u64, u64)> {
        self.processes.arguments(ic)
    }

    fn asked(
        &mut self,
        ic: Member<'_, Process>,
        request: Request<'_>,
        reply: &mut Reply,
        deferred: &mut Deferred<'_>,
    ) -> Outcome {
        assert!(
            !(is("a_message_ends_the_factory") && request.label() > 0x3f0),
            "a defect"
        );
        self.processes.asked(ic, request, reply, deferred)
    }

    fn snapshot(&mut self, ic: Member<'_, Process>) -> Result<()> {
        self.processes.snapshot(ic)
    }

    fn clone(&mut self, maker: &mut Maker<'_>, model: Member<'_, Process>) -> Result<Process> {
        let made = self.processes.clone(maker, model);
        self.alive += u32::from(made.is_ok());
        made
    }

    fn gone(&mut self, id: IcId, process: Process) {
        let beside = self.beside.iter().find(|(of, _)| *of == id);
        if let (true, Some((_, region))) = (is("the_factorys_help_is_promised_and_comes"), beside) {
            let _ = MANAGER.region_destroy(*region);
        }
        self.alive -= 1;
        self.processes.gone(id, process);
    }

    fn closed(&mut self, client: u32) {
        assert!(!is("the_end_of_a_session_ends_the_factory"), "a defect");
        self.processes.closed(client);
    }
}
