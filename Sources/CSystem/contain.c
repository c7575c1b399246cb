#define _GNU_SOURCE
#include "CSystem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void set_limit(int resource, rlim_t value) {
  struct rlimit limit;
  if (getrlimit(resource, &limit) != 0) return;
  if (limit.rlim_max == RLIM_INFINITY || value < limit.rlim_max) limit.rlim_max = value;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(resource, &limit);
}

// Bytes of addresses that this process has; 0 when they cannot be told.
static int64_t address_space(void) {
  char text[64];
  int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  ssize_t count = read(file, text, sizeof text);
  close(file);
  int64_t pages = 0;
  for (ssize_t i = 0; i < count && text[i] >= '0' && text[i] <= '9'; i++) pages = pages * 10 + (text[i] - '0');
  return pages * sysconf(_SC_PAGESIZE);
}

long sys_contain(int (*body)(void *context, int output), void *context, int64_t memory, int seconds, int *output) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return -1;
  pid_t parent = getpid();
  pid_t child = fork();
  if (child != 0) {
    int number = errno;
    close(ends[1]);
    if (child < 0) close(ends[0]);
    *output = child < 0 ? -1 : ends[0];
    errno = number;
    return child;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(99);
  int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGBUS, SIGSEGV, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGXFSZ, SIGXCPU};
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) signal(signals[i], SIG_DFL);
  int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int i = 0; i < 3 && nothing >= 0; i++) dup2(nothing, i);
  int64_t used = address_space();
  if (used > 0) set_limit(RLIMIT_AS, (rlim_t)(used + memory));
  set_limit(RLIMIT_CPU, (rlim_t)seconds);
  set_limit(RLIMIT_FSIZE, 0);
  set_limit(RLIMIT_CORE, 0);
  _exit(body(context, ends[1]));
}

int sys_reap(long child, int killing) {
  if (killing) kill((pid_t)child, SIGKILL);
  int status;
  pid_t ended;
  do ended = waitpid((pid_t)child, &status, 0);
  while (ended < 0 && errno == EINTR);
  if (ended < 0) return -1000;
  return WIFEXITED(status) ? WEXITSTATUS(status) : WIFSIGNALED(status) ? -WTERMSIG(status) : -1000;
}

int sys_memory_file(void) { return memfd_create("bessemer", MFD_CLOEXEC); }

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define REFUSE BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)
#define IS(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), ALLOW

void sys_confine(int opening) {
#ifdef ARCHITECTURE
  // Arguments of 32 bits lie in the low half, which comes first on both architectures.
  struct sock_filter open_rule[] = {
      IS(SYS_prctl),  // By which a second, narrower filter is added.
      IS(SYS_getcwd), IS(SYS_readlinkat),
#ifdef SYS_readlink
      IS(SYS_readlink),
#endif
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 4),
      LOAD(args[2]),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_ACCMODE | O_CREAT | O_TRUNC, 1, 0),
      ALLOW,
      REFUSE,
  };
  struct sock_filter rules[72] = {
      LOAD(arch),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
      REFUSE,
      LOAD(nr),
      IS(SYS_read), IS(SYS_pread64), IS(SYS_readv), IS(SYS_lseek), IS(SYS_write), IS(SYS_close), IS(SYS_fstat),
      IS(SYS_newfstatat), IS(SYS_fcntl), IS(SYS_brk), IS(SYS_mmap), IS(SYS_munmap), IS(SYS_mremap),
      IS(SYS_mprotect), IS(SYS_madvise), IS(SYS_futex), IS(SYS_sched_yield), IS(SYS_clock_gettime),
      IS(SYS_gettimeofday), IS(SYS_getpid), IS(SYS_exit), IS(SYS_exit_group), IS(SYS_rt_sigreturn),
  };
  unsigned short count = 4 + 2 * 23;
  if (opening)
    for (size_t i = 0; i < sizeof open_rule / sizeof *open_rule; i++) rules[count++] = open_rule[i];
  rules[count++] = (struct sock_filter)REFUSE;
  struct sock_fprog program = {count, rules};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0) prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
#else
  (void)opening;
#endif
}
