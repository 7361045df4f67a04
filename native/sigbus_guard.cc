#include "sigbus_guard.h"

#include <signal.h>
#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <mutex>

namespace qkme {
namespace {

struct Guarded {
  std::atomic<uintptr_t> base{0};
  std::atomic<size_t> length{0};
  std::atomic<bool> tripped{false};
};
constexpr int kGuards = 64;
Guarded guards[kGuards];
std::mutex guards_mutex;
struct sigaction previous;
bool installed = false;

// Only async-signal-safe work: atomics, and mmap, which is a bare system call here.
void OnSigbus(int signal, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  const uintptr_t at = reinterpret_cast<uintptr_t>(info->si_addr);
  for (Guarded& guard : guards) {
    const uintptr_t base = guard.base.load(std::memory_order_acquire);
    const size_t length = guard.length.load(std::memory_order_relaxed);
    if (base == 0 || at < base || at >= base + length) continue;
    guard.tripped.store(true, std::memory_order_release);
    void* zeros = mmap(reinterpret_cast<void*>(base), length, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    errno = saved_errno;
    if (zeros != MAP_FAILED) return;
  }
  if (previous.sa_flags & SA_SIGINFO && previous.sa_sigaction) return previous.sa_sigaction(signal, info, context);
  if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) return previous.sa_handler(signal);
  // Not ours: the access is repeated under the default action and ends the process as it should.
  struct sigaction fallback = {};
  fallback.sa_handler = SIG_DFL;
  sigaction(SIGBUS, &fallback, nullptr);
  errno = saved_errno;
}

}  // namespace

int GuardMapping(void* base, size_t length) {
  std::lock_guard<std::mutex> lock(guards_mutex);
  if (!installed) {
    struct sigaction action = {};
    action.sa_sigaction = OnSigbus;
    action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGBUS, &action, &previous) != 0) return -1;
    installed = true;
  }
  for (int i = 0; i < kGuards; ++i) {
    if (guards[i].base.load(std::memory_order_relaxed) != 0) continue;
    guards[i].tripped.store(false, std::memory_order_relaxed);
    guards[i].length.store(length, std::memory_order_relaxed);
    guards[i].base.store(reinterpret_cast<uintptr_t>(base), std::memory_order_release);
    return i;
  }
  return -1;
}

bool GuardTripped(int slot) { return guards[slot].tripped.load(std::memory_order_acquire); }

void UnguardMapping(int slot) {
  std::lock_guard<std::mutex> lock(guards_mutex);
  guards[slot].base.store(0, std::memory_order_release);
}

}  // namespace qkme
