#define _GNU_SOURCE
#include "CSystem.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// A slot is written only by the thread that owns it, and published last.
enum { FREE, TAKEN, PUBLISHED };

static struct {
  atomic_int state;
  int folder;
  char name[64];
} temporaries[64];

static struct {
  atomic_int state;
  const char *base;
  uint64_t size;
  char *path;
} mappings[4096];

static atomic_int interrupt_signal;

int sys_temporary_add(int folder, const char *name) {
  if (strlen(name) >= sizeof temporaries[0].name) return -1;
  for (int i = 0; i < 64; i++) {
    int free_state = FREE;
    if (!atomic_compare_exchange_strong(&temporaries[i].state, &free_state, TAKEN)) continue;
    temporaries[i].folder = folder;
    strcpy(temporaries[i].name, name);
    atomic_store(&temporaries[i].state, PUBLISHED);
    return i;
  }
  return -1;
}

void sys_temporary_drop(int slot) {
  if (slot >= 0 && slot < 64) atomic_store(&temporaries[slot].state, FREE);
}

int sys_mapping_add(const void *base, uint64_t size, const char *path) {
  char *copy = strdup(path);
  if (!copy) return -1;
  for (char *c = copy; *c; c++)
    if ((unsigned char)*c < 0x20 || *c == 0x7F) *c = '?';
  for (int i = 0; i < 4096; i++) {
    int free_state = FREE;
    if (!atomic_compare_exchange_strong(&mappings[i].state, &free_state, TAKEN)) continue;
    mappings[i].base = base;
    mappings[i].size = size;
    mappings[i].path = copy;
    atomic_store(&mappings[i].state, PUBLISHED);
    return i;
  }
  free(copy);
  return -1;
}

void sys_mapping_drop(int slot) {
  if (slot < 0 || slot >= 4096) return;
  char *path = mappings[slot].path;
  mappings[slot].path = 0;
  atomic_store(&mappings[slot].state, FREE);
  free(path);
}

static void remove_temporaries(void) {
  for (int i = 0; i < 64; i++)
    if (atomic_load(&temporaries[i].state) == PUBLISHED) sys_remove_tree(temporaries[i].folder, temporaries[i].name);
}

static void say(const char *text) {
  if (write(STDERR_FILENO, text, strlen(text)) < 0) return;
}

static void on_interrupt(int number) {
  int saved = errno, none = 0;
  if (!atomic_compare_exchange_strong(&interrupt_signal, &none, number)) {
    remove_temporaries();
    _exit(130);
  }
  errno = saved;
}

static void on_bus_error(int number, siginfo_t *info, void *context) {
  (void)context;
  const char *address = info->si_addr;
  for (int i = 0; i < 4096; i++) {
    if (atomic_load(&mappings[i].state) != PUBLISHED) continue;
    // Rounded up to whole pages: a mapping's last page reaches past the size of its file.
    uint64_t size = (mappings[i].size + 65535) & ~(uint64_t)65535;
    if (address < mappings[i].base || address >= mappings[i].base + size) continue;
    say("error: ");
    say(mappings[i].path);
    say(": an input file shrank while it was read [input-changed]\n");
    remove_temporaries();
    _exit(3);
  }
  // Not ours: the default action happens as soon as the faulting instruction runs again.
  signal(number, SIG_DFL);
}

void sys_install_signal_handlers(void) {
  struct sigaction action = {0};
  sigemptyset(&action.sa_mask);
  // Without SA_RESTART, so that a blocked call comes back and its loop looks at the flag.
  action.sa_handler = on_interrupt;
  const int stops[] = {SIGINT, SIGTERM, SIGHUP};
  for (int i = 0; i < 3; i++) {
    struct sigaction old;
    // A command under nohup stays deaf to SIGHUP.
    if (sigaction(stops[i], 0, &old) == 0 && old.sa_handler == SIG_IGN) continue;
    sigaction(stops[i], &action, 0);
  }
  action.sa_flags = SA_SIGINFO;
  action.sa_sigaction = on_bus_error;
  sigaction(SIGBUS, &action, 0);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
}

int sys_interrupt_signal(void) { return atomic_load(&interrupt_signal); }
