// SPDX-License-Identifier: BSD-2-Clause
//! All calls: which function does each, and which are not there.
#![allow(non_upper_case_globals)] // Linux's names

use linux_raw_sys::general::*;

use super::{
    Args, Outcome, file, futex, identity, memory, path, poll, process, schedule, signal, time,
};
use crate::kernel::Kernel;
use crate::pages::Pages;
use crate::server::Server;
use crate::{Errno, ThreadId};

/// Whether a call makes nothing that would have to be remembered, or lets something go: these are done even when
/// the server has no room.
const fn makes_nothing(number: u32) -> bool {
    matches!(
        number,
        __NR_alarm
            | __NR_arch_prctl
            | __NR_clock_getres
            | __NR_clock_gettime
            | __NR_clock_nanosleep
            | __NR_close
            | __NR_close_range
            | __NR_exit
            | __NR_exit_group
            | __NR_fstat
            | __NR_futex
            | __NR_getegid
            | __NR_geteuid
            | __NR_getgid
            | __NR_getpgid
            | __NR_getpgrp
            | __NR_getpid
            | __NR_getppid
            | __NR_getrlimit
            | __NR_getrusage
            | __NR_getsid
            | __NR_gettid
            | __NR_gettimeofday
            | __NR_getuid
            | __NR_kill
            | __NR_lseek
            | __NR_munmap
            | __NR_nanosleep
            | __NR_newfstatat
            | __NR_pause
            | __NR_poll
            | __NR_prlimit64
            | __NR_read
            | __NR_readv
            | __NR_restart_syscall
            | __NR_rmdir
            | __NR_rt_sigaction
            | __NR_rt_sigpending
            | __NR_rt_sigprocmask
            | __NR_rt_sigreturn
            | __NR_rt_sigsuspend
            | __NR_sched_yield
            | __NR_set_robust_list
            | __NR_set_tid_address
            | __NR_stat
            | __NR_sysinfo
            | __NR_tgkill
            | __NR_time
            | __NR_timer_delete
            | __NR_times
            | __NR_tkill
            | __NR_uname
            | __NR_unlink
            | __NR_unlinkat
            | __NR_wait4
            | __NR_waitid
    )
}

/// What becomes of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// It is done.
    Done,
    /// It is checked and succeeds: what it asks for is so already, or of no consequence here.
    Nothing,
    /// Its arguments are checked, and it is always an error, the one that Linux has for it.
    Refused,
    /// `ENOSYS`, and once a line in the log.
    Missing,
}

impl Status {
    /// By the function that does it.
    const fn of(function: &str) -> Self {
        match function.as_bytes() {
            b"nothing" | b"fsync" | b"membarrier" | b"munlock" => Self::Nothing,
            b"socket_other" | b"clock_settime" => Self::Refused,
            b"rseq" => Self::Missing,
            _ => Self::Done,
        }
    }

    /// As documentation has it.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Nothing => "nothing to do",
            Self::Refused => "refused",
            Self::Missing => "no",
        }
    }
}

macro_rules! calls {
    ($($name:ident = $number:ident => $module:ident::$function:ident,)+ ; $($missing:ident = $other:ident,)+) => {
        /// Does the call with this number.
        pub(super) fn call<K: Kernel, P: Pages>(
            server: &mut Server<K, P>,
            thread: ThreadId,
            number: u64,
            args: Args,
        ) -> Outcome {
            if !makes_nothing(number as u32) && !server.has_room(thread) {
                return Err(Errno::NOMEM).into();
            }
            // As Linux does, which looks at the low half alone.
            match number as u32 {
                $($number => $module::$function(server, thread, args).into(),)+
                _ => {
                    server.note_unknown(thread, number as u32);
                    Err(Errno::NOSYS).into()
                }
            }
        }

        /// Linux's name of a call, if it has one.
        pub fn name(number: u32) -> Option<&'static str> {
            Some(match number {
                $($number => stringify!($name),)+
                $($other => stringify!($missing),)+
                _ => return None,
            })
        }

        /// All of Linux's calls: number, name, and what becomes of them.
        pub const ALL: &[(u32, &str, Status)] = &[
            $(($number, stringify!($name), Status::of(stringify!($function))),)+
            $(($other, stringify!($missing), Status::Missing),)+
        ];
    };
}

