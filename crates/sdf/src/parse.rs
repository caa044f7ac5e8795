// SPDX-License-Identifier: BSD-2-Clause
//! From XML to [`System`]: what can be checked element by element.
//!
//! Regions are read first, then domains, then channels, so that every name can be looked up when it
//! is met.

use std::collections::{BTreeMap, HashMap, hash_map::Entry};

use roxmltree::{Document, ParsingOptions};
use xos_image::{
    Access, DEFAULT_STACK_SIZE, IoPorts, Irq, IrqSource, LARGE_PAGE_SIZE, MAX_CHANNEL_ID,
    MAX_DOMAINS, MAX_IO_PORT_ID, MAX_IRQ_VECTOR, MAX_PRIORITY, MAX_REGIONS, MAX_STACK_SIZE,
    MIN_STACK_SIZE, PAGE_SIZE, USER_END, USER_START,
};

use crate::{
    check,
    error::{Mistake, SdfError},
    model::{
        Channel, End, Map, MemoryRegion, ProgramImage, ProtectionDomain, Setvar, SetvarValue,
        System,
    },
    xml::{Element, Source},
};

/// The longest description, in bytes. The largest system that fits the other limits needs less.
pub const MAX_FILE_SIZE: usize = 1 << 20;

/// One past the last physical address of the kernel (`PADDR_USER_DEVICE_TOP`).
const PHYSICAL_END: u64 = 1 << 47;
/// Pins of an I/O APIC (the kernel's `IOAPIC_IRQ_LINES`).
const MAX_PIN: u64 = 23;
/// The default kernel is built for one I/O APIC (`CONFIG_MAX_NUM_IOAPIC`).
const MAX_IOAPIC: u64 = 0;

/// Reads and checks a description. `file_name` is used in errors only; no file is read.
///
/// # Errors
/// The first mistake found.
pub fn parse(text: &str, file_name: &str) -> Result<System, SdfError> {
    let source = Source {
        file: file_name.into(),
        text: text.into(),
    };
    let whole_file = |line, column, mistake| SdfError {
        file: file_name.into(),
        line,
        column,
        element: None,
        mistake: Box::new(mistake),
    };
    if text.len() > MAX_FILE_SIZE {
        let mistake = Mistake::FileSize {
            size: text.len(),
            max: MAX_FILE_SIZE,
        };
        return Err(whole_file(1, 1, mistake));
    }
    let document =
        Document::parse_with_options(&source.text, ParsingOptions::default()).map_err(|error| {
            let position = error.pos();
            whole_file(position.row, position.col, Mistake::Xml(error.to_string()))
        })?;
    let root = Element::new(document.root_element(), &source);
    if !root.is("system") {
        return Err(root.error(Mistake::Root));
    }
    root.attributes(&[])?;
    let at = root.at();

    let children = root.children("system", &["protection_domain", "memory_region", "channel"])?;
    let all = |name| children.iter().filter(move |child| child.is(name));
    let mut reader = Reader::default();
    for element in all("memory_region") {
        reader.region(element)?;
    }
    for element in all("protection_domain") {
        reader.domain(element, None)?;
    }
    for element in all("channel") {
        reader.channel(element)?;
    }
    if reader.domains.is_empty() {
        return Err(root.error(Mistake::NoDomains));
    }

    let mut system = System {
        protection_domains: reader.domains,
        memory_regions: reader.regions,
        channels: reader.channels,
        warnings: Vec::new(),
        at,
        source: source.clone(),
    };
    check::system(&mut system)?;
    Ok(system)
}

/// What has been read so far. The maps remember where a name or id was first used.
#[derive(Default)]
struct Reader {
    regions: Vec<MemoryRegion>,
    region_names: HashMap<String, usize>,
    domains: Vec<ProtectionDomain>,
    domain_names: HashMap<String, usize>,
    channels: Vec<Channel>,
    /// For each domain, the identifiers that it uses.
    ids: Vec<Ids>,
    vectors: BTreeMap<u8, usize>,
    pins: BTreeMap<(u32, u32), usize>,
    /// First port to last port and place.
    ports: BTreeMap<u16, (u16, usize)>,
}

