// SPDX-License-Identifier: BSD-2-Clause
//! Linux's error numbers.

use core::fmt;
use core::num::NonZeroU16;

use linux_raw_sys::errno;

/// What a system call gives.
pub type Result<T, E = Errno> = core::result::Result<T, E>;

/// An error number (errno(3)). Constants are named as there, without the E (`E2BIG` is
/// [`Errno::TOOBIG`]).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(NonZeroU16);

macro_rules! errnos {
    ($($name:ident = $number:ident,)+) => {
        #[allow(missing_docs)]
        impl Errno {
            $(pub const $name: Self = Self::new(errno::$number);)+

            /// The name that errno(3) has for it.
            pub const fn name(self) -> &'static str {
                match self.number() as u32 {
                    $(errno::$number => stringify!($number),)+
                    _ => "unknown error",
                }
            }
        }
    };
}

errnos! {
    PERM = EPERM,
    NOENT = ENOENT,
    SRCH = ESRCH,
    INTR = EINTR,
    IO = EIO,
    NXIO = ENXIO,
    TOOBIG = E2BIG,
    NOEXEC = ENOEXEC,
    BADF = EBADF,
    CHILD = ECHILD,
    AGAIN = EAGAIN,
    NOMEM = ENOMEM,
    ACCES = EACCES,
    FAULT = EFAULT,
    NOTBLK = ENOTBLK,
    BUSY = EBUSY,
    EXIST = EEXIST,
    XDEV = EXDEV,
    NODEV = ENODEV,
    NOTDIR = ENOTDIR,
    ISDIR = EISDIR,
    INVAL = EINVAL,
    NFILE = ENFILE,
    MFILE = EMFILE,
    NOTTY = ENOTTY,
    TXTBSY = ETXTBSY,
    FBIG = EFBIG,
    NOSPC = ENOSPC,
    SPIPE = ESPIPE,
    ROFS = EROFS,
    MLINK = EMLINK,
    PIPE = EPIPE,
    DOM = EDOM,
    RANGE = ERANGE,
    DEADLK = EDEADLK,
    NAMETOOLONG = ENAMETOOLONG,
    NOLCK = ENOLCK,
    NOSYS = ENOSYS,
    NOTEMPTY = ENOTEMPTY,
    LOOP = ELOOP,
    NOMSG = ENOMSG,
    IDRM = EIDRM,
    CHRNG = ECHRNG,
    L2NSYNC = EL2NSYNC,
    L3HLT = EL3HLT,
    L3RST = EL3RST,
    LNRNG = ELNRNG,
    UNATCH = EUNATCH,
    NOCSI = ENOCSI,
    L2HLT = EL2HLT,
    BADE = EBADE,
    BADR = EBADR,
    XFULL = EXFULL,
    NOANO = ENOANO,
    BADRQC = EBADRQC,
    BADSLT = EBADSLT,
    BFONT = EBFONT,
    NOSTR = ENOSTR,
    NODATA = ENODATA,
    TIME = ETIME,
    NOSR = ENOSR,
    NONET = ENONET,
    NOPKG = ENOPKG,
    REMOTE = EREMOTE,
    NOLINK = ENOLINK,
    ADV = EADV,
    SRMNT = ESRMNT,
    COMM = ECOMM,
    PROTO = EPROTO,
    MULTIHOP = EMULTIHOP,
    DOTDOT = EDOTDOT,
    BADMSG = EBADMSG,
    OVERFLOW = EOVERFLOW,
    NOTUNIQ = ENOTUNIQ,
    BADFD = EBADFD,
    REMCHG = EREMCHG,
    LIBACC = ELIBACC,
    LIBBAD = ELIBBAD,
    LIBSCN = ELIBSCN,
    LIBMAX = ELIBMAX,
    LIBEXEC = ELIBEXEC,
    ILSEQ = EILSEQ,
    RESTART = ERESTART,
    STRPIPE = ESTRPIPE,
    USERS = EUSERS,
    NOTSOCK = ENOTSOCK,
    DESTADDRREQ = EDESTADDRREQ,
    MSGSIZE = EMSGSIZE,
    PROTOTYPE = EPROTOTYPE,
    NOPROTOOPT = ENOPROTOOPT,
    PROTONOSUPPORT = EPROTONOSUPPORT,
    SOCKTNOSUPPORT = ESOCKTNOSUPPORT,
    OPNOTSUPP = EOPNOTSUPP,
    PFNOSUPPORT = EPFNOSUPPORT,
    AFNOSUPPORT = EAFNOSUPPORT,
    ADDRINUSE = EADDRINUSE,
    ADDRNOTAVAIL = EADDRNOTAVAIL,
    NETDOWN = ENETDOWN,
    NETUNREACH = ENETUNREACH,
    NETRESET = ENETRESET,
    CONNABORTED = ECONNABORTED,
    CONNRESET = ECONNRESET,
    NOBUFS = ENOBUFS,
    ISCONN = EISCONN,
    NOTCONN = ENOTCONN,
    SHUTDOWN = ESHUTDOWN,
    TOOMANYREFS = ETOOMANYREFS,
    TIMEDOUT = ETIMEDOUT,
    CONNREFUSED = ECONNREFUSED,
    HOSTDOWN = EHOSTDOWN,
    HOSTUNREACH = EHOSTUNREACH,
    ALREADY = EALREADY,
    INPROGRESS = EINPROGRESS,
    STALE = ESTALE,
    UCLEAN = EUCLEAN,
    NOTNAM = ENOTNAM,
    NAVAIL = ENAVAIL,
    ISNAM = EISNAM,
    REMOTEIO = EREMOTEIO,
    DQUOT = EDQUOT,
    NOMEDIUM = ENOMEDIUM,
    MEDIUMTYPE = EMEDIUMTYPE,
    CANCELED = ECANCELED,
    NOKEY = ENOKEY,
    KEYEXPIRED = EKEYEXPIRED,
    KEYREVOKED = EKEYREVOKED,
    KEYREJECTED = EKEYREJECTED,
    OWNERDEAD = EOWNERDEAD,
    NOTRECOVERABLE = ENOTRECOVERABLE,
    RFKILL = ERFKILL,
    HWPOISON = EHWPOISON,
}

impl Errno {
    /// A call that a signal interrupted and that is run again after the handler (or at once without one),
    /// if the signal's action says `SA_RESTART`. Programs never see this: it becomes a restart or
    /// [`Errno::INTR`]. The number is Linux's own (include/linux/errno.h).
    pub const RESTARTSYS: Self = Self::new(512);
    /// The same, run again only if no handler is run, whatever that says.
    pub const RESTARTNOHAND: Self = Self::new(514);
    /// The same, run again by `restart_syscall`, which waits for what is left of the time.
    pub const RESTART_RESTARTBLOCK: Self = Self::new(516);

    const fn new(number: u32) -> Self {
        match NonZeroU16::new(number as u16) {
            Some(number) => Self(number),
            None => panic!("0 is no error"),
        }
    }

    /// The number.
    pub const fn number(self) -> u16 {
        self.0.get()
    }

    /// The value of RAX that says it.
    pub const fn to_register(self) -> u64 {
        (self.number() as u64).wrapping_neg()
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl core::error::Error for Errno {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_a_small_negative_number_in_the_register() {
        assert_eq!(Errno::NOENT.to_register() as i64, -2);
        assert_eq!(Errno::TOOBIG.to_string(), "E2BIG");
        assert_eq!(Errno::AGAIN.number(), 11);
    }
}
