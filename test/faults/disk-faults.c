// Preloaded into a process, makes the n-th write, sync, rename or removal under a directory fail, once or from then on.
//
// The control file (DISK_FAULTS) is mapped, so that writing to it arms and disarms at once. disk-faults.ts and
// disk-child.mjs know its layout. LevelDB writes through stdio's unlocked calls, Node through the system calls.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#undef fwrite_unlocked /* a macro where the compiler optimizes */

/* A write to a file opened with O_DSYNC is a write. A truncation counts as a write, too. */
enum { WRITE = 1, SYNC = 2, RENAME = 4, REMOVE = 8 };
/* What becomes of what a failing call was to do: nothing, half of it (a write), or all of it. */
enum { LOST, TORN, DONE };

struct control {
  int kinds;     /* which calls fail; 0: none */
  int countdown; /* how many such calls until one fails: 1 is the next */
  int error;     /* errno */
  int forever;   /* whether all after it fail, too */
  int fate;
  int hits;      /* how many have failed */
  char file[256];      /* on which file the first did */
  char directory[256]; /* files whose path begins so */
};

static struct control *control;

__attribute__((constructor)) static void attach(void) {
  const char *path = getenv("DISK_FAULTS");
  int fd = path ? open(path, O_RDWR) : -1;
  if (fd < 0) return;
  void *at = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at != MAP_FAILED) control = at;
  close(fd);
}

/*
 * The compressed form of a closed file of the log: another thread writes it at a time of its own, and its failure does not touch
 * the log. It is neither counted nor fails.
 */
static const char compressed[] = ".compressed.new";

static int ends_with(const char *path, const char *end) {
  size_t length = strlen(path), tail = strlen(end);
  return length >= tail && strcmp(path + length - tail, end) == 0;
}

/* Whether this call is to fail; errno says with what. */
static int fails(int kind, const char *path) {
  if (!control || !(control->kinds & kind)) return 0;
  if (strncmp(path, control->directory, strlen(control->directory)) != 0 || ends_with(path, compressed)) return 0;
  int left = __sync_sub_and_fetch(&control->countdown, 1);
  if (left > 0 || (left < 0 && !control->forever)) return 0;
  if (__sync_fetch_and_add(&control->hits, 1) == 0) strncpy(control->file, path, sizeof control->file - 1);
  errno = control->error;
  return 1;
}

static int fails_on(int kind, int fd) {
  if (!control || !(control->kinds & kind)) return 0;
  char link[64], path[512];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return fails(kind, path);
}

#define REAL(type, name, ...) \
  static type (*real)(__VA_ARGS__); \
  if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

size_t fwrite_unlocked(const void *data, size_t size, size_t count, FILE *file) {
  REAL(size_t, fwrite_unlocked, const void *, size_t, size_t, FILE *);
  if (!fails_on(WRITE, fileno(file))) return real(data, size, count, file);
  int error = errno;
  if (control->fate == TORN) {
    real(data, 1, size * count / 2, file);
    fflush(file);
  } else if (control->fate == DONE) real(data, size, count, file);
  errno = error;
  return 0;
}

int fflush_unlocked(FILE *file) {
  REAL(int, fflush_unlocked, FILE *);
  if (!file || __fpending(file) == 0 || !fails_on(WRITE, fileno(file))) return real(file);
  int error = errno;
  if (control->fate == LOST) __fpurge(file);
  else real(file);
  errno = error;
  return EOF;
}

/* Returns the number of bytes of a failing write that are written all the same. */
static size_t spared(size_t size) {
  return control->fate == TORN ? size / 2 : control->fate == DONE ? size : 0;
}

ssize_t write(int fd, const void *data, size_t size) {
  REAL(ssize_t, write, int, const void *, size_t);
  if (!fails_on(WRITE, fd)) return real(fd, data, size);
  int error = errno;
  if (spared(size) > 0) real(fd, data, spared(size));
  errno = error;
  return -1;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
  REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
  if (!fails_on(WRITE, fd)) return real(fd, data, size, at);
  int error = errno;
  if (spared(size) > 0) real(fd, data, spared(size), at);
  errno = error;
  return -1;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  REAL(ssize_t, writev, int, const struct iovec *, int);
  return fails_on(WRITE, fd) ? -1 : real(fd, parts, count);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) {
  REAL(ssize_t, pwritev64, int, const struct iovec *, int, off64_t);
  if (!fails_on(WRITE, fd)) return real(fd, parts, count, at);
  int error = errno;
  if (control->fate == DONE) real(fd, parts, count, at);
  else if (control->fate == TORN) {
    struct iovec half = {parts[0].iov_base, spared(parts[0].iov_len)};
    real(fd, &half, 1, at);
  }
  errno = error;
  return -1;
}

int ftruncate64(int fd, off64_t length) {
  REAL(int, ftruncate64, int, off64_t);
  return fails_on(WRITE, fd) ? -1 : real(fd, length);
}

int fdatasync(int fd) {
  REAL(int, fdatasync, int);
  return fails_on(SYNC, fd) ? -1 : real(fd);
}

int fsync(int fd) {
  REAL(int, fsync, int);
  return fails_on(SYNC, fd) ? -1 : real(fd);
}

int rename(const char *from, const char *to) {
  REAL(int, rename, const char *, const char *);
  if (!fails(RENAME, to)) return real(from, to);
  int error = errno;
  if (control->fate == DONE) real(from, to);
  errno = error;
  return -1;
}

int unlink(const char *path) {
  REAL(int, unlink, const char *);
  if (!fails(REMOVE, path)) return real(path);
  int error = errno;
  if (control->fate == DONE) real(path);
  errno = error;
  return -1;
}