#[derive(Default)]
struct Ids {
    channels: BTreeMap<u8, usize>,
    children: BTreeMap<u8, usize>,
    io_ports: BTreeMap<u8, usize>,
    symbols: HashMap<String, usize>,
}

impl Reader {
    fn region(&mut self, element: &Element) -> Result<(), SdfError> {
        const ATTRIBUTES: &[&str] = &[
            "name",
            "size",
            "page_size",
            "phys_addr",
            "prefill_path",
            "prefill_bootinfo",
        ];
        element.attributes(ATTRIBUTES)?;
        element.children("memory_region", &[])?;
        element.unsupported(
            "prefill_bootinfo",
            "'prefill_bootinfo' is not supported",
            "the default kernel hands out none of it",
        )?;
        if self.regions.len() == MAX_REGIONS {
            return Err(element.error(Mistake::TooManyRegions { max: MAX_REGIONS }));
        }
        let name = element.label("name")?;
        if let Some(first) = self.region_names.insert(name.into(), self.regions.len()) {
            let first = element.source().line(self.regions[first].at);
            let mistake = Mistake::DuplicateName {
                name: name.into(),
                first,
            };
            return Err(element.error_at("name", mistake));
        }

        let page_sizes = [("0x1000", PAGE_SIZE), ("0x200000", LARGE_PAGE_SIZE)];
        let page_size = match element.address("page_size", 0..=u64::MAX)? {
            Some(size) if page_sizes.iter().any(|(_, known)| *known == size) => Some(size),
            Some(_) => {
                let choices = "0x1000 or 0x200000";
                Some(element.choice("page_size", PAGE_SIZE, &page_sizes, choices)?)
            }
            None => None,
        };
        let unit = page_size.unwrap_or(PAGE_SIZE);
        let prefill_path = element.optional("prefill_path");
        let size = element.address("size", unit..=USER_END - USER_START)?;
        let phys_addr = element.address("phys_addr", 0..=PHYSICAL_END - 1)?;
        for (attribute, value) in [("size", size), ("phys_addr", phys_addr)] {
            if let Some(value) = value
                && !value.is_multiple_of(unit)
            {
                let mistake = Mistake::Misaligned {
                    attribute,
                    value,
                    unit,
                };
                return Err(element.error_at(attribute, mistake));
            }
        }
        if size.is_none() && prefill_path.is_none() {
            let hint = "; it can be left out only with 'prefill_path'";
            return Err(element.error(Mistake::MissingAttribute { name: "size", hint }));
        }
        if phys_addr.is_some() && prefill_path.is_some() {
            return Err(element.error_at("prefill_path", Mistake::PrefillPhysical));
        }
        self.regions.push(MemoryRegion {
            name: name.into(),
            size,
            page_size: unit,
            phys_addr,
            prefill_path: prefill_path.map(Into::into),
            page_size_given: page_size.is_some(),
            at: element.at(),
        });
        Ok(())
    }

