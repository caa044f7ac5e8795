// SPDX-License-Identifier: BSD-2-Clause
// Descriptors, pipes, locks, terminals, and waiting for them.
#include "conform.h"
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <termios.h>

static int pair[2];

void descriptors(void) {
    char bytes[128];
    PART("dup");
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    VALUE(fd);
    VALUE(dup(fd));
    VALUE(dup(99));
    VALUE(dup2(fd, 10));
    VALUE(dup2(fd, fd));
    VALUE(dup2(99, 99));
    VALUE(dup2(fd, -1));
    VALUE(dup3(fd, fd, 0));
    VALUE(dup3(fd, 11, O_CLOEXEC));
    VALUE(dup3(fd, 11, 1));
    VALUE(fcntl(11, F_GETFD));
    VALUE(fcntl(fd, F_DUPFD, 20));
    VALUE(fcntl(fd, F_DUPFD_CLOEXEC, 20));
    VALUE(fcntl(fd, F_DUPFD, -1));
    VALUE(fcntl(21, F_GETFD));
    VALUE(fcntl(21, F_SETFD, 0));
    VALUE(fcntl(21, F_GETFD));
    VALUE(fcntl(fd, F_GETFL));
    VALUE(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK | O_TRUNC));
    VALUE(fcntl(10, F_GETFL));
    VALUE(fcntl(99, F_GETFL));
    VALUE(fcntl(fd, 9999));
    VALUE(close(21));
    VALUE(close(21));
    struct rlimit limit = {30, 30};
    TRY(setrlimit(RLIMIT_NOFILE, &limit));
    VALUE(dup2(fd, 30));
    VALUE(fcntl(fd, F_DUPFD, 30));
    while (dup(fd) >= 0) {
    }
    VALUE(dup(fd));
    VALUE(open("f", O_RDONLY));
    VALUE(pipe(pair));
    VALUE(syscall(SYS_close_range, 4, 100, 0));
    VALUE(syscall(SYS_close_range, 9, 4, 0));
    PART("pipes");
    VALUE(pipe2(BAD, 0));
    VALUE(pipe2(pair, 1));
    VALUE(pipe2(pair, O_NONBLOCK));
    VALUE(pair[0] * 100 + pair[1]);
    VALUE(read(pair[0], bytes, 1));
    VALUE(read(pair[1], bytes, 1));
    VALUE(write(pair[0], bytes, 1));
    VALUE(write(pair[1], "abcdef", 6));
    VALUE(ioctl(pair[0], FIONREAD, &fd));
    VALUE(fd);
    VALUE(read(pair[0], bytes, 4));
    VALUE(read(pair[0], bytes, 4));
    VALUE(lseek(pair[0], 0, SEEK_SET));
    VALUE(pread(pair[0], bytes, 1, 0));
    VALUE(fcntl(pair[0], F_GETPIPE_SZ));
    VALUE(fcntl(pair[0], F_SETPIPE_SZ, 4097));
    VALUE(fcntl(pair[0], F_SETPIPE_SZ, 0));
    char *large = calloc(1, 20000);
    VALUE(write(pair[1], large, 20000));
    VALUE(write(pair[1], large, 1));
    VALUE(fcntl(pair[0], F_SETPIPE_SZ, 4096));
    VALUE(read(pair[0], large, 20000));
    VALUE(close(pair[1]));
    VALUE(read(pair[0], bytes, 4));
    VALUE(close(pair[0]));
    signal(SIGPIPE, SIG_IGN);
    VALUE(pipe(pair));
    VALUE(close(pair[0]));
    VALUE(write(pair[1], "x", 1));
    VALUE(close(pair[1]));
    CHILD("write to a broken pipe") {
        signal(SIGPIPE, SIG_DFL);
        VALUE(pipe(pair));
        close(pair[0]);
        fflush(stdout);
        VALUE(write(pair[1], "x", 1));
    }
    CHILD("fifo") {
        mkfifo("fifo", 0600);
        fflush(stdout);
        if (fork() == 0) {
            int end = open("fifo", O_WRONLY);
            dprintf(end, "through");
            _exit(0);
        }
        int end = open("fifo", O_RDONLY);
        VALUE(read(end, bytes, sizeof bytes));
        wait(NULL);
        VALUE(read(end, bytes, sizeof bytes));
    }
    PART("record locks");
    int file = open("locked", O_RDWR | O_CREAT, 0644), other = open("locked", O_RDONLY);
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 10};
    VALUE(fcntl(file, F_SETLK, &l));
    VALUE(fcntl(other, F_SETLK, &l));
    CHILD("locks of another") {
        struct flock m = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0};
        VALUE(fcntl(file, F_SETLK, &m));
        VALUE(fcntl(file, F_GETLK, &m));
        printf("  type %d start %ld length %ld by parent %d\n", m.l_type, (long)m.l_start, (long)m.l_len,
               m.l_pid == getppid());
        m = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 20, .l_len = 1};
        VALUE(fcntl(file, F_SETLK, &m));
        m.l_start = 15;
        VALUE(fcntl(file, F_OFD_SETLK, &m));
    }
    l = (struct flock){.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = 12, .l_len = 2};
    VALUE(fcntl(file, F_SETLK, &l));
    CHILD("a hole in a lock") {
        struct flock m = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 12, .l_len = 2};
        VALUE(fcntl(file, F_SETLK, &m));
        m.l_len = 3;
        VALUE(fcntl(file, F_SETLK, &m));
    }
    l.l_type = 9;
    VALUE(fcntl(file, F_SETLK, &l));
    VALUE(fcntl(99, F_SETLK, &l));
    VALUE(fcntl(file, F_SETLK, BAD));
    close(other);
    CHILD("after a close") {
        struct flock m = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        VALUE(fcntl(file, F_SETLK, &m));
    }
    PART("flock");
    other = open("locked", O_RDONLY);
    VALUE(flock(file, LOCK_SH));
    VALUE(flock(other, LOCK_SH | LOCK_NB));
    VALUE(flock(file, LOCK_EX | LOCK_NB));
    VALUE(flock(other, LOCK_UN));
    VALUE(flock(file, LOCK_EX | LOCK_NB));
    VALUE(flock(other, LOCK_SH | LOCK_NB));
    VALUE(flock(other, 77));
    VALUE(flock(99, LOCK_SH));
    PART("sockets");
    VALUE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair));
    VALUE(write(pair[0], "stream", 6));
    VALUE(recv(pair[1], bytes, 3, MSG_PEEK));
    VALUE(recv(pair[1], bytes, 9, 0));
    VALUE(recv(pair[1], bytes, 9, 0));
    VALUE(shutdown(pair[0], SHUT_WR));
    VALUE(recv(pair[1], bytes, 9, 0));
    VALUE(send(pair[0], "x", 1, MSG_NOSIGNAL));
    VALUE(send(pair[1], "x", 1, 0));
    VALUE(shutdown(pair[0], 9));
    VALUE(shutdown(file, 0));
    close(pair[0]), close(pair[1]);
    VALUE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair));
    VALUE(write(pair[0], "one", 3));
    VALUE(write(pair[0], "two", 3));
    VALUE(read(pair[1], bytes, 2));
    VALUE(read(pair[1], bytes, 9));
    VALUE(read(pair[1], bytes, 9));
    VALUE(socketpair(AF_UNIX, 77, 0, pair));
    VALUE(socketpair(AF_UNIX, SOCK_STREAM, 77, pair));
    VALUE(socketpair(AF_UNIX, SOCK_STREAM, 0, BAD));
    PART("devices");
    for (int at = 0; at < 4; at++) {
        const char *names[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/urandom"};
        int device = open(names[at], O_RDWR);
        printf("  %s\n", names[at]);
        bytes[0] = 1;
        VALUE(read(device, bytes, 10));
        IS(at != 1 || bytes[0] == 0);
        VALUE(write(device, bytes, 10));
        VALUE(lseek(device, 5, SEEK_SET));
        VALUE(ioctl(device, TCGETS, bytes));
        close(device);
    }
    CHILD("a session without a terminal") {
        setsid();
        VALUE(open("/dev/tty", O_RDWR));
    }
    PART("event counters");
    int event = eventfd(3, EFD_NONBLOCK);
    uint64_t count = 0;
    VALUE(read(event, &count, 8));
    VALUE((long)count);
    VALUE(read(event, &count, 8));
    VALUE(read(event, &count, 4));
    count = -1;
    VALUE(write(event, &count, 8));
    count = -2;
    VALUE(write(event, &count, 8));
    VALUE(write(event, &count, 8));
    VALUE(eventfd(0, 77));
    PART("files in memory");
    char name[252];
    memset(name, 'n', 251);
    name[250] = 0;
    VALUE(memfd_create(name, 0));
    name[249] = 0;
    file = memfd_create(name, MFD_CLOEXEC);
    IS(file >= 0 && fcntl(file, F_GETFD) == FD_CLOEXEC);
    IS(fcntl(file, F_GETFL) == (O_RDWR | 0100000));
    VALUE(write(file, "in memory", 9));
    VALUE(ftruncate(file, 8192));
    char *mapped = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    IS(mapped != MAP_FAILED && !memcmp(mapped, "in memory", 10) && mapped[8191] == 0);
    memcpy(mapped + 4096, "by way of a mapping", 20);
    char read_back[20];
    IS(pread(file, read_back, 20, 4096) == 20 && !memcmp(read_back, "by way of a mapping", 20));
    struct stat of;
    IS(fstat(file, &of) == 0 && of.st_nlink == 0 && of.st_size == 8192 && S_ISREG(of.st_mode));
    close(file);
    VALUE(memfd_create(BAD, 0));
    VALUE(memfd_create("x", 1 << 20));
}

