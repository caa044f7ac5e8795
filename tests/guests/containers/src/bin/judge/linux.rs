// SPDX-License-Identifier: BSD-2-Clause
//! Containers of Debian's busybox, with the server that containers have.

use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::AtomicU8;
use core::sync::atomic::Ordering::Relaxed;

use xos_protocol::container::{GRANTS, Streams};
use xos_protocol::factory::Spec;
use xos_protocol::manager::{EdgeKind, PAGE, Payer, RegionCreate, Rights, Share};
use xos_protocol::wire::MAX_BYTES;
use xos_protocol::{Error, ExitStatus, Result, Subject};
use xos_test_judge::{given_back, until};
use xos_test_kit::{Outcome, check, check_eq};

use super::{MANAGER, Made, Printed, create, free};

/// A container of one of the images, which runs a script.
fn shell(number: u32, image: &str, script: &str) -> Result<Made> {
    let arguments = alloc::format!("sh\0-c\0{script}\0");
    let spec = Spec {
        image,
        arguments: &arguments,
        ..Spec::default()
    };
    create(number, &spec)
}

/// Runs a script in a container to its end.
fn run(image: &str, script: &str) -> Result<Printed> {
    let made = shell(0, image, script)?;
    made.start()?;
    let printed = made.printed()?;
    made.remove()?;
    Ok(printed)
}

fn output(image: &str, script: &str) -> Result<String> {
    run(image, script).map(|printed| printed.output)
}

pub fn a_shell_of_debians_prints_and_ends_with_its_status(_: &mut ()) -> Outcome {
    let printed = run("busybox", "echo out; echo err >&2; cat; exit 7")?;
    check_eq!((&*printed.output, &*printed.errors), ("out\n", "err\n"))?;
    check_eq!(printed.status, 7)?;
    let piped = output("busybox", "seq 1 2000 | sort -rn | head -n 2")?;
    check_eq!(piped, "2000\n1999\n")
}

pub fn what_an_image_runs_unless_told_otherwise_is_run(_: &mut ()) -> Outcome {
    let spec = Spec {
        image: "busybox",
        ..Spec::default()
    };
    let made = create(0, &spec)?;
    made.start()?;
    check_eq!(made.printed()?.output, "hello from busy\n")?;
    check_eq!(made.remove()?, ExitStatus::Code(0))
}

pub fn its_processes_are_its_own_and_the_first_is_number_one(_: &mut ()) -> Outcome {
    // Another one is there meanwhile.
    let other = shell(1, "locked", "sleep 1000")?;
    other.start()?;
    let script =
        "echo $$ $PPID; sleep 100 & echo $!; cd /proc; echo [0-9]*; kill -0 3 || echo none";
    let printed = run("busybox", script)?;
    check_eq!(printed.output, "1 0\n2\n1 2\nnone\n")?;
    other.remove()?;
    Ok(())
}

pub fn user_names_limits_and_directories_are_as_described(_: &mut ()) -> Outcome {
    let script = "id -u; id -G; hostname; hostname -d 2>/dev/null; cat /proc/sys/kernel/domainname 2>/dev/null; \
                  pwd; umask; ulimit -n; ulimit -Hn; echo $GREETING; grep -c . /proc/mounts; \
                  grep -E 'CapEff|NoNew' /proc/self/status";
    let printed = output("busybox", script)?;
    let expected = "0\n0 10\nbusy\n/srv/made\n0022\n48\n64\nhello\n8\nCapEff:\t00000000080000eb\nNoNewPrivs:\t0\n";
    check_eq!(printed, expected)?;
    let script = "id -u; id -g; id -G; umask; touch /tmp/x; ls -l /tmp/x | cut -c1-10; hostname; \
                  grep -E 'CapEff|NoNew' /proc/self/status";
    let expected =
        "1000\n100\n100 7 8\n0077\n-rw-------\nlocked\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n";
    check_eq!(output("locked", script)?, expected)
}