    /// Reads a domain and, after it, its children. The depth is bounded by the number of domains.
    fn domain(&mut self, element: &Element, parent: Option<usize>) -> Result<(), SdfError> {
        const NAMES: &[&str] = &[
            "name",
            "priority",
            "stack_size",
            "passive",
            "budget",
            "period",
            "cpu",
            "smc",
            "fpu",
            "domain",
        ];
        const CHILD_NAMES: &[&str] = &[
            "name",
            "id",
            "setvar_id",
            "priority",
            "stack_size",
            "passive",
            "budget",
            "period",
            "cpu",
            "smc",
            "fpu",
            "domain",
        ];
        element.attributes(if parent.is_some() { CHILD_NAMES } else { NAMES })?;
        refuse_scheduling(element)?;

        let index = self.domains.len();
        if index == MAX_DOMAINS {
            return Err(element.error(Mistake::TooManyDomains { max: MAX_DOMAINS }));
        }
        let name = element.label("name")?;
        if let Some(first) = self.domain_names.insert(name.into(), index) {
            let first = element.source().line(self.domains[first].at);
            let mistake = Mistake::DuplicateName {
                name: name.into(),
                first,
            };
            return Err(element.error_at("name", mistake));
        }
        let parent = match parent {
            None => None,
            Some(parent) => {
                let id = self.id(element, parent, "id", "child", |ids| &mut ids.children)?;
                self.setvar(element, parent, "setvar_id", SetvarValue::Number(id.into()))?;
                Some((parent, id))
            }
        };
        let priority = element
            .number("priority", 0..=MAX_PRIORITY.into())?
            .unwrap_or(0) as u8;
        let stack_size = element
            .address("stack_size", MIN_STACK_SIZE..=MAX_STACK_SIZE)?
            .unwrap_or(DEFAULT_STACK_SIZE);
        if !stack_size.is_multiple_of(PAGE_SIZE) {
            let mistake = Mistake::Misaligned {
                attribute: "stack_size",
                value: stack_size,
                unit: PAGE_SIZE,
            };
            return Err(element.error_at("stack_size", mistake));
        }

        const CHILDREN: &[&str] = &[
            "program_image",
            "map",
            "irq",
            "ioport",
            "setvar",
            "protection_domain",
        ];
        let children = element.children("protection_domain", CHILDREN)?;
        self.ids.push(Ids::default());
        self.domains.push(ProtectionDomain {
            name: name.into(),
            parent,
            priority,
            stack_size,
            program_image: program_image(element, &children)?,
            maps: Vec::new(),
            irqs: Vec::new(),
            io_ports: Vec::new(),
            setvars: Vec::new(),
            at: element.at(),
        });
        for child in &children {
            match child.name() {
                "map" => self.map(child, index)?,
                "irq" => self.irq(child, index)?,
                "ioport" => self.io_port(child, index)?,
                "setvar" => self.setvar_element(child, index)?,
                "protection_domain" => self.domain(child, Some(index))?,
                _ => {}
            }
        }
        Ok(())
    }

    fn map(&mut self, element: &Element, domain: usize) -> Result<(), SdfError> {
        const ATTRIBUTES: &[&str] = &[
            "mr",
            "vaddr",
            "perms",
            "cached",
            "setvar_vaddr",
            "setvar_size",
            "setvar_prefill_size",
        ];
        element.attributes(ATTRIBUTES)?;
        element.children("map", &[])?;
        let region = self.region_index(element, "mr")?;
        let vaddr = element
            .address("vaddr", USER_START..=USER_END - 1)?
            .ok_or_else(|| element.missing("vaddr"))?;
        let access = access(element)?;
        let cached = element.flag("cached", true)?;
        self.setvar(element, domain, "setvar_vaddr", SetvarValue::Number(vaddr))?;
        self.setvar(
            element,
            domain,
            "setvar_size",
            SetvarValue::RegionSize(region),
        )?;
        if element.optional("setvar_prefill_size").is_some()
            && self.regions[region].prefill_path.is_none()
        {
            let mistake = Mistake::NotPrefilled {
                region: self.regions[region].name.clone(),
            };
            return Err(element.error_at("setvar_prefill_size", mistake));
        }
        self.setvar(
            element,
            domain,
            "setvar_prefill_size",
            SetvarValue::PrefillSize(region),
        )?;
        let at = element.at();
        self.domains[domain].maps.push(Map {
            region,
            vaddr,
            access,
            cached,
            at,
        });
        Ok(())
    }