static void *later(void *text) {
    usleep(50000);
    if (write(pair[1], text, strlen(text)) < 0)
        perror("later");
    return NULL;
}

void waiting(void) {
    char bytes[100];
    struct timespec zero = {0, 0}, bit = {0, 20000000};
    pthread_t thread;
    PART("poll");
    VALUE(pipe(pair));
    struct pollfd p[] = {{pair[0], POLLIN, 9}, {pair[1], POLLOUT | POLLIN, 9}, {-1, POLLIN, 9}, {99, POLLIN, 9}};
    VALUE(poll(p, 4, 0));
    printf("  %x %x %x %x\n", p[0].revents, p[1].revents, p[2].revents, p[3].revents);
    VALUE(poll(p, 1, 10));
    VALUE(poll(p, 1, 0));
    VALUE(poll(NULL, 0, 1));
    VALUE(poll(BAD, 1, 1));
    VALUE(ppoll(p, 1, &bit, NULL));
    pthread_create(&thread, NULL, later, "x");
    VALUE(poll(p, 1, -1));
    printf("  %x\n", p[0].revents);
    pthread_join(thread, NULL);
    VALUE(read(pair[0], bytes, 9));
    pthread_create(&thread, NULL, later, "y");
    VALUE(read(pair[0], bytes, 9));
    pthread_join(thread, NULL);
    PART("select");
    fd_set r, w;
    FD_ZERO(&r);
    FD_ZERO(&w);
    FD_SET(pair[0], &r);
    FD_SET(pair[1], &w);
    VALUE(select(20, &r, &w, NULL, &(struct timeval){0, 0}));
    IS(!FD_ISSET(pair[0], &r) && FD_ISSET(pair[1], &w));
    FD_SET(pair[0], &r);
    VALUE(pselect(20, &r, NULL, NULL, &bit, NULL));
    FD_ZERO(&r);
    FD_SET(15, &r);
    VALUE(select(20, &r, NULL, NULL, &(struct timeval){0, 0}));
    VALUE(select(-1, NULL, NULL, NULL, &(struct timeval){0, 0}));
    VALUE(pselect(0, NULL, NULL, NULL, &zero, NULL));
    PART("epoll");
    int e = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event v = {.events = EPOLLIN, .data.u64 = 0x123456789abcdef}, got[4];
    VALUE(epoll_create1(77));
    VALUE(epoll_create(0));
    VALUE(epoll_ctl(e, EPOLL_CTL_ADD, pair[0], &v));
    VALUE(epoll_ctl(e, EPOLL_CTL_ADD, pair[0], &v));
    VALUE(epoll_ctl(e, EPOLL_CTL_MOD, pair[1], &v));
    VALUE(epoll_ctl(e, EPOLL_CTL_DEL, pair[1], &v));
    VALUE(epoll_ctl(e, EPOLL_CTL_ADD, e, &v));
    VALUE(epoll_ctl(e, EPOLL_CTL_ADD, 99, &v));
    VALUE(epoll_ctl(e, EPOLL_CTL_ADD, pair[1], BAD));
    VALUE(epoll_ctl(pair[0], EPOLL_CTL_ADD, pair[1], &v));
    int file = open("f", O_CREAT | O_RDWR, 0644);
    VALUE(epoll_ctl(e, EPOLL_CTL_ADD, file, &v));
    VALUE(epoll_wait(e, got, 4, 0));
    VALUE(epoll_wait(e, got, 0, 0));
    VALUE(epoll_wait(e, got, 4, 10));
    pthread_create(&thread, NULL, later, "z");
    VALUE(epoll_wait(e, got, 4, -1));
    pthread_join(thread, NULL);
    printf("  %x %lx\n", got[0].events, (long)got[0].data.u64);
    VALUE(epoll_wait(e, got, 4, 0));
    v.events = EPOLLIN | EPOLLET;
    VALUE(epoll_ctl(e, EPOLL_CTL_MOD, pair[0], &v));
    VALUE(epoll_wait(e, got, 4, 0));
    VALUE(epoll_wait(e, got, 4, 0));
    v.events = EPOLLOUT | EPOLLONESHOT;
    VALUE(epoll_ctl(e, EPOLL_CTL_ADD, pair[1], &v));
    VALUE(epoll_wait(e, got, 4, 0));
    VALUE(epoll_wait(e, got, 4, 0));
    close(pair[1]);
    VALUE(epoll_wait(e, got, 4, 0));
    printf("  %x\n", got[0].events);
    close(pair[0]);
    VALUE(epoll_wait(e, got, 4, 0));
}