pub fn what_cannot_be_changed_is_not_whoever_asks(_: &mut ()) -> Outcome {
    let script = "for path in /etc/new /proc/new /sys/new /root/new; do \
                      touch $path 2>/dev/null || echo $path; \
                  done; \
                  mv /etc /other 2>/dev/null || echo mv; \
                  echo x > /etc/passwd 2>/dev/null || echo passwd; \
                  wc -c < /etc/hosts; ls -A /root | wc -l; ls -A /proc/ic | wc -l; \
                  mount -t tmpfs x /mnt 2>/dev/null || echo mount; \
                  umount /etc/hosts 2>/dev/null || echo umount; \
                  cp /bin/busybox /tmp/b 2>/dev/null || echo full; \
                  echo 'echo bad' > /tmp/run; chmod 755 /tmp/run; /tmp/run 2>/dev/null || echo noexec; \
                  touch /srv/made/new && echo ok";
    let expected = "/etc/new\n/proc/new\n/sys/new\n/root/new\nmv\npasswd\n0\n0\n0\nmount\numount\nfull\nnoexec\nok\n";
    check_eq!(output("busybox", script)?, expected)?;
    let script = "touch /new /bin/new 2>/dev/null || echo no; su -c id 2>/dev/null || echo su; touch /tmp/new && echo ok";
    check_eq!(output("locked", script)?, "no\nsu\nok\n")
}

pub fn containers_of_one_image_do_not_see_each_others_changes(_: &mut ()) -> Outcome {
    let script = "ls /srv; echo mine > /srv/file; rm /bin/vi; sleep 1000";
    let one = shell(1, "busybox", script)?;
    one.start()?;
    // Until it has done all that.
    let exec = "while [ -e /bin/vi ]; do sleep 0.01; done\0";
    let arguments = alloc::format!("sh\0-c\0{exec}");
    let number = one.container.exec(&arguments, "", "")?;
    check_eq!(one.container.exec_wait(number)?, 0)?;
    let seen = output("busybox", "ls /srv; ls /bin/vi")?;
    check_eq!(seen, "made\n/bin/vi\n")?;
    one.remove()?;
    Ok(())
}

pub fn a_program_run_beside_the_first_has_its_own_output_and_status(_: &mut ()) -> Outcome {
    let made = shell(
        0,
        "busybox",
        "echo first; trap 'echo last; exit 3' TERM; while :; do sleep 0.01; done",
    )?;
    made.start()?;
    let script = "echo $GREETING $PPID; pwd; echo err >&2; exit 5";
    let arguments = alloc::format!("sh\0-c\0{script}\0");
    let number = made.container.exec(&arguments, "GREETING=bye\0", "/tmp")?;
    let (output, errors) = made.streams(number)?;
    check_eq!((&*output, &*errors), ("bye 0\n/tmp\n", "err\n"))?;
    check_eq!(made.container.exec_wait(number)?, 5)?;
    let number = made.container.exec("no-such-program\0", "", "")?;
    check_eq!(made.container.exec_wait(number)?, 127)?;
    // Eight at a time.
    let numbers: Vec<_> = (0..8)
        .map(|_| made.container.exec("sleep\x000.1\0", "", ""))
        .take_while(core::result::Result::is_ok)
        .flatten()
        .collect();
    check!(numbers.len() >= 4, "{} run at a time", numbers.len())?;
    for number in numbers {
        check_eq!(made.container.exec_wait(number)?, 0)?;
    }
    made.container.signal(15)?;
    let printed = made.printed()?;
    check_eq!((&*printed.output, printed.status), ("first\nlast\n", 3))?;
    made.remove()?;
    Ok(())
}

/// Gives somebody in a container input, as soon as there is room for it; none: that was all.
fn give(made: &Made, of: u32, bytes: &[u8]) -> Result<()> {
    loop {
        match made.container.input(of, bytes) {
            Err(Error::TableFull) => sel4::r#yield(),
            given => return given,
        }
    }
}

pub fn what_is_given_as_input_is_read_and_has_an_end(_: &mut ()) -> Outcome {
    let spec = Spec {
        image: "busybox",
        arguments: "sh\0-c\0read a; echo got $a; exec wc -c\0",
        ..Spec::default()
    };
    let made = create(0, &spec)?;
    check_eq!(made.container.input(0, b"early"), Err(Error::BadState))?;
    made.container.attach(false)?;
    made.start()?;
    give(&made, 0, b"hello\n")?;
    for _ in 0..200 {
        give(&made, 0, &[b'x'; 700])?;
    }
    // A program beside it has input of its own, or none.
    let number = made.container.exec_with("cat\0", "", "", Streams::Input)?;
    give(&made, number, b"mine\n")?;
    give(&made, number, b"")?;
    check_eq!(made.streams(number)?.0, "mine\n")?;
    check_eq!(made.container.exec_wait(number)?, 0)?;
    give(&made, 0, b"")?;
    let printed = made.printed()?;
    check_eq!(
        (&*printed.output, printed.status),
        ("got hello\n140000\n", 0)
    )?;
    made.remove()?;
    // One that was not started to have some is at its end from the start.
    check_eq!(output("busybox", "cat; echo end")?, "end\n")
}