    fn irq(&mut self, element: &Element, domain: usize) -> Result<(), SdfError> {
        element.children("irq", &[])?;
        let pin = element.optional("pin").is_some();
        let msi = element.optional("pcidev").is_some();
        element.unsupported(
            "irq",
            "'irq' is not supported",
            "it belongs to other processors; write 'pin' and 'vector', or 'pcidev'",
        )?;
        element.attributes(match (pin, msi) {
            (false, true) => &["id", "setvar_id", "pcidev", "handle", "vector"],
            (true, false) => &[
                "id",
                "setvar_id",
                "pin",
                "vector",
                "ioapic",
                "trigger",
                "polarity",
            ],
            (true, true) => return Err(element.error_at("pcidev", Mistake::TwoIrqSources)),
            (false, false) => {
                let hint = "; an interrupt from a PCI device has 'pcidev' instead";
                return Err(element.error(Mistake::MissingAttribute { name: "pin", hint }));
            }
        })?;
        let id = self.id(element, domain, "id", "channel id", |ids| &mut ids.channels)?;
        let number = |name, max| element.number(name, 0..=max);
        let vector = number("vector", MAX_IRQ_VECTOR.into())?
            .ok_or_else(|| element.missing("vector"))? as u8;
        let source = if pin {
            const TRIGGERS: &[(&str, bool)] = &[("level", true), ("edge", false)];
            const POLARITIES: &[(&str, bool)] = &[("low", true), ("high", false)];
            let level = element.choice("trigger", true, TRIGGERS, "'level' or 'edge'")?;
            let active_low = element.choice("polarity", false, POLARITIES, "'low' or 'high'")?;
            let pin = number("pin", MAX_PIN)?.unwrap_or(0) as u32;
            let ioapic = number("ioapic", MAX_IOAPIC)?.unwrap_or(0) as u32;
            let what = format!("pin {pin}");
            unused(element, "pin", &mut self.pins, (ioapic, pin), what)?;
            IrqSource::Ioapic {
                ioapic,
                pin,
                level,
                active_low,
            }
        } else {
            let (bus, device, function) = pci_address(element)?;
            let handle =
                number("handle", u32::MAX.into())?.ok_or_else(|| element.missing("handle"))? as u32;
            IrqSource::Msi {
                bus,
                device,
                function,
                handle,
            }
        };
        unused(
            element,
            "vector",
            &mut self.vectors,
            vector,
            format!("vector {vector}"),
        )?;
        self.setvar(element, domain, "setvar_id", SetvarValue::Number(id.into()))?;
        self.domains[domain].irqs.push(Irq { id, vector, source });
        Ok(())
    }

    fn io_port(&mut self, element: &Element, domain: usize) -> Result<(), SdfError> {
        element.attributes(&["id", "addr", "size", "setvar_id", "setvar_addr"])?;
        element.children("ioport", &[])?;
        let id = self.id(element, domain, "id", "I/O port id", |ids| {
            &mut ids.io_ports
        })?;
        let required = |name, range| {
            element
                .address(name, range)?
                .ok_or_else(|| element.missing(name))
        };
        let (first, size) = (
            required("addr", 0..=0xffff)?,
            required("size", 1..=0x1_0000)?,
        );
        let Ok(last) = u16::try_from(first + size - 1) else {
            return Err(element.error_at(
                "size",
                Mistake::PortRange {
                    last: first + size - 1,
                },
            ));
        };
        let first = first as u16;

        // The last range that begins at or before our end is the only one that can reach into ours.
        if let Some((_, (other_last, at))) = self.ports.range(..=last).next_back()
            && *other_last >= first
        {
            let mistake = Mistake::PortOverlap {
                start: first.into(),
                end: u32::from(last) + 1,
                first: element.source().line(*at),
            };
            return Err(element.error(mistake));
        }
        self.ports.insert(first, (last, element.at()));
        self.setvar(element, domain, "setvar_id", SetvarValue::Number(id.into()))?;
        self.setvar(
            element,
            domain,
            "setvar_addr",
            SetvarValue::Number(first.into()),
        )?;
        self.domains[domain]
            .io_ports
            .push(IoPorts { id, first, last });
        Ok(())
    }

