#include "bench/wake.h"

#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "handover.h"
#include "ring.h"

namespace qkme::bench {
namespace {

/// A thread inherits the cores of the one that starts it, so it is pinned from outside.
void Pin(std::thread& thread, int core) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(core, &cores);
  if (pthread_setaffinity_np(thread.native_handle(), sizeof cores, &cores) != 0) throw std::runtime_error("core " + std::to_string(core) + " is not there");
}

}  // namespace

double WakeMedianUs(int waiter_core, int ringer_core, uint32_t count, uint32_t gap_us) {
  const OwnedFd bell = MakeEventFd(), watch(epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{};
  event.events = EPOLLIN;
  if (!watch || epoll_ctl(watch.get(), EPOLL_CTL_ADD, bell.get(), &event) != 0) throw std::runtime_error("no descriptor to wait on");
  std::atomic<uint64_t> rung_ns{0};
  std::atomic<bool> pinned{false}, over{false};
  std::vector<double> waited_us;
  std::thread waiter([&] {
    for (;;) {
      epoll_event seen;
      if (epoll_wait(watch.get(), &seen, 1, -1) != 1) continue;
      const uint64_t now = MonotonicNs();
      if (over.load()) return;
      ClearBell(bell.get());
      waited_us.push_back(double(now - rung_ns.load()) / 1e3);
    }
  });
  std::thread ringer([&] {
    while (!pinned.load()) std::this_thread::yield();
    for (uint32_t i = 0; i < count; ++i) {
      std::this_thread::sleep_for(std::chrono::microseconds(gap_us));
      rung_ns.store(MonotonicNs());
      RingBell(bell.get());
    }
    std::this_thread::sleep_for(std::chrono::microseconds(gap_us));
    over.store(true);
    RingBell(bell.get());
  });
  std::exception_ptr fault;
  try {
    Pin(waiter, waiter_core);
    Pin(ringer, ringer_core);
  } catch (...) { fault = std::current_exception(); }
  pinned.store(true);
  ringer.join();
  waiter.join();
  if (fault) std::rethrow_exception(fault);
  if (waited_us.empty()) throw std::runtime_error("the bell was never heard");
  const auto middle = waited_us.begin() + std::ptrdiff_t(waited_us.size() / 2);
  std::nth_element(waited_us.begin(), middle, waited_us.end());
  return *middle;
}

}  // namespace qkme::bench