pub fn a_terminal_of_a_container_is_one(_: &mut ()) -> Outcome {
    let spec = Spec {
        image: "busybox",
        arguments: "sh\0-c\0trap \"c=1; echo caught\" INT; tty; read a; echo got $a; \
                    until [ $c ]; do sleep 0.01; done; cat\0",
        ..Spec::default()
    };
    let made = create(0, &spec)?;
    made.container.attach(true)?;
    made.start()?;
    // A line with a mistake in it, the interrupt character, the end.
    typed_as_awaited(
        &made,
        0,
        &[
            ("console\n", b"ax\x7fbc\r"),
            ("got abc\n", b"\x03"),
            ("caught\n", b"\x04"),
        ],
    )?;
    check_eq!(made.container.wait()?, 0)?;
    made.remove()?;
    Ok(())
}

/// Types at somebody's terminal, each text when what it is the answer to has been shown, until the end.
fn typed_as_awaited(made: &Made, of: u32, dialogue: &[(&str, &[u8])]) -> Outcome {
    let mut seen = String::new();
    let (mut from, mut given) = (0, 0);
    loop {
        let mut buffer = [0; MAX_BYTES];
        let log = made.container.log(of, from, true, &mut buffer)?;
        if log.end {
            break;
        }
        from = log.next;
        seen += &String::from_utf8_lossy(log.bytes);
        if let Some((awaited, typed)) = dialogue.get(given).copied()
            && seen.contains(awaited)
        {
            give(made, of, typed)?;
            given += 1;
        }
    }
    check!(given == dialogue.len(), "it has shown {seen:?}")
}

pub fn a_program_run_beside_the_first_may_have_a_terminal(_: &mut ()) -> Outcome {
    let made = shell(0, "busybox", "sleep 1000")?;
    made.start()?;
    let script = "sh\0-c\0trap \"c=1; echo caught\" INT; sleep 1000 & tty; stty size; read a; echo got $a; \
                  until [ $c ]; do sleep 0.01; done; cat; exit 5\0";
    let number = made
        .container
        .exec_with(script, "", "", Streams::Terminal)?;
    typed_as_awaited(
        &made,
        number,
        &[
            ("/dev/pts/0\n24 80\n", b"ax\x7fbc\r"),
            ("got abc\n", b"\x03"),
            ("caught\n", b"\x04"),
        ],
    )?;
    check_eq!(made.container.exec_wait(number)?, 5)?;
    // It is gone, and what ran there with it: the first process is left.
    let number = made.container.exec(
        "sh\0-c\0[ -e /dev/pts/0 ] || echo none; until [ $(ps | grep -c '[s]leep 1000') = 1 ]; do sleep 0.01; done\0",
        "",
        "",
    )?;
    check_eq!(made.streams(number)?.0, "none\n")?;
    made.remove()?;
    Ok(())
}

pub fn signals_reach_the_first_process_as_they_do_in_linux(_: &mut ()) -> Outcome {
    // One that handles nothing is not ended by what would end any other, but by what nobody can ignore.
    let made = shell(0, "busybox", "while :; do sleep 0.01; done")?;
    made.start()?;
    made.container.signal(15)?;
    let number = made
        .container
        .exec("sh\0-c\0sleep 0.1; kill -9 1; kill -0 1\0", "", "")?;
    check_eq!(made.container.exec_wait(number)?, 0)?;
    made.container.signal(9)?;
    check_eq!(made.container.wait()?, 137)?;
    check_eq!(made.remove()?, ExitStatus::Code(137))?;
    // A child is ended by it as anywhere else.
    let printed = run("busybox", "sleep 100 & kill -TERM $!; wait $!; echo $?")?;
    check_eq!(printed.output, "143\n")
}

pub fn what_cannot_be_run_ends_with_the_status_that_shells_give_it(_: &mut ()) -> Outcome {
    for (arguments, status) in [("no-such-program\0", 127), ("/etc/passwd\0", 126)] {
        let spec = Spec {
            image: "busybox",
            arguments,
            ..Spec::default()
        };
        let made = create(0, &spec)?;
        made.start()?;
        let printed = made.printed()?;
        check_eq!(printed.status, status)?;
        check!(!printed.errors.is_empty(), "it does not say why")?;
        made.remove()?;
    }
    Ok(())
}