    fn setvar_element(&mut self, element: &Element, domain: usize) -> Result<(), SdfError> {
        element.attributes(&["symbol", "region_paddr"])?;
        element.children("setvar", &[])?;
        element.required("symbol")?;
        let region = self.region_index(element, "region_paddr")?;
        let Some(paddr) = self.regions[region].phys_addr else {
            let mistake = Mistake::NoPhysicalAddress {
                region: self.regions[region].name.clone(),
            };
            return Err(element.error_at("region_paddr", mistake));
        };
        self.setvar(element, domain, "symbol", SetvarValue::Number(paddr))
    }

    fn channel(&mut self, element: &Element) -> Result<(), SdfError> {
        element.attributes(&[])?;
        let children = element.children("channel", &["end"])?;
        let [a, b] = children.as_slice() else {
            return Err(element.error(Mistake::Ends(children.len())));
        };
        let ends = [self.end(a)?, self.end(b)?];
        if ends[0].domain == ends[1].domain {
            let name = self.domains[ends[0].domain].name.clone();
            return Err(element.error(Mistake::SelfChannel(name)));
        }
        if ends[0].pp && ends[1].pp {
            return Err(element.error(Mistake::BothPp));
        }
        self.channels.push(Channel { ends });
        Ok(())
    }

    fn end(&mut self, element: &Element) -> Result<End, SdfError> {
        element.attributes(&["pd", "id", "notify", "pp", "setvar_id"])?;
        element.children("end", &[])?;
        let name = element.required("pd")?;
        let domain = *self
            .domain_names
            .get(name)
            .ok_or_else(|| element.error_at("pd", Mistake::NoSuchDomain { name: name.into() }))?;
        let notify = element.flag("notify", true)?;
        let pp = element.flag("pp", false)?;
        let id = self.id(element, domain, "id", "channel id", |ids| &mut ids.channels)?;
        self.setvar(element, domain, "setvar_id", SetvarValue::Number(id.into()))?;
        Ok(End {
            domain,
            id,
            notify,
            pp,
            at: element.at(),
        })
    }

    fn region_index(&self, element: &Element, name: &'static str) -> Result<usize, SdfError> {
        let region = element.required(name)?;
        self.region_names.get(region).copied().ok_or_else(|| {
            element.error_at(
                name,
                Mistake::NoSuchRegion {
                    name: region.into(),
                },
            )
        })
    }

    /// Reads an identifier and takes it, in the space that `space` selects.
    fn id(
        &mut self,
        element: &Element,
        domain: usize,
        attribute: &'static str,
        what: &'static str,
        space: fn(&mut Ids) -> &mut BTreeMap<u8, usize>,
    ) -> Result<u8, SdfError> {
        let (max, hint) = if element.is("ioport") {
            (MAX_IO_PORT_ID, "")
        } else {
            (
                MAX_CHANNEL_ID,
                ": badges of the default kernel have no room for more",
            )
        };
        let id = element
            .within(attribute, 0..=max.into(), false, hint)?
            .ok_or_else(|| element.missing(attribute))? as u8;
        if let Some(first) = space(&mut self.ids[domain]).insert(id, element.at()) {
            let domain = self.domains[domain].name.clone();
            let first = element.source().line(first);
            return Err(element.error_at(
                attribute,
                Mistake::DuplicateId {
                    what,
                    id,
                    domain,
                    first,
                },
            ));
        }
        Ok(id)
    }

    /// If `element` has this attribute, a setvar in the program of `domain`.
    fn setvar(
        &mut self,
        element: &Element,
        domain: usize,
        attribute: &'static str,
        value: SetvarValue,
    ) -> Result<(), SdfError> {
        let Some(symbol) = element.optional(attribute) else {
            return Ok(());
        };
        let at = element.at_attribute(attribute);
        match self.ids[domain].symbols.entry(symbol.into()) {
            Entry::Occupied(entry) => {
                let first = element.source().line(*entry.get());
                let mistake = Mistake::DuplicateSetvar {
                    symbol: symbol.into(),
                    first,
                };
                Err(element.error_at(attribute, mistake))
            }
            Entry::Vacant(entry) => {
                entry.insert(at);
                let symbol = symbol.into();
                let element = element_name(element);
                self.domains[domain].setvars.push(Setvar {
                    symbol,
                    value,
                    element,
                    at,
                });
                Ok(())
            }
        }
    }
}

