/* Preloaded into a process: counts the calls that change files below a folder, and kills the process at call N,
   or returns an error from it. Armed with fault_arm(), or through the environment variables FAULT_ROOT,
   FAULT_CALL, FAULT_ERRNO (0: kill) and FAULT_TRACE (a file that gets a line for each call).

   A write that is to be killed writes half of its bytes. ENOSPC persists for calls that need room, EROFS for
   all; other errors are returned once. Calls that the C library makes itself (those of fwrite, say) cannot be
   seen from here: fwrite counts as one call. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char root[PATH_MAX];
static long chosen;         /* the call to act on, from 1; 0: only count */
static int chosen_errno;    /* 0: kill */
static atomic_long calls;
static int trace = -1;

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

void fault_arm(const char *folder, long call, int error) {
    snprintf(root, sizeof root, "%s", folder);
    chosen = call;
    chosen_errno = error;
    atomic_store(&calls, 0);
}

long fault_calls(void) { return atomic_load(&calls); }

void fault_trace(const char *file) {
    trace = REAL(open)(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

__attribute__((constructor)) static void from_environment(void) {
    const char *folder = getenv("FAULT_ROOT"), *call = getenv("FAULT_CALL"), *error = getenv("FAULT_ERRNO");
    if (folder) fault_arm(folder, call ? atol(call) : 0, error ? atoi(error) : 0);
    if (folder && getenv("FAULT_TRACE")) fault_trace(getenv("FAULT_TRACE"));
}

static int below(const char *path) {
    char whole[2 * PATH_MAX];
    size_t length = strlen(root);
    if (!length || !path) return 0;
    if (path[0] != '/') {
        if (!getcwd(whole, PATH_MAX)) return 0;
        snprintf(whole + strlen(whole), PATH_MAX, "/%s", path);
        path = whole;
    }
    return !strncmp(path, root, length) && (path[length] == '/' || !path[length]);
}

static int below_at(int folder, const char *path) {
    char link[64], place[2 * PATH_MAX];
    if (!root[0]) return 0;
    if (folder == AT_FDCWD || path[0] == '/') return below(path);
    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    ssize_t size = readlink(link, place, PATH_MAX);
    if (size < 0) return 0;
    snprintf(place + size, PATH_MAX, "/%s", path);
    return below(place);
}

static int open_below(int handle) {
    char link[64], place[PATH_MAX];
    if (!root[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    ssize_t size = readlink(link, place, sizeof place - 1);
    if (size < 0) return 0;
    place[size] = 0;
    return place[0] == '/' && below(place);  /* else a pipe or a socket */
}

static void end_process(void) { kill(getpid(), SIGKILL); for (;;) pause(); }

enum { FREES_ROOM = 1, WRITES = 2 };  /* kinds of calls */

/* Counts a call. Returns whether it has to fail, with errno set; -1: kill after half of the write. */
static int counted(const char *name, const char *path, int kind) {
    int keep = errno;
    long number = atomic_fetch_add(&calls, 1) + 1;
    if (trace >= 0) {
        char line[PATH_MAX + 64];
        int size = snprintf(line, sizeof line, "%ld %s %s\n", number, name, path ? path : "");
        REAL(write)(trace, line, size);
    }
    errno = keep;
    if (!chosen || number < chosen) return 0;
    if (!chosen_errno) {
        if (kind & WRITES) return -1;
        end_process();
    }
    int persists = chosen_errno == EROFS || (chosen_errno == ENOSPC && !(kind & FREES_ROOM));
    if (number > chosen && !persists) return 0;
    if (chosen_errno == ENOSPC && kind & FREES_ROOM) return 0;
    errno = chosen_errno;
    return 1;
}

static int fails(const char *name, const char *path, int kind) { return counted(name, path, kind) != 0; }

static int changes(int flags) {
    return (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC);
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        if (changes(flags) && below(path) && fails(#name, path, 0)) return -1; \
        return REAL(name)(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        if (changes(flags) && below_at(folder, path) && fails(#name, path, 0)) return -1; \
        return REAL(name)(folder, path, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(name) \
    FILE *name(const char *path, const char *mode) { \
        if (strpbrk(mode, "wa+") && below(path) && fails(#name, path, 0)) return NULL; \
        return REAL(name)(path, mode); \
    }
FOPEN(fopen)
FOPEN(fopen64)

static ssize_t half_and_end(int handle, const void *data, size_t size) {
    REAL(write)(handle, data, size / 2);
    end_process();
    return -1;
}

ssize_t write(int handle, const void *data, size_t size) {
    int fate = open_below(handle) ? counted("write", NULL, WRITES) : 0;
    if (fate < 0) return half_and_end(handle, data, size);
    return fate ? -1 : REAL(write)(handle, data, size);
}

ssize_t writev(int handle, const struct iovec *parts, int count) {
    int fate = open_below(handle) ? counted("writev", NULL, WRITES) : 0;
    if (fate < 0) return half_and_end(handle, parts[0].iov_base, count ? parts[0].iov_len : 0);
    return fate ? -1 : REAL(writev)(handle, parts, count);
}

size_t fwrite(const void *data, size_t size, size_t count, FILE *file) {
    int fate = root[0] && open_below(fileno(file)) ? counted("fwrite", NULL, WRITES) : 0;
    if (fate < 0) {
        REAL(fwrite)(data, size, count / 2, file);
        fflush(file);
        end_process();
    }
    return fate ? 0 : REAL(fwrite)(data, size, count, file);
}

#define PWRITE(name, offset_type) \
    ssize_t name(int handle, const void *data, size_t size, offset_type offset) { \
        int fate = open_below(handle) ? counted(#name, NULL, WRITES) : 0; \
        if (fate < 0) { \
            REAL(name)(handle, data, size / 2, offset); \
            end_process(); \
        } \
        return fate ? -1 : REAL(name)(handle, data, size, offset); \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define BY_HANDLE(result, name, kind, parameters, arguments) \
    result name parameters { \
        if (open_below(handle) && fails(#name, NULL, kind)) return -1; \
        return REAL(name) arguments; \
    }
BY_HANDLE(int, fsync, 0, (int handle), (handle))
BY_HANDLE(int, fdatasync, 0, (int handle), (handle))
BY_HANDLE(int, ftruncate, 0, (int handle, off_t size), (handle, size))
BY_HANDLE(int, ftruncate64, 0, (int handle, off64_t size), (handle, size))
BY_HANDLE(int, fallocate, 0, (int handle, int mode, off_t from, off_t size), (handle, mode, from, size))
BY_HANDLE(int, fchmod, FREES_ROOM, (int handle, mode_t mode), (handle, mode))
BY_HANDLE(ssize_t, sendfile64, 0, (int handle, int from, off64_t *offset, size_t size),
          (handle, from, offset, size))
BY_HANDLE(ssize_t, sendfile, 0, (int handle, int from, off_t *offset, size_t size), (handle, from, offset, size))

#define FALLOCATE(name, offset_type) \
    int name(int handle, offset_type from, offset_type size) { \
        if (open_below(handle) && fails(#name, NULL, 0)) return errno; \
        return REAL(name)(handle, from, size); \
    }
FALLOCATE(posix_fallocate, off_t)
FALLOCATE(posix_fallocate64, off64_t)

ssize_t copy_file_range(int from, off64_t *offset, int handle, off64_t *at, size_t size, unsigned flags) {
    if (open_below(handle) && fails("copy_file_range", NULL, 0)) return -1;
    return REAL(copy_file_range)(from, offset, handle, at, size, flags);
}

#define BY_PATH(name, kind, checked, parameters, arguments) \
    int name parameters { \
        if ((checked) && fails(#name, path, kind)) return -1; \
        return REAL(name) arguments; \
    }
BY_PATH(mkdir, 0, below(path), (const char *path, mode_t mode), (path, mode))
BY_PATH(mkdirat, 0, below_at(at, path), (int at, const char *path, mode_t mode), (at, path, mode))
BY_PATH(unlink, FREES_ROOM, below(path), (const char *path), (path))
BY_PATH(unlinkat, FREES_ROOM, below_at(at, path), (int at, const char *path, int flags), (at, path, flags))
BY_PATH(rmdir, FREES_ROOM, below(path), (const char *path), (path))
BY_PATH(remove, FREES_ROOM, below(path), (const char *path), (path))
BY_PATH(truncate, 0, below(path), (const char *path, off_t size), (path, size))
BY_PATH(chmod, FREES_ROOM, below(path), (const char *path, mode_t mode), (path, mode))
BY_PATH(fchmodat, FREES_ROOM, below_at(at, path), (int at, const char *path, mode_t mode, int flags),
        (at, path, mode, flags))
BY_PATH(rename, FREES_ROOM, below(path) || below(other), (const char *path, const char *other), (path, other))
BY_PATH(renameat, FREES_ROOM, below_at(at, path), (int at, const char *path, int to, const char *other),
        (at, path, to, other))
BY_PATH(renameat2, FREES_ROOM, below_at(at, path),
        (int at, const char *path, int to, const char *other, unsigned flags), (at, path, to, other, flags))
BY_PATH(link, 0, below(other), (const char *path, const char *other), (path, other))
BY_PATH(symlink, 0, below(other), (const char *path, const char *other), (path, other))

#define MMAP(name, offset_type) \
    void *name(void *place, size_t size, int access, int flags, int handle, offset_type offset) { \
        if (handle >= 0 && flags & MAP_SHARED && access & PROT_WRITE && open_below(handle) && \
            fails(#name, NULL, 0)) return MAP_FAILED; \
        return REAL(name)(place, size, access, flags, handle, offset); \
    }
MMAP(mmap, off_t)
MMAP(mmap64, off64_t)

/* renameat2 may be called as syscall(SYS_renameat2, ...). */
#include <sys/syscall.h>
long syscall(long number, ...) {
    va_list rest;
    long a[6];
    va_start(rest, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(rest, long);
    va_end(rest);
    if (number == SYS_renameat2 && below_at((int)a[0], (const char *)a[1]) &&
        fails("renameat2", (const char *)a[1], FREES_ROOM)) return -1;
    return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