calls! {
    read = __NR_read => file::read,
    write = __NR_write => file::write,
    open = __NR_open => file::open,
    close = __NR_close => file::close,
    stat = __NR_stat => path::stat,
    fstat = __NR_fstat => path::fstat,
    lstat = __NR_lstat => path::lstat,
    poll = __NR_poll => poll::poll,
    lseek = __NR_lseek => file::lseek,
    mmap = __NR_mmap => memory::mmap,
    mprotect = __NR_mprotect => memory::mprotect,
    munmap = __NR_munmap => memory::munmap,
    brk = __NR_brk => memory::brk,
    rt_sigaction = __NR_rt_sigaction => signal::rt_sigaction,
    rt_sigprocmask = __NR_rt_sigprocmask => signal::rt_sigprocmask,
    rt_sigreturn = __NR_rt_sigreturn => signal::rt_sigreturn,
    ioctl = __NR_ioctl => file::ioctl,
    pread64 = __NR_pread64 => file::pread64,
    pwrite64 = __NR_pwrite64 => file::pwrite64,
    readv = __NR_readv => file::readv,
    writev = __NR_writev => file::writev,
    access = __NR_access => path::access,
    pipe = __NR_pipe => file::pipe,
    select = __NR_select => poll::select,
    sched_yield = __NR_sched_yield => schedule::sched_yield,
    mremap = __NR_mremap => memory::mremap,
    msync = __NR_msync => memory::msync,
    mincore = __NR_mincore => memory::mincore,
    madvise = __NR_madvise => memory::madvise,
    dup = __NR_dup => file::dup,
    dup2 = __NR_dup2 => file::dup2,
    pause = __NR_pause => signal::pause,
    nanosleep = __NR_nanosleep => time::nanosleep,
    getitimer = __NR_getitimer => time::getitimer,
    alarm = __NR_alarm => time::alarm,
    setitimer = __NR_setitimer => time::setitimer,
    getpid = __NR_getpid => process::getpid,
    sendfile = __NR_sendfile => file::sendfile,
    socket = __NR_socket => file::socket,
    connect = __NR_connect => file::socket_other,
    accept = __NR_accept => file::socket_other,
    sendto = __NR_sendto => file::sendto,
    recvfrom = __NR_recvfrom => file::recvfrom,
    sendmsg = __NR_sendmsg => file::sendmsg,
    recvmsg = __NR_recvmsg => file::recvmsg,
    shutdown = __NR_shutdown => file::shutdown,
    bind = __NR_bind => file::socket_other,
    listen = __NR_listen => file::socket_other,
    getsockname = __NR_getsockname => file::getsockname,
    getpeername = __NR_getpeername => file::getsockname,
    socketpair = __NR_socketpair => file::socketpair,
    setsockopt = __NR_setsockopt => file::socket_other,
    getsockopt = __NR_getsockopt => file::getsockopt,
    clone = __NR_clone => process::clone,
    fork = __NR_fork => process::fork,
    vfork = __NR_vfork => process::vfork,
    execve = __NR_execve => process::execve,
    exit = __NR_exit => process::exit,
    wait4 = __NR_wait4 => process::wait4,
    kill = __NR_kill => signal::kill,
    uname = __NR_uname => process::uname,
    fcntl = __NR_fcntl => file::fcntl,
    flock = __NR_flock => file::flock,
    fsync = __NR_fsync => file::fsync,
    fdatasync = __NR_fdatasync => file::fsync,
    truncate = __NR_truncate => path::truncate,
    ftruncate = __NR_ftruncate => path::ftruncate,
    getcwd = __NR_getcwd => path::getcwd,
    chdir = __NR_chdir => path::chdir,
    fchdir = __NR_fchdir => path::fchdir,
    rename = __NR_rename => path::rename,
    mkdir = __NR_mkdir => path::mkdir,
    rmdir = __NR_rmdir => path::rmdir,
    creat = __NR_creat => file::creat,
    link = __NR_link => path::link,
    unlink = __NR_unlink => path::unlink,
    symlink = __NR_symlink => path::symlink,
    readlink = __NR_readlink => path::readlink,
    chmod = __NR_chmod => path::chmod,
    fchmod = __NR_fchmod => path::fchmod,
    chown = __NR_chown => path::chown,
    fchown = __NR_fchown => path::fchown,
    lchown = __NR_lchown => path::lchown,
    umask = __NR_umask => path::umask,
    gettimeofday = __NR_gettimeofday => time::gettimeofday,
    getrlimit = __NR_getrlimit => process::getrlimit,
    getrusage = __NR_getrusage => process::getrusage,
    sysinfo = __NR_sysinfo => process::sysinfo,
    times = __NR_times => time::times,
    getuid = __NR_getuid => identity::getuid,
    getgid = __NR_getgid => identity::getgid,
    setuid = __NR_setuid => identity::setuid,
    setgid = __NR_setgid => identity::setgid,
    geteuid = __NR_geteuid => identity::geteuid,
    getegid = __NR_getegid => identity::getegid,
    setpgid = __NR_setpgid => process::setpgid,
    getppid = __NR_getppid => process::getppid,
    getpgrp = __NR_getpgrp => process::getpgrp,
    setsid = __NR_setsid => process::setsid,
    setreuid = __NR_setreuid => identity::setreuid,
    setregid = __NR_setregid => identity::setregid,
    getgroups = __NR_getgroups => identity::getgroups,
    setgroups = __NR_setgroups => identity::setgroups,
    setresuid = __NR_setresuid => identity::setresuid,
    getresuid = __NR_getresuid => identity::getresuid,
    setresgid = __NR_setresgid => identity::setresgid,
    getresgid = __NR_getresgid => identity::getresgid,
    getpgid = __NR_getpgid => process::getpgid,
    setfsuid = __NR_setfsuid => identity::setfsuid,
    setfsgid = __NR_setfsgid => identity::setfsgid,
    getsid = __NR_getsid => process::getsid,
    capget = __NR_capget => identity::capget,
    capset = __NR_capset => identity::capset,
    rt_sigpending = __NR_rt_sigpending => signal::rt_sigpending,
    rt_sigtimedwait = __NR_rt_sigtimedwait => signal::rt_sigtimedwait,
    rt_sigqueueinfo = __NR_rt_sigqueueinfo => signal::rt_sigqueueinfo,
    rt_sigsuspend = __NR_rt_sigsuspend => signal::rt_sigsuspend,
    sigaltstack = __NR_sigaltstack => signal::sigaltstack,
    utime = __NR_utime => path::utime,
    mknod = __NR_mknod => path::mknod,
    personality = __NR_personality => process::personality,
    statfs = __NR_statfs => path::statfs,
    fstatfs = __NR_fstatfs => path::fstatfs,
    getpriority = __NR_getpriority => schedule::getpriority,
    setpriority = __NR_setpriority => schedule::setpriority,
    sched_getparam = __NR_sched_getparam => schedule::sched_getparam,
    sched_setscheduler = __NR_sched_setscheduler => schedule::sched_setscheduler,
    sched_getscheduler = __NR_sched_getscheduler => schedule::sched_getscheduler,
    sched_get_priority_max = __NR_sched_get_priority_max => schedule::sched_get_priority_max,
    sched_get_priority_min = __NR_sched_get_priority_min => schedule::sched_get_priority_min,
    mlock = __NR_mlock => memory::mlock,
    munlock = __NR_munlock => memory::munlock,
    mlockall = __NR_mlockall => process::nothing,
    munlockall = __NR_munlockall => process::nothing,
    prctl = __NR_prctl => process::prctl,
    arch_prctl = __NR_arch_prctl => process::arch_prctl,
    setrlimit = __NR_setrlimit => process::setrlimit,
    chroot = __NR_chroot => path::chroot,
    sync = __NR_sync => process::nothing,
    mount = __NR_mount => path::mount,
    umount2 = __NR_umount2 => path::umount2,
    sethostname = __NR_sethostname => process::sethostname,
    setdomainname = __NR_setdomainname => process::setdomainname,
    gettid = __NR_gettid => process::gettid,
    readahead = __NR_readahead => file::fsync,
    tkill = __NR_tkill => signal::tkill,
    time = __NR_time => time::time,
    futex = __NR_futex => futex::futex,
    sched_setaffinity = __NR_sched_setaffinity => schedule::sched_setaffinity,
    sched_getaffinity = __NR_sched_getaffinity => schedule::sched_getaffinity,
    epoll_create = __NR_epoll_create => poll::epoll_create,
    getdents64 = __NR_getdents64 => file::getdents64,
    set_tid_address = __NR_set_tid_address => process::set_tid_address,
    fadvise64 = __NR_fadvise64 => file::fsync,
    timer_create = __NR_timer_create => time::timer_create,
    timer_settime = __NR_timer_settime => time::timer_settime,
    timer_gettime = __NR_timer_gettime => time::timer_gettime,
    timer_getoverrun = __NR_timer_getoverrun => time::timer_getoverrun,
    timer_delete = __NR_timer_delete => time::timer_delete,
    clock_settime = __NR_clock_settime => time::clock_settime,
    clock_gettime = __NR_clock_gettime => time::clock_gettime,
    clock_getres = __NR_clock_getres => time::clock_getres,
    clock_nanosleep = __NR_clock_nanosleep => time::clock_nanosleep,
    exit_group = __NR_exit_group => process::exit_group,
    epoll_wait = __NR_epoll_wait => poll::epoll_wait,
    epoll_ctl = __NR_epoll_ctl => poll::epoll_ctl,
    tgkill = __NR_tgkill => signal::tgkill,
    utimes = __NR_utimes => path::utimes,
    waitid = __NR_waitid => process::waitid,
    ioprio_set = __NR_ioprio_set => process::nothing,
    ioprio_get = __NR_ioprio_get => process::nothing,
    openat = __NR_openat => file::openat,
    mkdirat = __NR_mkdirat => path::mkdirat,
    mknodat = __NR_mknodat => path::mknodat,
    fchownat = __NR_fchownat => path::fchownat,
    futimesat = __NR_futimesat => path::futimesat,
    newfstatat = __NR_newfstatat => path::newfstatat,
    unlinkat = __NR_unlinkat => path::unlinkat,
    renameat = __NR_renameat => path::renameat,
    linkat = __NR_linkat => path::linkat,
    symlinkat = __NR_symlinkat => path::symlinkat,
    readlinkat = __NR_readlinkat => path::readlinkat,
    fchmodat = __NR_fchmodat => path::fchmodat,
    faccessat = __NR_faccessat => path::faccessat,
    pselect6 = __NR_pselect6 => poll::pselect6,
    ppoll = __NR_ppoll => poll::ppoll,
    unshare = __NR_unshare => process::unshare,
    set_robust_list = __NR_set_robust_list => futex::set_robust_list,
    rseq = __NR_rseq => process::rseq,
    restart_syscall = __NR_restart_syscall => process::restart_syscall,
    get_robust_list = __NR_get_robust_list => futex::get_robust_list,
    sync_file_range = __NR_sync_file_range => file::fsync,
    utimensat = __NR_utimensat => path::utimensat,
    epoll_pwait = __NR_epoll_pwait => poll::epoll_pwait,
    eventfd = __NR_eventfd => file::eventfd,
    fallocate = __NR_fallocate => path::fallocate,
    accept4 = __NR_accept4 => file::socket_other,
    eventfd2 = __NR_eventfd2 => file::eventfd2,
    memfd_create = __NR_memfd_create => file::memfd_create,
    epoll_create1 = __NR_epoll_create1 => poll::epoll_create1,
    dup3 = __NR_dup3 => file::dup3,
    pipe2 = __NR_pipe2 => file::pipe2,
    preadv = __NR_preadv => file::preadv,
    pwritev = __NR_pwritev => file::pwritev,
    rt_tgsigqueueinfo = __NR_rt_tgsigqueueinfo => signal::rt_tgsigqueueinfo,
    prlimit64 = __NR_prlimit64 => process::prlimit64,
    syncfs = __NR_syncfs => file::fsync,
    getcpu = __NR_getcpu => process::getcpu,
    renameat2 = __NR_renameat2 => path::renameat2,
    getrandom = __NR_getrandom => process::getrandom,
    execveat = __NR_execveat => process::execveat,
    membarrier = __NR_membarrier => process::membarrier,
    mlock2 = __NR_mlock2 => memory::mlock,
    copy_file_range = __NR_copy_file_range => file::copy_file_range,
    preadv2 = __NR_preadv2 => file::preadv2,
    pwritev2 = __NR_pwritev2 => file::pwritev2,
    statx = __NR_statx => path::statx,
    clone3 = __NR_clone3 => process::clone3,
    close_range = __NR_close_range => file::close_range,
    openat2 = __NR_openat2 => file::openat2,
    faccessat2 = __NR_faccessat2 => path::faccessat2,
    epoll_pwait2 = __NR_epoll_pwait2 => poll::epoll_pwait2,
    fchmodat2 = __NR_fchmodat2 => path::fchmodat2,
    ;
    shmget = __NR_shmget,
    shmat = __NR_shmat,
    shmctl = __NR_shmctl,
    semget = __NR_semget,
    semop = __NR_semop,
    semctl = __NR_semctl,
    shmdt = __NR_shmdt,
    msgget = __NR_msgget,
    msgsnd = __NR_msgsnd,
    msgrcv = __NR_msgrcv,
    msgctl = __NR_msgctl,
    getdents = __NR_getdents,
    ptrace = __NR_ptrace,
    syslog = __NR_syslog,
    uselib = __NR_uselib,
    ustat = __NR_ustat,
    sysfs = __NR_sysfs,
    sched_setparam = __NR_sched_setparam,
    sched_rr_get_interval = __NR_sched_rr_get_interval,
    vhangup = __NR_vhangup,
    modify_ldt = __NR_modify_ldt,
    pivot_root = __NR_pivot_root,
    _sysctl = __NR__sysctl,
    adjtimex = __NR_adjtimex,
    acct = __NR_acct,
    settimeofday = __NR_settimeofday,
    swapon = __NR_swapon,
    swapoff = __NR_swapoff,
    reboot = __NR_reboot,
    iopl = __NR_iopl,
    ioperm = __NR_ioperm,
    create_module = __NR_create_module,
    init_module = __NR_init_module,
    delete_module = __NR_delete_module,
    get_kernel_syms = __NR_get_kernel_syms,
    query_module = __NR_query_module,
    quotactl = __NR_quotactl,
    nfsservctl = __NR_nfsservctl,
    getpmsg = __NR_getpmsg,
    putpmsg = __NR_putpmsg,
    afs_syscall = __NR_afs_syscall,
    tuxcall = __NR_tuxcall,
    security = __NR_security,
    setxattr = __NR_setxattr,
    lsetxattr = __NR_lsetxattr,
    fsetxattr = __NR_fsetxattr,
    getxattr = __NR_getxattr,
    lgetxattr = __NR_lgetxattr,
    fgetxattr = __NR_fgetxattr,
    listxattr = __NR_listxattr,
    llistxattr = __NR_llistxattr,
    flistxattr = __NR_flistxattr,
    removexattr = __NR_removexattr,
    lremovexattr = __NR_lremovexattr,
    fremovexattr = __NR_fremovexattr,
    set_thread_area = __NR_set_thread_area,
    io_setup = __NR_io_setup,
    io_destroy = __NR_io_destroy,
    io_getevents = __NR_io_getevents,
    io_submit = __NR_io_submit,
    io_cancel = __NR_io_cancel,
    get_thread_area = __NR_get_thread_area,
    lookup_dcookie = __NR_lookup_dcookie,
    epoll_ctl_old = __NR_epoll_ctl_old,
    epoll_wait_old = __NR_epoll_wait_old,
    remap_file_pages = __NR_remap_file_pages,
    semtimedop = __NR_semtimedop,
    vserver = __NR_vserver,
    mbind = __NR_mbind,
    set_mempolicy = __NR_set_mempolicy,
    get_mempolicy = __NR_get_mempolicy,
    mq_open = __NR_mq_open,
    mq_unlink = __NR_mq_unlink,
    mq_timedsend = __NR_mq_timedsend,
    mq_timedreceive = __NR_mq_timedreceive,
    mq_notify = __NR_mq_notify,
    mq_getsetattr = __NR_mq_getsetattr,
    kexec_load = __NR_kexec_load,
    add_key = __NR_add_key,
    request_key = __NR_request_key,
    keyctl = __NR_keyctl,
    inotify_init = __NR_inotify_init,
    inotify_add_watch = __NR_inotify_add_watch,
    inotify_rm_watch = __NR_inotify_rm_watch,
    migrate_pages = __NR_migrate_pages,
    splice = __NR_splice,
    tee = __NR_tee,
    vmsplice = __NR_vmsplice,
    move_pages = __NR_move_pages,
    signalfd = __NR_signalfd,
    timerfd_create = __NR_timerfd_create,
    timerfd_settime = __NR_timerfd_settime,
    timerfd_gettime = __NR_timerfd_gettime,
    signalfd4 = __NR_signalfd4,
    inotify_init1 = __NR_inotify_init1,
    perf_event_open = __NR_perf_event_open,
    recvmmsg = __NR_recvmmsg,
    fanotify_init = __NR_fanotify_init,
    fanotify_mark = __NR_fanotify_mark,
    name_to_handle_at = __NR_name_to_handle_at,
    open_by_handle_at = __NR_open_by_handle_at,
    clock_adjtime = __NR_clock_adjtime,
    sendmmsg = __NR_sendmmsg,
    setns = __NR_setns,
    process_vm_readv = __NR_process_vm_readv,
    process_vm_writev = __NR_process_vm_writev,
    kcmp = __NR_kcmp,
    finit_module = __NR_finit_module,
    sched_setattr = __NR_sched_setattr,
    sched_getattr = __NR_sched_getattr,
    seccomp = __NR_seccomp,
    kexec_file_load = __NR_kexec_file_load,
    bpf = __NR_bpf,
    userfaultfd = __NR_userfaultfd,
    pkey_mprotect = __NR_pkey_mprotect,
    pkey_alloc = __NR_pkey_alloc,
    pkey_free = __NR_pkey_free,
    io_pgetevents = __NR_io_pgetevents,
    uretprobe = __NR_uretprobe,
    pidfd_send_signal = __NR_pidfd_send_signal,
    io_uring_setup = __NR_io_uring_setup,
    io_uring_enter = __NR_io_uring_enter,
    io_uring_register = __NR_io_uring_register,
    open_tree = __NR_open_tree,
    move_mount = __NR_move_mount,
    fsopen = __NR_fsopen,
    fsconfig = __NR_fsconfig,
    fsmount = __NR_fsmount,
    fspick = __NR_fspick,
    pidfd_open = __NR_pidfd_open,
    pidfd_getfd = __NR_pidfd_getfd,
    process_madvise = __NR_process_madvise,
    mount_setattr = __NR_mount_setattr,
    quotactl_fd = __NR_quotactl_fd,
    landlock_create_ruleset = __NR_landlock_create_ruleset,
    landlock_add_rule = __NR_landlock_add_rule,
    landlock_restrict_self = __NR_landlock_restrict_self,
    memfd_secret = __NR_memfd_secret,
    process_mrelease = __NR_process_mrelease,
    futex_waitv = __NR_futex_waitv,
    set_mempolicy_home_node = __NR_set_mempolicy_home_node,
    cachestat = __NR_cachestat,
    map_shadow_stack = __NR_map_shadow_stack,
    futex_wake = __NR_futex_wake,
    futex_wait = __NR_futex_wait,
    futex_requeue = __NR_futex_requeue,
    statmount = __NR_statmount,
    listmount = __NR_listmount,
    lsm_get_self_attr = __NR_lsm_get_self_attr,
    lsm_set_self_attr = __NR_lsm_set_self_attr,
    lsm_list_modules = __NR_lsm_list_modules,
    mseal = __NR_mseal,
    setxattrat = __NR_setxattrat,
    getxattrat = __NR_getxattrat,
    listxattrat = __NR_listxattrat,
    removexattrat = __NR_removexattrat,
    open_tree_attr = __NR_open_tree_attr,
    file_getattr = __NR_file_getattr,
    file_setattr = __NR_file_setattr,
}

