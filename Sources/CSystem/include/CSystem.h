// Calls that Swift's Glibc module does not have, and everything that runs inside a signal handler.
// Functions that return int or long give -1 and set errno on failure, unless said otherwise.
#pragma once
#include <stdint.h>

// Opening. `links`: 0 refuses every symbolic link below `folder`, 1 follows links, even out of the folder.
// `name` never climbs out by itself in mode 0. Magic links (/proc/PID/fd/…) are refused in mode 0.
int sys_open_input(const char *path);
int sys_open_input_at(int folder, const char *name, int links);
int sys_open_folder(const char *path);

// A file in a folder that has no name and goes away when it is closed.
int sys_open_temporary(const char *folder);

// Reserves disk space for `size` bytes; a file system that cannot is no error. The end of the file moves there.
int sys_reserve(int fd, int64_t size);
// Starts writing these bytes of a file to its disk, without waiting.
void sys_start_writing(int fd, int64_t offset, int64_t count);
// copy_file_range from explicit offsets; the number of bytes copied, 0 at the end of the input.
long sys_copy_range(int in, int64_t in_offset, int out, int64_t out_offset, int64_t count);

// Renames between two names of open folders. `mode`: 0 replaces a file, 1 fails with EEXIST when the target exists,
// 2 exchanges the two.
int sys_rename(int from_folder, const char *from, int to_folder, const char *to, int mode);
// Removes a file, or a folder with everything in it (at most 16 levels). Safe in a signal handler.
int sys_remove_tree(int folder, const char *name);

// Temporary outputs that a signal handler removes before it ends the process: at most 64, by an open folder that must
// stay open and a name of at most 63 bytes. Returns the slot, or -1 when all are taken.
int sys_temporary_add(int folder, const char *name);
void sys_temporary_drop(int slot);

// Mapped inputs, so that SIGBUS can name the file. Returns the slot, or -1 when all are taken (harmless).
int sys_mapping_add(const void *base, uint64_t size, const char *path);
void sys_mapping_drop(int slot);

// SIGINT, SIGTERM and SIGHUP set a flag, and the second of them removes the temporaries and exits with 130. SIGBUS
// inside a mapped input prints one line, removes the temporaries and exits with 3. SIGPIPE and SIGXFSZ are ignored.
void sys_install_signal_handlers(void);
// The first of these signals that came, or 0.
int sys_interrupt_signal(void);

// Forks a child that runs `body` and ends with its result; the child's output goes to the pipe whose reading end is put
// into *output, its other streams nowhere. It may take `memory` more bytes of addresses than the parent has and
// `seconds` of processor time, writes no file, dumps no core, and dies with its parent. Returns the child's id.
long sys_contain(int (*body)(void *context, int output), void *context, int64_t memory, int seconds, int *output);
// Leaves this process nothing but memory, reading of open files and writing to them: every other system call fails from
// now on, except that files can be opened for reading when `opening`. Where the kernel cannot, nothing changes.
void sys_confine(int opening);
// Waits for a child, after killing it when `kill`. Its exit status, or minus the signal that ended it; -1000 when it
// cannot be told.
int sys_reap(long child, int kill);
// An anonymous file in memory, whose untouched parts take none; -1 when there is no such thing.
int sys_memory_file(void);
