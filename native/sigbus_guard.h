// A file that is cut while it is mapped raises SIGBUS at the next access, which ends a process. Sealed memory cannot be
// cut; ring files and PCI resources can. For those mappings the signal's handler puts zero pages in place of the lost
// memory and notes it, so that the access goes on and the ring is found faulty. Any other SIGBUS acts as before.
#pragma once

#include <cstddef>

namespace qkme {

/// Guards [base, base + length) for this process; returns a slot for the two below, or -1 if all 64 are taken.
int GuardMapping(void* base, size_t length);
bool GuardTripped(int slot);
void UnguardMapping(int slot);

}  // namespace qkme
