// How fast frames go from ring slots to checked, and to sealed, frames: the reading side of a ring without Node around it.
#pragma once

#include <cstdint>

namespace qkme::bench {

/// Fills a ring of 16 MiB with frames of `payload_bytes` and drains it, again and again, on this thread, until `duration_ns` were
/// spent draining. The slots are out of the nearest caches by then, as those of a device are. Returns drained frames per second
/// of this thread's processor time in draining. `seal`: with AES-256-GCM, else a record is dropped once it is checked.
/// @throws std::runtime_error if a frame is refused.
double DrainPerSecond(uint32_t payload_bytes, bool seal, uint64_t duration_ns);

}  // namespace qkme::bench