/// The elements that set variables, by names that outlive the description.
fn element_name(element: &Element) -> &'static str {
    const NAMES: &[&str] = &["map", "irq", "ioport", "end", "protection_domain"];
    NAMES
        .iter()
        .find(|name| element.is(name))
        .unwrap_or(&"setvar")
}

/// Takes an interrupt source or vector for `element`.
fn unused<K: Ord>(
    element: &Element,
    attribute: &'static str,
    taken: &mut BTreeMap<K, usize>,
    key: K,
    what: String,
) -> Result<(), SdfError> {
    match taken.insert(key, element.at()) {
        None => Ok(()),
        Some(first) => {
            let first = element.source().line(first);
            Err(element.error_at(attribute, Mistake::DuplicateIrq { what, first }))
        }
    }
}

/// Refuses what needs another kernel, but accepts the values that mean what this kernel does.
fn refuse_scheduling(element: &Element) -> Result<(), SdfError> {
    const NO_MCS: &str = "the default kernel is built without MCS scheduling";
    element.unsupported("budget", "'budget' is not supported", NO_MCS)?;
    element.unsupported("period", "'period' is not supported", NO_MCS)?;
    element.unsupported(
        "domain",
        "'domain' is not supported",
        "the default kernel has one scheduling domain",
    )?;
    element.unsupported(
        "smc",
        "'smc' is not supported",
        "it belongs to ARM processors",
    )?;
    if element.flag("passive", false)? {
        element.unsupported("passive", "a passive domain is not supported", NO_MCS)?;
    }
    if !element.flag("fpu", true)? {
        element.unsupported(
            "fpu",
            "a domain without 'fpu' is not supported",
            "this kernel cannot take it away",
        )?;
    }
    element.number("cpu", 0..=0)?;
    Ok(())
}

fn program_image(domain: &Element, children: &[Element]) -> Result<ProgramImage, SdfError> {
    let mut images = children.iter().filter(|child| child.is("program_image"));
    let Some(image) = images.next() else {
        return Err(domain.error(Mistake::MissingElement {
            name: "program_image",
        }));
    };
    if let Some(second) = images.next() {
        return Err(second.error(Mistake::RepeatedElement {
            name: "program_image",
        }));
    }
    image.attributes(&["path", "path_for_symbols"])?;
    image.children("program_image", &[])?;
    Ok(ProgramImage {
        path: image.required("path")?.into(),
        path_for_symbols: image.optional("path_for_symbols").map(Into::into),
        at: image.at(),
    })
}

fn access(element: &Element) -> Result<Access, SdfError> {
    let Some(perms) = element.optional("perms") else {
        return Ok(Access::ReadWrite);
    };
    let has = |right| perms.contains(right);
    let mistake = if perms.is_empty() || !perms.chars().all(|right| "rwx".contains(right)) {
        Mistake::Perms {
            value: perms.into(),
        }
    } else if !has('r') {
        Mistake::PermsUnreadable
    } else if has('w') && has('x') {
        Mistake::PermsWriteExecute
    } else {
        return Ok(Access::new(has('w'), has('x')));
    };
    Err(element.error_at("perms", mistake))
}

/// `BUS:DEVICE.FUNCTION`, hexadecimal.
fn pci_address(element: &Element) -> Result<(u8, u8, u8), SdfError> {
    let text = element.required("pcidev")?;
    let part = |digits: &str, max: u8| {
        let hexadecimal = digits.chars().all(|digit| digit.is_ascii_hexdigit());
        let value = u8::from_str_radix(digits, 16).ok()?;
        (hexadecimal && value <= max).then_some(value)
    };
    let address = || {
        let (bus, rest) = text.split_once(':')?;
        let (device, function) = rest.split_once('.')?;
        Some((part(bus, 0xff)?, part(device, 31)?, part(function, 7)?))
    };
    address().ok_or_else(|| element.error_at("pcidev", Mistake::PciAddress { value: text.into() }))
}
