// SPDX-License-Identifier: BSD-2-Clause
//! Bochs: an interpreter of a PC whose processor has VT-x, for systems with virtual processors.
//!
//! It is some ten times slower than QEMU's emulation, and exact: its time-stamp counter advances by
//! one for each instruction, so that every run counts the same.
//!
//! Bochs boots from a disc that GRUB makes. Its serial line is a connection over the loopback
//! device, and it ends when the guest writes a word to a port of its own; with what code, it says on
//! its standard output ([`xos_image::console::power_off`]).

use super::{How, Machine, SimError, Simulator, bounded};
use std::ffi::OsString;
use std::io::{self, Read};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};
use std::{fs, thread};
use xos_image::console::{EXIT_FAILURE, EXIT_SUCCESS};

/// Names another program than `bochs` on the search path.
pub const PROGRAM_VARIABLE: &str = "BOCHS";
/// GRUB's files for BIOS machines.
pub const GRUB_FOLDER: &str = "/usr/lib/grub/i386-pc";
/// GRUB's modules that are needed: fewer make a smaller disc, and a quicker boot.
const GRUB_MODULES: &str = "multiboot normal iso9660 biosdisk";
/// How long Bochs may take to connect its serial line, which it does before it runs anything.
const CONNECT_TIME: Duration = Duration::from_secs(60);

/// How a machine is configured.
#[derive(Clone, Debug)]
pub struct Bochs {
    /// The simulator.
    pub program: OsString,
    /// Main memory, MiB.
    pub memory: u32,
}

impl Default for Bochs {
    fn default() -> Self {
        Self {
            program: std::env::var_os(PROGRAM_VARIABLE).unwrap_or_else(|| "bochs".into()),
            memory: 512,
        }
    }
}

impl Simulator for Bochs {
    fn start(&self, folder: &Path, kernel: &str, root_task: &str) -> Result<Machine, SimError> {
        make_disc(folder, kernel, root_task)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        fs::write(folder.join("bochsrc"), self.settings(port))?;
        // Debian's Bochs is built with its debugger, and begins there.
        fs::write(folder.join("bochs.debugger"), "c\n")?;

        let mut command = bounded(&self.program);
        command
            .current_dir(folder)
            .args(["-q", "-f", "bochsrc", "-rc", "bochs.debugger"])
            // At the end of its input the debugger quits.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let program = self.program.to_string_lossy().into_owned();
        let mut child = command
            .spawn()
            .map_err(|error| SimError::Start { program, error })?;
        let codes = child.stdout.take().map(watch);
        let log = folder.join("bochs.log");
        match accept(&listener, &mut child) {
            Ok(serial) => {
                serial.set_nodelay(true)?;
                let output = serial.try_clone()?;
                Ok(Machine::connected(
                    child,
                    serial,
                    output,
                    How::Bochs { codes, log },
                ))
            }
            Err(error) => {
                // It may have ended by itself, which is why there is no connection.
                let _ = child.kill();
                let _ = child.wait();
                Err(SimError::Io(io::Error::other(format!(
                    "Bochs does not connect its serial line ({error}); see {}",
                    log.display()
                ))))
            }
        }
    }
}

impl Bochs {
    fn settings(&self, port: u16) -> String {
        let memory = self.memory;
        // The model is the newest that this kernel's tests ran on. Time is the guest's own, which
        // advances with the instructions that it executes, and begins on 1 January 2026. Without
        // `extension=none`, GRUB passes information about the display in a form that this kernel
        // takes for something else.
        format!(
            "display_library: rfb, options=\"timeout=0\"\n\
             cpu: model=corei7_haswell_4770, count=1, ips=50000000, reset_on_triple_fault=0\n\
             memory: guest={memory}, host={memory}\n\
             romimage: file=/usr/share/bochs/BIOS-bochs-latest, options=fastboot\n\
             vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest\n\
             vga: extension=none, update_freq=1\n\
             ata0-master: type=cdrom, path=cd.iso, status=inserted\n\
             boot: cdrom\n\
             com1: enabled=1, mode=socket-client, dev=127.0.0.1:{port}\n\
             port_e9_hack: enabled=1\n\
             log: bochs.log\n\
             panic: action=fatal\n\
             error: action=report\n\
             info: action=ignore\n\
             clock: sync=none, time0=1767225600\n\
             speaker: enabled=0\n\
             sound: driver=dummy\n"
        )
    }
}

/// Makes `cd.iso` in the folder: GRUB, the kernel, the root task.
fn make_disc(folder: &Path, kernel: &str, root_task: &str) -> io::Result<()> {
    let tree = folder.join("disc");
    let boot = tree.join("boot");
    match fs::remove_dir_all(&tree) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => fs::create_dir_all(boot.join("grub"))?,
    }
    for file in [kernel, root_task] {
        let (from, to) = (folder.join(file), boot.join(file));
        // A link is as good as a copy, where the file system has them.
        fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(|_| ()))?;
    }
    let menu = format!(
        "set timeout=0\nmenuentry xOS {{\n multiboot /boot/{kernel}\n module /boot/{root_task}\n boot\n}}\n"
    );
    fs::write(boot.join("grub/grub.cfg"), menu)?;
    let output = Command::new("grub-mkrescue")
        .arg(format!("--directory={GRUB_FOLDER}"))
        .arg(format!("--install-modules={GRUB_MODULES}"))
        .args(["--themes=", "--fonts=", "--locales=", "-o"])
        .arg(folder.join("cd.iso"))
        .arg(&tree)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| {
            io::Error::other(format!(
                "cannot run grub-mkrescue: {error}; `make deps` installs it"
            ))
        })?;
    if !output.status.success() {
        let log = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!(
            "grub-mkrescue failed:\n{}",
            log.trim()
        )));
    }
    Ok(())
}