pub fn too_many_processes_and_too_much_memory_harm_nobody_else(_: &mut ()) -> Outcome {
    let other = shell(1, "locked", "sleep 1000")?;
    other.start()?;
    let writes = |status: &str| {
        let script = "dd if=/dev/zero of=/tmp/x bs=1k count=200 2>/dev/null && exit";
        let arguments = alloc::format!("sh\0-c\0{script} {status}\0");
        let number = other.container.exec(&arguments, "", "")?;
        other.container.exec_wait(number)
    };
    check_eq!(writes("4")?, 4)?;
    let before = free()?;
    for script in [
        // Processes without end.
        "bomb() { bomb | bomb & }; bomb 2>/dev/null; sleep 0.3; exit 3",
        // Memory without end, by one process.
        "x=0123456789; while :; do x=$x$x; done",
        // Files without end.
        "while dd if=/dev/zero of=/big bs=64k count=64 oflag=append conv=notrunc 2>/dev/null; do :; done; exit 3",
        "i=0; while echo > /srv/file$i; do i=$((i+1)); [ $i = 3000 ] && exit 3; done 2>/dev/null; exit 3",
    ] {
        let made = shell(0, "busybox", script)?;
        made.start()?;
        let status = made.container.wait()?;
        check!(
            status == 3 || status == 137 || status == 139 || status == 2,
            "{script}: {status}"
        )?;
        made.remove()?;
        check_eq!(free()?.bytes, before.bytes)?;
    }
    // It has all that is its own.
    check_eq!(writes("5")?, 5)?;
    other.remove()?;
    Ok(())
}

pub fn a_bomb_of_memory_does_not_end_the_first_process(_: &mut ()) -> Outcome {
    for bomb in [
        "sh -c 'x=0123456789; while :; do x=$x$x; done'",
        "for i in 1 2 3 4 5 6; do sh -c 'x=0123456789; while :; do x=$x$x; done' & done; wait",
        // A line without an end, and one process that holds most when the others come.
        "tail /dev/zero & sort /dev/zero & tail /dev/zero; wait",
    ] {
        let script = alloc::format!("{{ {bomb}; }} > /dev/null 2>&1; echo $(seq 3 | wc -l) left");
        let printed = run("busybox", &script)?;
        check!(
            (&*printed.output, printed.status) == ("3 left\n", 0),
            "{bomb}: {printed:?}"
        )?;
    }
    Ok(())
}

pub fn the_end_of_the_first_process_is_the_end_of_all(_: &mut ()) -> Outcome {
    let before = free()?;
    let made = shell(
        0,
        "busybox",
        "sleep 1000 & (sleep 1000; echo never) & exit 9",
    )?;
    made.start()?;
    let printed = made.printed()?;
    check_eq!((&*printed.output, printed.status), ("", 9))?;
    check_eq!(made.container.exec("true\0", "", ""), Err(Error::BadState))?;
    made.remove()?;
    check_eq!(free()?.bytes, before.bytes)
}

pub fn nothing_is_left_of_containers_that_ran(_: &mut ()) -> Outcome {
    run("busybox", "true")?;
    let before = free()?;
    for _ in 0..5 {
        let made = shell(0, "busybox", "sleep 1000 | cat")?;
        made.start()?;
        let number = made.container.exec("true\0", "", "")?;
        made.container.exec_wait(number)?;
        check_eq!(made.remove()?, ExitStatus::Killed)?;
    }
    let after = free()?;
    check_eq!(
        (after.bytes, after.slots, after.ics, after.sessions),
        (before.bytes, before.slots, before.ics, before.sessions)
    )
}

pub fn no_path_and_no_device_leads_out_of_a_container(_: &mut ()) -> Outcome {
    let script = "cd ../../../../..; pwd; ls -di / /.. /../.. /proc/1/root/.. | cut -d' ' -f1 | uniq | wc -l; \
                  ln -s ../../../../../srv /srv/up; ls /srv/up; ln -s /srv/loop /srv/loop; \
                  cat /srv/loop 2>/dev/null || echo loop; \
                  mkdir -p /srv/a/b; cd /srv/a/b; mv /srv/a/b /srv/c; cd ..; pwd -P; \
                  cat /proc/1/fd/../../../etc/hostname; \
                  mknod /srv/disk b 8 0 && cat /srv/disk 2>/dev/null || echo disk; \
                  mknod /srv/mem c 1 1 && cat /srv/mem 2>/dev/null || echo mem; \
                  cat /dev/console 2>/dev/null || echo console; \
                  chroot /srv /bin/sh 2>/dev/null || echo chroot; \
                  cat /proc/kcore /proc/ic/list 2>/dev/null || echo kernel; \
                  unshare -m true 2>/dev/null || echo unshare; \
                  echo b > /proc/sysrq-trigger 2>/dev/null || echo sysrq";
    let expected =
        "/\n1\nmade\nup\nloop\n/srv/a\nxos\ndisk\nmem\nconsole\nchroot\nkernel\nunshare\nsysrq\n";
    check_eq!(output("busybox", script)?, expected)
}