/// What a call gives that a signal interrupts before it has done anything.
pub fn when_interrupted(number: u64) -> Errno {
    match u32::try_from(number) {
        // Run again only if no handler was run.
        Ok(
            __NR_pause | __NR_rt_sigsuspend | __NR_poll | __NR_select | __NR_pselect6 | __NR_ppoll,
        ) => Errno::RESTARTNOHAND,
        // These wait for what is left of their time.
        Ok(__NR_nanosleep | __NR_clock_nanosleep) => Errno::RESTART_RESTARTBLOCK,
        Ok(__NR_epoll_wait | __NR_epoll_pwait | __NR_epoll_pwait2 | __NR_rt_sigtimedwait) => {
            Errno::INTR
        }
        _ => Errno::RESTARTSYS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Where the table stands in documentation, and what is before and behind it.
    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/posix.md");
    const BEGIN: &str = "<!-- All calls, by a test of legacy-posix; not to be edited. -->\n";
    const END: &str = "<!-- The end of all calls. -->\n";
    /// The variable that has the page written.
    const WRITE: &str = "XOS_WRITE_DOCS";

    fn markdown() -> String {
        let mut all = ALL.to_vec();
        all.sort_unstable_by_key(|(number, ..)| *number);
        let mut text = String::from("| number | call | |\n| ---: | --- | --- |\n");
        for (number, name, status) in all {
            text += &format!("| {number} | `{name}` | {} |\n", status.text());
        }
        text
    }

    #[test]
    fn the_page_has_the_table_that_is_used() {
        let page = std::fs::read_to_string(PAGE).unwrap();
        let (head, rest) = page.split_once(BEGIN).unwrap();
        let (table, tail) = rest.split_once(END).unwrap();
        if std::env::var_os(WRITE).is_some() {
            let page = [head, BEGIN, &markdown(), END, tail].concat();
            std::fs::write(PAGE, page).unwrap();
        } else {
            assert_eq!(
                table,
                markdown(),
                "{WRITE}=1 has this test write docs/posix.md"
            );
        }
    }

    #[test]
    fn every_call_is_listed_once() {
        let numbers: BTreeSet<u32> = ALL.iter().map(|(number, ..)| *number).collect();
        assert_eq!(numbers.len(), ALL.len());
        assert_eq!(name(__NR_read), Some("read"));
        assert_eq!(name(__NR_ptrace), Some("ptrace"));
        assert_eq!(name(u32::MAX), None);
    }
}
