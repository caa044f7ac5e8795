// SPDX-License-Identifier: BSD-2-Clause
// What files are and have: contents, attributes, names.
#include "conform.h"
#include <dirent.h>
#include <sys/sendfile.h>
#include <sys/statfs.h>
#include <sys/uio.h>

static void show(const char *path) {
    struct stat s;
    if (lstat(path, &s))
        printf("  %s: %s\n", path, error_name(errno));
    else
        printf("  %s: mode %o links %ld size %ld owner %d:%d\n", path, s.st_mode,
               S_ISDIR(s.st_mode) ? 0 : (long)s.st_nlink, S_ISDIR(s.st_mode) ? 0 : (long)s.st_size, s.st_uid, s.st_gid);
}

static void make(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        printf("  cannot make %s: %s\n", path, error_name(errno));
    close(fd);
}

void files(void) {
    char bytes[64], big[9000];
    PART("open");
    VALUE(open("nothing", O_RDONLY));
    VALUE(open("", O_RDONLY));
    VALUE(open(BAD, O_RDONLY));
    VALUE(open("new", O_RDWR | O_CREAT | O_EXCL, 0666));
    VALUE(open("new", O_RDWR | O_CREAT | O_EXCL, 0666));
    VALUE(open("new/", O_RDONLY));
    VALUE(open("new/x", O_RDONLY));
    VALUE(open(".", O_RDWR));
    VALUE(open(".", O_RDONLY | O_CREAT, 0666));
    VALUE(open("new", O_DIRECTORY));
    VALUE(open("dir/", O_CREAT | O_RDWR, 0666));
    VALUE(openat(99, "new", O_RDONLY));
    VALUE(openat(3, "new", O_RDONLY));
    VALUE(open(".", O_TMPFILE | O_RDONLY, 0666));
    show("new");
    PART("read and write");
    VALUE(write(3, "hello world", 11));
    VALUE(lseek(3, 0, SEEK_SET));
    VALUE(read(3, bytes, 5));
    IS(!memcmp(bytes, "hello", 5));
    VALUE(pread(3, bytes, 50, 6));
    VALUE(pread(3, bytes, 50, -1));
    VALUE(pread(3, bytes, 50, 100));
    VALUE(pwrite(3, "W", 1, 6));
    VALUE(lseek(3, 0, SEEK_CUR));
    VALUE(lseek(3, -6, SEEK_CUR));
    VALUE(lseek(3, 2, SEEK_END));
    VALUE(write(3, "!", 1));
    VALUE(lseek(3, 0, 77));
    VALUE(read(3, BAD, 5));
    VALUE(pread(3, BAD, 5, 0));
    VALUE(write(3, BAD, 5));
    VALUE(read(99, bytes, 5));
    VALUE(write(99, bytes, 5));
    VALUE(read(3, BAD, 0));
    struct iovec v[] = {{bytes, 3}, {bytes + 10, 0}, {bytes + 20, 4}};
    VALUE(preadv(3, v, 3, 0));
    IS(!memcmp(bytes, "hel", 3) && !memcmp(bytes + 20, "lo W", 4));
    VALUE(writev(3, v, 3));
    VALUE(writev(3, v, -1));
    VALUE(writev(3, BAD, 2));
    VALUE(writev(3, v, 0));
    show("new");
    int rd = open("new", O_RDONLY), wr = open("new", O_WRONLY | O_APPEND);
    VALUE(write(rd, "x", 1));
    VALUE(read(wr, bytes, 1));
    VALUE(write(wr, "end", 3));
    VALUE(pwrite(wr, "more", 4, 0));
    VALUE(lseek(wr, 0, SEEK_CUR));
    show("new");
    PART("truncate and allocate");
    VALUE(ftruncate(3, 3));
    VALUE(ftruncate(3, 6));
    VALUE(pread(3, bytes, 9, 0));
    IS(!memcmp(bytes, "hel\0\0\0", 6));
    VALUE(ftruncate(rd, 1));
    VALUE(ftruncate(3, -1));
    VALUE(truncate("nothing", 1));
    VALUE(truncate(".", 1));
    VALUE(fallocate(3, 0, 0, 10000));
    VALUE(fallocate(3, FALLOC_FL_KEEP_SIZE, 20000, 10));
    VALUE(fallocate(3, FALLOC_FL_PUNCH_HOLE, 0, 10));
    VALUE(fallocate(3, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1, 1));
    VALUE(fallocate(3, 0, 0, 0));
    VALUE(fallocate(rd, 0, 0, 1));
    show("new");
    PART("sendfile and copy_file_range");
    memset(big, 'b', sizeof big);
    int a = open("a", O_RDWR | O_CREAT, 0600), b = open("b", O_RDWR | O_CREAT, 0600);
    VALUE(write(a, big, sizeof big));
    off_t at = 1000;
    VALUE(sendfile(b, a, &at, 3000));
    VALUE((long)at);
    VALUE(sendfile(b, a, NULL, 10));
    VALUE(sendfile(b, 99, NULL, 10));
    VALUE(sendfile(rd, a, NULL, 10));
    loff_t from = 8990, to = 0;
    VALUE(copy_file_range(a, &from, b, &to, 100, 0));
    VALUE((long)from);
    VALUE(copy_file_range(a, NULL, b, NULL, 100, 1));
    from = 0, to = 10;
    VALUE(copy_file_range(a, &from, a, &to, 100, 0));
    show("b");
    PART("attributes");
    VALUE(chmod("a", 04755));
    VALUE(chmod("nothing", 0));
    VALUE(fchmod(99, 0));
    show("a");
    VALUE(chown("a", 5, 6));
    show("a");
    VALUE(chown("a", -1, 7));
    VALUE(fchown(99, 1, 1));
    VALUE(access("a", R_OK | W_OK));
    VALUE(access("b", X_OK));
    VALUE(access("b", 99));
    VALUE(access("nothing", F_OK));
    VALUE(umask(077));
    make("private", "");
    VALUE(umask(022));
    show("private");
    struct timespec t[2] = {{5, 6}, {7, 8}};
    struct stat s;
    VALUE(utimensat(AT_FDCWD, "b", t, 0));
    VALUE(stat("b", &s));
    IS(s.st_atim.tv_sec == 5 && s.st_atim.tv_nsec == 6 && s.st_mtim.tv_sec == 7 && s.st_mtim.tv_nsec == 8);
    t[0].tv_nsec = UTIME_OMIT, t[1].tv_nsec = UTIME_NOW;
    VALUE(futimens(b, t));
    VALUE(fstat(b, &s));
    IS(s.st_atim.tv_sec == 5 && s.st_mtim.tv_sec > 1000);
    t[0].tv_nsec = 1000000000;
    VALUE(utimensat(AT_FDCWD, "b", t, 0));
    VALUE(utimensat(AT_FDCWD, "nothing", NULL, 0));
    VALUE(stat("b", BAD));
    VALUE(fstat(99, &s));
    VALUE(fstatat(AT_FDCWD, "", &s, 0));
    VALUE(fstatat(b, "", &s, AT_EMPTY_PATH));
    VALUE(fstatat(AT_FDCWD, "b", &s, 0x40000000));
    struct statx x;
    VALUE(statx(AT_FDCWD, "a", 0, STATX_BASIC_STATS, &x));
    IS((x.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS && x.stx_size == 9000 && x.stx_mode == 0100755);
    VALUE(statx(AT_FDCWD, "a", 0x40000000, STATX_BASIC_STATS, &x));
    struct statfs f;
    VALUE(statfs(".", &f));
    IS(f.f_bsize == 4096 && f.f_namelen == 255);
    VALUE(statfs("nothing", &f));
    VALUE(fstatfs(99, &f));
    TRY(fsync(a));
    TRY(fdatasync(99));
    PART("as somebody else");
    CHILD("nobody") {
        make("owned", "text");
        make("secret", "text");
        chmod("secret", 0600);
        mkdir("sticky", 0777);
        chmod("sticky", 01777);
        make("sticky/theirs", "");
        mkdir("open", 0777);
        chmod("open", 0777);
        chmod(".", 0755);
        TRY(setgid(1000));
        TRY(setuid(1000));
        VALUE(open("owned", O_WRONLY));
        VALUE(open("secret", O_RDONLY));
        VALUE(open("inthere", O_WRONLY | O_CREAT, 0666));
        VALUE(unlink("owned"));
        VALUE(chmod("owned", 0777));
        VALUE(chown("owned", 1000, 1000));
        VALUE(utimensat(AT_FDCWD, "owned", NULL, 0));
        VALUE(utimensat(AT_FDCWD, "owned", (struct timespec[2]){{1, 1}, {1, 1}}, 0));
        VALUE(truncate("owned", 0));
        VALUE(unlink("sticky/theirs"));
        VALUE(rename("sticky/theirs", "sticky/mine"));
        make("sticky/own", "");
        VALUE(unlink("sticky/own"));
        make("open/mine", "x");
        show("open/mine");
        VALUE(chmod("open/mine", 06777));
        show("open/mine");
        VALUE(chown("open/mine", 0, -1));
        VALUE(chown("open/mine", -1, 1000));
        show("open/mine");
        VALUE(chroot("."));
        VALUE(mknod("open/device", S_IFCHR | 0666, 0x103));
        VALUE(mknod("open/fifo", S_IFIFO | 0666, 0));
        VALUE(mkdir("nope", 0777));
        VALUE(link("owned", "hard"));
        VALUE(symlink("owned", "soft"));
        VALUE(access("secret", R_OK));
    }
}

static int order(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void list(const char *path) {
    char bytes[512], *names[200];
    int fd = open(path, O_RDONLY | O_DIRECTORY), count = 0;
    long length;
    while ((length = syscall(SYS_getdents64, fd, bytes, sizeof bytes)) > 0)
        for (long at = 0; at < length;) {
            struct dirent64 *entry = (void *)(bytes + at);
            char name[300];
            snprintf(name, sizeof name, "%s(%d)", entry->d_name, entry->d_type);
            names[count++] = strdup(name);
            at += entry->d_reclen;
        }
    close(fd);
    qsort(names, count, sizeof *names, order);
    printf("  %s:", path);
    for (int at = 0; at < count; at++)
        printf(" %s", names[at]);
    printf("\n");
}

void names(void) {
    char text[300], long_name[300];
    memset(long_name, 'n', 256);
    long_name[256] = 0;
    PART("mkdir and rmdir");
    VALUE(mkdir("d", 0777));
    VALUE(mkdir("d", 0777));
    VALUE(mkdir("d/e/f", 0777));
    VALUE(mkdir("d/e/", 07777));
    VALUE(mkdir("", 0777));
    VALUE(mkdir(long_name, 0777));
    VALUE(mkdir("/", 0777));
    VALUE(mkdir(BAD, 0777));
    show("d/e");
    VALUE(rmdir("d"));
    VALUE(rmdir("nothing"));
    VALUE(rmdir("."));
    VALUE(rmdir("d/.."));
    VALUE(rmdir("/"));
    make("f", "text");
    VALUE(rmdir("f"));
    VALUE(rmdir("d/e"));
    PART("unlink");
    VALUE(unlink("d"));
    VALUE(unlink("f/"));
    VALUE(unlink("nothing"));
    VALUE(unlinkat(AT_FDCWD, "f", 77));
    VALUE(unlinkat(99, "f", 0));
    VALUE(unlink("f"));
    PART("links");
    make("f", "text");
    VALUE(link("f", "hard"));
    VALUE(link("f", "hard"));
    VALUE(link("nothing", "x"));
    VALUE(link("d", "x"));
    VALUE(link("f", "/dev/null/x"));
    show("hard");
    VALUE(symlink("f", "soft"));
    VALUE(symlink("f", "soft"));
    VALUE(symlink("", "x"));
    VALUE(symlink("soft2", "soft1"));
    VALUE(symlink("soft1", "soft2"));
    VALUE(readlink("soft", text, sizeof text));
    VALUE(readlink("soft", text, 0));
    VALUE(readlink("f", text, sizeof text));
    VALUE(readlink("nothing", text, sizeof text));
    VALUE(readlink("soft", BAD, 10));
    VALUE(open("soft1", O_RDONLY));
    VALUE(open("soft", O_RDONLY | O_NOFOLLOW));
    VALUE(open("soft", O_PATH | O_NOFOLLOW));
    VALUE(read(3, text, 1));
    VALUE(readlinkat(3, "", text, sizeof text));
    VALUE(fchmod(3, 0));
    close(3);
    VALUE(linkat(AT_FDCWD, "soft", AT_FDCWD, "hard2", AT_SYMLINK_FOLLOW));
    VALUE(linkat(AT_FDCWD, "soft", AT_FDCWD, "hard3", 0));
    VALUE(linkat(AT_FDCWD, "soft", AT_FDCWD, "hard4", 0x8000));
    VALUE(chmod("soft", 0600));
    show("soft");
    show("hard2");
    show("hard3");
    list(".");
    PART("rename");
    mkdir("a", 0777), mkdir("a/b", 0777), mkdir("empty", 0777), mkdir("full", 0777);
    make("full/x", ""), make("one", "1"), make("two", "22");
    VALUE(rename("a", "a/b/c"));
    VALUE(rename("a", "full"));
    VALUE(rename("a", "empty"));
    VALUE(rename("one", "empty"));
    VALUE(rename("empty", "one"));
    VALUE(rename("one", "two"));
    show("two");
    VALUE(rename("two", "two"));
    VALUE(rename("two", "hard"));
    VALUE(rename("hard", "hard2"));
    VALUE(rename("nothing", "x"));
    VALUE(rename("full/.", "x"));
    VALUE(rename("full", "."));
    VALUE(rename("hard/", "x"));
    make("one", "1");
    VALUE(renameat2(AT_FDCWD, "one", AT_FDCWD, "hard", RENAME_NOREPLACE));
    VALUE(renameat2(AT_FDCWD, "one", AT_FDCWD, "full", RENAME_EXCHANGE));
    VALUE(renameat2(AT_FDCWD, "one", AT_FDCWD, "nothing", RENAME_EXCHANGE));
    VALUE(renameat2(AT_FDCWD, "one", AT_FDCWD, "x", 64));
    list(".");
    list("one");
    list("empty");
    PART("current directory");
    char *base = getcwd(NULL, 0);
    VALUE(chdir("nothing"));
    VALUE(chdir("full"));
    VALUE(chdir("one"));
    IS(!strcmp(getcwd(text, sizeof text) + strlen(base), "/one"));
    VALUE(syscall(SYS_getcwd, text, 2));
    VALUE(syscall(SYS_getcwd, BAD, 100));
    int fd = open(".", O_RDONLY);
    VALUE(fchdir(99));
    VALUE(chdir(base));
    VALUE(fchdir(fd));
    close(fd);
    VALUE(chdir("../empty"));
    mkdir("gone", 0777), chdir("gone"), rmdir("../gone");
    VALUE(syscall(SYS_getcwd, text, sizeof text));
    VALUE(open("x", O_CREAT | O_RDWR, 0666));
    VALUE(chdir(base));
    PART("special files");
    VALUE(mknod("fifo", S_IFIFO | 0644, 0));
    VALUE(mknod("fifo", S_IFIFO | 0644, 0));
    VALUE(mknod("x", S_IFDIR | 0644, 0));
    VALUE(mknod("x", 0170000, 0));
    VALUE(open("fifo", O_WRONLY | O_NONBLOCK));
    VALUE(mknod("socket", S_IFSOCK | 0644, 0));
    VALUE(open("socket", O_RDWR));
    show("fifo");
    PART("without names");
    fd = open(".", O_TMPFILE | O_RDWR, 0600);
    VALUE(write(fd, "hi", 2));
    snprintf(text, sizeof text, "/proc/self/fd/%d", fd);
    VALUE(linkat(AT_FDCWD, text, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
    show("named");
    VALUE(unlink("named"));
    VALUE(linkat(AT_FDCWD, text, AT_FDCWD, "again", AT_SYMLINK_FOLLOW));
    VALUE(pread(fd, text, 9, 0));
    PART("listing");
    mkdir("many", 0777), chdir("many");
    for (int at = 0; at < 100; at++)
        snprintf(text, sizeof text, "file%d", at), make(text, "");
    list(".");
    fd = open(".", O_RDONLY);
    VALUE(syscall(SYS_getdents64, fd, text, 10));
    VALUE(syscall(SYS_getdents64, fd, BAD, 300));
    VALUE(syscall(SYS_getdents64, 99, text, 100));
    // Removing while listing loses nothing.
    int removed = 0;
    DIR *directory = opendir(".");
    for (struct dirent *entry; (entry = readdir(directory));)
        removed += !unlink(entry->d_name);
    closedir(directory);
    VALUE((long)removed);
    list(".");
    int file = open("/dev/null", O_RDWR);
    VALUE(syscall(SYS_getdents64, file, text, 100));
}