pub fn a_server_that_is_killed_hurts_no_other_container(_: &mut ()) -> Outcome {
    let other = shell(1, "locked", "sleep 1000")?;
    other.start()?;
    let number = other.container.exec("true\0", "", "")?;
    check_eq!(other.container.exec_wait(number)?, 0)?;
    let before = free()?;
    let made = shell(0, "busybox", "echo begun; while :; do :; done")?;
    made.start()?;
    let number = made.container.exec("sleep\x001000\0", "", "")?;
    // By who may end anything, at whatever it is doing.
    MANAGER.destroy(made.id)?;
    check_eq!(made.container.exec_wait(number), Err(Error::Gone))?;
    check_eq!(made.container.wait(), Err(Error::Gone))?;
    // What is large is taken back in the background.
    until("its memory", || Ok(free()?.bytes == before.bytes))?;
    let number = other.container.exec("sh\0-c\0exit 6\0", "", "")?;
    check_eq!(other.container.exec_wait(number)?, 6)?;
    other.remove()?;
    Ok(())
}

pub fn a_server_that_crashes_is_reported_and_ends_with_its_processes(_: &mut ()) -> Outcome {
    let before = free()?;
    let script = "echo x > /tmp/x; sleep 1000 & sleep 1000 & echo begun; wait";
    let made = shell(0, "busybox", script)?;
    made.start()?;
    let number = made.container.exec("sleep\x001000\0", "", "")?;
    let processes = || {
        let mut count = 0;
        let listed = MANAGER.each_ic(|ic| count += usize::from(ic.payer == made.id));
        listed.map(|()| count)
    };
    let mut buffer = [0; MAX_BYTES];
    check_eq!(
        made.container.log(0, 0, true, &mut buffer)?.bytes,
        b"begun\n"
    )?;
    // The shell, what it has started, and what runs beside it; with the server's own thread.
    while processes()? < 5 {
        sel4::r#yield();
    }
    // Its files are taken from it, by who may: it crashes when it looks at one.
    let mut files = Vec::new();
    MANAGER.each_edge(|edge| {
        if let EdgeKind::Share(region, _) = edge.kind
            && edge.to == made.id
            && edge.from != made.id
        {
            files.push(region);
        }
    })?;
    check!(!files.is_empty(), "nobody shares anything with it")?;
    for region in files {
        MANAGER.unshare(region, Subject::Ic(made.id))?;
    }
    // Whether the answer to this one comes first is up to the server.
    let _ = made.container.exec("busybox\0sh\0-c\0/bin/true\0", "", "");
    check_eq!(made.container.wait()?, 139)?;
    // What ran beside the first was killed.
    check_eq!(made.container.exec_wait(number)?, 137)?;
    check_eq!(processes()?, 0)?;
    let end = made.remove()?;
    check!(matches!(end, ExitStatus::Fault(_)), "it ended with {end:?}")?;
    check_eq!(output("busybox", "ls /tmp; echo again")?, "again\n")?;
    for _ in 0..20_000 {
        if free()?.bytes == before.bytes {
            break;
        }
        sel4::r#yield();
    }
    check_eq!(free()?.bytes, before.bytes)
}

/// Where the judge has the region that it grants.
const OWN_ADDRESS: u64 = 0x6000_0000_0000;

/// Bytes at the region's start.
fn region_bytes<'a>() -> &'a [AtomicU8; 16] {
    // SAFETY: the region is mapped there while this is used, and others may write to it: they are atomic.
    unsafe { &*(OWN_ADDRESS as *const [AtomicU8; 16]) }
}