static int master;
static volatile int caught;
static void note(int number) { caught = number; }

static void type(const char *text) {
    if (write(master, text, strlen(text)) < 0)
        perror("type");
}

static void shown(void) {
    char bytes[300];
    usleep(20000);
    long count = read(master, bytes, sizeof bytes);
    printf("  shown:");
    for (long at = 0; at < count; at++)
        printf(" %02x", (unsigned char)bytes[at]);
    printf("\n");
}

void terminals(void) {
    char bytes[300];
    int lock = 0, number;
    struct termios t;
    struct winsize size = {33, 44, 0, 0};
    PART("a pseudo-terminal");
    master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK);
    VALUE(ioctl(master, TIOCGPTN, &number));
    snprintf(bytes, sizeof bytes, "/dev/pts/%d", number);
    VALUE(open(bytes, O_RDWR | O_NOCTTY));
    VALUE(ioctl(master, TIOCSPTLCK, &lock));
    TRY(setsid());
    VALUE(setsid());
    int tty = open(bytes, O_RDWR);
    TRY(tty);
    struct stat s;
    VALUE(fstat(tty, &s));
    IS(S_ISCHR(s.st_mode) && isatty(tty));
    IS(tcgetsid(tty) == getpid() && tcgetpgrp(tty) == getpgrp());
    VALUE(tcgetattr(tty, &t));
    printf("  %o %o %o %o\n", t.c_iflag, t.c_oflag, t.c_cflag & ~CBAUD, t.c_lflag);
    VALUE(ioctl(tty, TIOCGWINSZ, BAD));
    signal(SIGWINCH, note);
    VALUE(ioctl(tty, TIOCSWINSZ, &size));
    VALUE((long)caught);
    VALUE(ioctl(master, TIOCGWINSZ, &size));
    VALUE((long)size.ws_col);
    VALUE(ioctl(tty, 0x5499, bytes));
    int same = open("/dev/tty", O_RDWR);
    TRY(same);
    PART("lines");
    type("hello\n");
    VALUE(read(tty, bytes, 3));
    VALUE(read(tty, bytes, 99));
    shown();
    type("ab\x7f" "c d\x17" "e\x15" "x\ty\x01\n");
    VALUE(read(tty, bytes, 99));
    shown();
    type("last\x04");
    VALUE(read(tty, bytes, 99));
    type("\x04");
    VALUE(read(tty, bytes, 99));
    shown();
    VALUE(write(tty, "a\nb\tc\r", 6));
    shown();
    signal(SIGINT, note);
    type("lost\x03");
    usleep(20000);
    VALUE((long)caught);
    shown();
    PART("raw");
    cfmakeraw(&t);
    t.c_cc[VMIN] = 0, t.c_cc[VTIME] = 1;
    VALUE(tcsetattr(tty, TCSANOW, &t));
    VALUE(read(tty, bytes, 9));
    type("\x03\r");
    VALUE(read(tty, bytes, 9));
    VALUE(bytes[0] * 100 + bytes[1]);
    t.c_cc[VMIN] = 3, t.c_cc[VTIME] = 1;
    VALUE(tcsetattr(tty, TCSAFLUSH, &t));
    type("xy");
    VALUE(read(tty, bytes, 9));
    VALUE(write(tty, "a\n", 2));
    shown();
    PART("job control");
    t.c_lflag |= ICANON;
    VALUE(tcsetattr(tty, TCSANOW, &t));
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        setpgid(0, 0);
        alarm(10);
        // What is told by how it ends: the parent is writing at the same time.
        if (write(tty, "bg", 2) != 2 || read(tty, bytes, 9) != 3 || tcsetpgrp(tty, getpgrp()))
            _exit(8);
        pause();
        _exit(7);
    }
    int status;
    VALUE((long)(waitpid(child, &status, WUNTRACED) == child));
    IS(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTIN);
    VALUE(tcsetpgrp(tty, child));
    type("go\n");
    VALUE(kill(child, SIGCONT));
    VALUE((long)(waitpid(child, &status, WCONTINUED) == child));
    IS(WIFCONTINUED(status));
    usleep(50000);
    t.c_lflag |= ISIG;
    signal(SIGTTOU, SIG_IGN);
    VALUE(tcsetattr(tty, TCSANOW, &t));
    type("\x1c");
    VALUE((long)(waitpid(child, &status, 0) == child));
    ended("in the foreground", status & ~0x80);
    VALUE(tcsetpgrp(tty, 999999));
    VALUE(tcsetpgrp(tty, getpgrp()));
    PART("hanging up");
    signal(SIGHUP, note);
    caught = 0;
    close(master);
    usleep(20000);
    VALUE((long)caught);
    VALUE(read(tty, bytes, 9));
    VALUE(write(tty, "x", 1));
    VALUE(open("/dev/tty", O_RDWR));
}
