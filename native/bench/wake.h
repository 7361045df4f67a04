// What the kernel and the machine alone take to wake a thread that waits for an eventfd: the floor of a ring's doorbell.
#pragma once

#include <cstdint>

namespace qkme::bench {

/// One thread on `waiter_core` sleeps in epoll_wait; another on `ringer_core` rings `count` times, `gap_us` apart, so that the
/// waiter's core has come to rest each time. Returns the median time from just before the ring to the waiter's return, in microseconds.
/// @throws std::runtime_error if a core is not there, std::system_error if a thread or descriptor cannot be had.
double WakeMedianUs(int waiter_core, int ringer_core, uint32_t count, uint32_t gap_us);

}  // namespace qkme::bench