/// Waits for the serial line's connection as long as the simulator lives.
fn accept(listener: &TcpListener, child: &mut Child) -> io::Result<TcpStream> {
    listener.set_nonblocking(true)?;
    let deadline = Instant::now() + CONNECT_TIME;
    loop {
        match listener.accept() {
            Ok((serial, _)) => {
                serial.set_nonblocking(false)?;
                return Ok(serial);
            }
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            Err(_) => {}
        }
        if let Some(status) = child.try_wait()? {
            return Err(io::Error::other(format!("it ended: {status}")));
        }
        if Instant::now() > deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// The codes that the guest gave before it ended the simulation: their end comes with that of the simulator's output,
/// which may be read a while after the simulator has ended.
pub(super) type Codes = Receiver<u8>;

/// Reads the simulator's standard output to its end. All but the codes is talk of its debugger.
fn watch(mut output: impl Read + Send + 'static) -> Codes {
    let (sender, codes) = mpsc::channel();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        // An error means what the end means.
        while let Ok(length @ 1..) = output.read(&mut buffer) {
            let given = buffer[..length]
                .iter()
                .rfind(|byte| [EXIT_SUCCESS, EXIT_FAILURE].contains(byte));
            if let Some(&byte) = given {
                // Nobody asks when the machine has been given up.
                let _ = sender.send(byte);
            }
        }
    });
    codes
}

/// Whether the log tells of a triple fault.
pub(super) fn was_reset(log: &PathBuf) -> bool {
    fs::read(log)
        .is_ok_and(|log| String::from_utf8_lossy(&log).contains("exception with no resolution"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{Event, PowerOff};

    /// A Bochs that is a shell script. It finds the port of the serial line where Bochs would.
    fn fake(script: &str) -> (tempfile::TempDir, Result<Machine, SimError>) {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        for file in ["kernel.elf", "root-task.elf"] {
            fs::write(folder.path().join(file), file).unwrap();
        }
        let program = folder.path().join("fake");
        let connect =
            "exec 3<>/dev/tcp/127.0.0.1/$(sed -n 's/^com1:.*127.0.0.1://p' bochsrc) || exit 9";
        let text = format!("#!/bin/bash\nconnect() {{ {connect}; }}\n{script}\n");
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let bochs = Bochs {
            program: program.into(),
            ..Bochs::default()
        };
        let machine = bochs.start(folder.path(), "kernel.elf", "root-task.elf");
        (folder, machine)
    }

    fn end(script: &str) -> (String, PowerOff) {
        let (_folder, machine) = fake(script);
        let mut machine = machine.unwrap();
        let mut text = Vec::new();
        loop {
            match machine
                .next(Some(Duration::from_secs(30)), "the end")
                .unwrap()
            {
                Event::Text(bytes) => text.extend(bytes),
                Event::Off(how) => return (String::from_utf8(text).unwrap(), how),
                event => panic!("{event:?}"),
            }
        }
    }

    #[test]
    fn the_code_on_standard_output_tells_how_the_machine_stopped() {
        let (text, how) = end(r"connect; printf hello >&3; printf 'x\020y'; exit 1");
        assert_eq!((text.as_str(), how), ("hello", PowerOff::Success));
        assert_eq!(end(r"connect; printf '\021'; exit 1").1, PowerOff::Failure);
        assert_eq!(end("connect; exit 1").1, PowerOff::Simulator(Some(1)));
    }

    #[test]
    fn the_code_counts_however_late_it_is_read() {
        // Somebody else holds the output when the simulator has ended.
        let script = r"connect; (sleep 1; printf '\020') & exit 1";
        assert_eq!(end(script).1, PowerOff::Success);
    }

    #[test]
    fn a_triple_fault_is_a_reset() {
        let script =
            "connect; echo 'p[CPU0 ] 3rd (13) exception with no resolution' >bochs.log; exit 1";
        assert_eq!(end(script).1, PowerOff::Reset);
    }

    #[test]
    fn what_is_sent_arrives_at_the_serial_line() {
        let (_folder, machine) =
            fake(r#"connect; read line <&3; printf "got $line" >&3; printf '\020'; exit 1"#);
        let mut machine = machine.unwrap();
        machine.send(b"abc\n").unwrap();
        let event = machine.next(Some(Duration::from_secs(30)), "an answer");
        assert_eq!(event.unwrap(), Event::Text(b"got abc".to_vec()));
    }

    #[test]
    fn a_simulator_that_ends_before_it_connects_is_an_error() {
        let (_folder, machine) = fake("exit 3");
        let error = machine.unwrap_err().to_string();
        assert!(error.contains("exit status: 3"), "{error}");
    }

    #[test]
    fn the_disc_boots_the_kernel_with_the_root_task_as_its_module() {
        let (folder, _machine) = fake("exit 0");
        let menu = fs::read_to_string(folder.path().join("disc/boot/grub/grub.cfg")).unwrap();
        assert!(menu.contains("multiboot /boot/kernel.elf\n module /boot/root-task.elf\n"));
        assert!(folder.path().join("cd.iso").exists());
    }
}