pub fn a_region_that_is_granted_is_a_file_until_it_is_taken_away(_: &mut ()) -> Outcome {
    // One that nobody grants. From here on the image is there: it may be another than that of other containers.
    let printed = run("regions", "echo it runs")?;
    check_eq!((&*printed.output, printed.status), ("", 126))?;
    check!(
        printed
            .errors
            .contains("/data/shared: nobody granted a region shared"),
        "{}",
        printed.errors
    )?;
    let region = MANAGER.region_create(&RegionCreate {
        payer: Payer::Myself,
        pages: 2,
        large: false,
        place: 0,
    })?;
    let share = |target, address, rights| {
        MANAGER.share(&Share {
            region,
            target,
            address,
            rights,
        })
    };
    share(Subject::Myself, OWN_ADDRESS, Rights::RW)?;
    let before = free()?;
    for (to, byte) in region_bytes().iter().zip(b"from outside") {
        to.store(*byte, Relaxed);
    }
    let made = shell(0, "regions", "sleep 1000")?;
    // To be written, to be read as the description says, to be read as whoever grants it says.
    let grants = [
        ("shared", Rights::RW),
        ("fixed", Rights::RW),
        ("given", Rights::R),
    ];
    for ((name, rights), number) in grants.into_iter().zip(0..) {
        let address = GRANTS.start + number * (2 << 20);
        share(Subject::Ic(made.id), address, rights)?;
        made.container.grant(name, address, 2 * PAGE)?;
    }
    made.start()?;
    let does = |script: &str| -> Outcome<String> {
        let arguments = alloc::format!("sh\0-c\0{script}\0");
        let number = made.container.exec(&arguments, "", "")?;
        Ok(made.streams(number)?.0)
    };
    let script = "for f in /data/shared /data/fixed /etc/given; do head -c 12 $f; wc -c < $f; done";
    let one = "from outside8192\n";
    check_eq!(does(script)?, [one, one, one].concat())?;
    let script = "printf inside | dd of=/data/shared conv=notrunc 2>/dev/null && head -c 12 /data/fixed; \
                  for f in /data/fixed /etc/given; do dd if=/dev/zero of=$f count=1 conv=notrunc 2>&1 | grep -c Read-only; done; \
                  dd if=/dev/zero of=/data/shared bs=4096 count=3 seek=1 conv=notrunc 2>&1 | grep -c permitted; \
                  tail -c 1 /etc/given | od -An -tx1; rm /data/shared 2>&1 | grep -c busy";
    check_eq!(does(script)?, "insideutside1\n1\n1\n 00\n1\n")?;
    let seen = region_bytes().each_ref().map(|byte| byte.load(Relaxed));
    check_eq!(&seen[..12], b"insideutside")?;
    // It is taken away: an error for who uses it, and for nobody else.
    MANAGER.unshare(region, Subject::Ic(made.id))?;
    let script = "for f in /data/shared /data/fixed /etc/given; do cat $f 2>&1 | grep -c Input/output; done; \
                  printf x | dd of=/data/shared conv=notrunc 2>&1 | grep -c Input/output; echo alive";
    check_eq!(does(script)?, "1\n1\n1\n1\nalive\n")?;
    check_eq!(made.remove()?, ExitStatus::Killed)?;
    // What is large is taken back in the background.
    given_back(before)?;
    Ok(MANAGER.region_destroy(region)?)
}

pub fn an_image_that_umoci_made_and_skopeo_copied_runs(_: &mut ()) -> Outcome {
    let spec = |arguments| Spec {
        image: "image",
        arguments,
        ..Spec::default()
    };
    let made = create(0, &spec(""))?;
    made.start()?;
    check_eq!(made.printed()?.output, "hello from ann in /home\n")?;
    made.remove()?;
    // A command takes the place of its own; the entry point, the shell, stays.
    let made = create(
        0,
        &spec("-c\0cat /etc/motd; [ -e /bin/ls ] || echo gone; while :; do :; done\0"),
    )?;
    made.start()?;
    for (program, expected) in [
        (
            "/bin/bash\0-c\0for i in {1..3}; do echo -n $i; done; echo $BASHPID $EUID\0",
            "123",
        ),
        ("/bin/sash\0-c\0-pwd\0", "/home\n"),
    ] {
        let number = made.container.exec(program, "", "")?;
        let (output, errors) = made.streams(number)?;
        check!(
            output.starts_with(expected),
            "{program}: {output:?}, {errors:?}"
        )?;
    }
    made.container.signal(9)?;
    let printed = made.printed()?;
    check_eq!((&*printed.output, printed.status), ("two\ngone\n", 137))?;
    made.remove()?;
    Ok(())
}
