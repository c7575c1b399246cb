#define _GNU_SOURCE
#include "CSystem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

// O_NONBLOCK: opening a pipe or a device must not wait; regular files do not care.
enum { INPUT_FLAGS = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY };

int sys_open_input(const char *path) {
  int fd;
  do fd = open(path, INPUT_FLAGS);
  while (fd < 0 && errno == EINTR);
  return fd;
}

// One component after the other, none of them a link: for kernels and sandboxes without openat2.
static int open_without_links(int folder, const char *name) {
  char part[256];
  int at = folder;
  for (;;) {
    const char *slash = strchr(name, '/');
    size_t length = slash ? (size_t)(slash - name) : strlen(name);
    if (length == 0 || length >= sizeof part || (name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.')))) {
      if (at != folder) close(at);
      errno = EXDEV;
      return -1;
    }
    memcpy(part, name, length);
    part[length] = 0;
    int next;
    do next = openat(at, part, slash ? O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC : INPUT_FLAGS | O_NOFOLLOW);
    while (next < 0 && errno == EINTR);
    int saved = errno;
    if (at != folder) close(at);
    errno = saved;
    if (next < 0 || !slash) return next;
    at = next;
    name = slash + 1;
  }
}

int sys_open_input_at(int folder, const char *name, int links) {
  int fd;
  if (links) {
    do fd = openat(folder, name, INPUT_FLAGS);
    while (fd < 0 && errno == EINTR);
    return fd;
  }
  struct open_how how = {.flags = INPUT_FLAGS,
                         .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS};
  do fd = (int)syscall(SYS_openat2, folder, name, &how, sizeof how);
  while (fd < 0 && (errno == EINTR || errno == EAGAIN));
  return fd < 0 && (errno == ENOSYS || errno == EPERM) ? open_without_links(folder, name) : fd;
}

int sys_open_folder(const char *path) {
  int fd;
  do fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
  while (fd < 0 && errno == EINTR);
  return fd;
}

int sys_open_temporary(const char *folder) {
  int fd;
  do fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  while (fd < 0 && errno == EINTR);
  if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)) return fd;
  char path[4096];
  if (snprintf(path, sizeof path, "%s/.bessemer-XXXXXX", folder) >= (int)sizeof path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  fd = mkostemp(path, O_CLOEXEC);
  if (fd >= 0) unlink(path);
  return fd;
}

int sys_reserve(int fd, int64_t size) {
  int result;
  // Not posix_fallocate: where the file system cannot reserve, that one writes a byte to every block instead.
  do result = fallocate(fd, 0, 0, size);
  while (result < 0 && errno == EINTR);
  return result < 0 && (errno == EOPNOTSUPP || errno == EINVAL || errno == ENOSYS) ? 0 : result;
}

void sys_start_writing(int fd, int64_t offset, int64_t count) {
  sync_file_range(fd, offset, count, SYNC_FILE_RANGE_WRITE);
}

long sys_copy_range(int in, int64_t in_offset, int out, int64_t out_offset, int64_t count) {
  off64_t from = in_offset, to = out_offset;
  return copy_file_range(in, &from, out, &to, (size_t)count, 0);
}

int sys_rename(int from_folder, const char *from, int to_folder, const char *to, int mode) {
  unsigned flags = mode == 1 ? RENAME_NOREPLACE : mode == 2 ? RENAME_EXCHANGE : 0;
  return flags ? renameat2(from_folder, from, to_folder, to, flags) : renameat(from_folder, from, to_folder, to);
}

struct entry {
  uint64_t inode;
  int64_t offset;
  uint16_t length;
  uint8_t type;
  char name[];
};

static int remove_tree(int folder, const char *name, int depth) {
  if (unlinkat(folder, name, 0) == 0) return 0;
  if (errno != EISDIR && errno != EPERM) return -1;
  if (unlinkat(folder, name, AT_REMOVEDIR) == 0) return 0;
  if ((errno != ENOTEMPTY && errno != EEXIST) || depth == 0) return -1;
  int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return -1;
  for (int round = 0; round < 1000000; round++) {
    // Aligned for the records that the kernel writes; small, as this may run on a signal's stack.
    char buffer[2048] __attribute__((aligned(8)));
    long count = syscall(SYS_getdents64, fd, buffer, sizeof buffer);
    if (count <= 0) break;
    int removed = 0;
    for (long at = 0; at < count;) {
      struct entry *entry = (struct entry *)(buffer + at);
      at += entry->length;
      if (!strcmp(entry->name, ".") || !strcmp(entry->name, "..")) continue;
      if (remove_tree(fd, entry->name, depth - 1) == 0) removed = 1;
    }
    // Removing entries may make the kernel skip some: start again as long as something goes away.
    if (removed) lseek(fd, 0, SEEK_SET);
  }
  close(fd);
  return unlinkat(folder, name, AT_REMOVEDIR);
}

int sys_remove_tree(int folder, const char *name) { return remove_tree(folder, name, 16); }
