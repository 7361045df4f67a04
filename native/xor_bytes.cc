// Each function carries its own target, so the addon is built without machine flags and chooses at run time.
#include "xor_bytes.h"

namespace qkme {
namespace {

// The compiler makes vectors of these loops, of the width that the function around them may use.
__attribute__((always_inline)) inline void One(uint8_t* __restrict into, const uint8_t* __restrict pad, size_t length) {
  for (size_t i = 0; i < length; ++i) into[i] ^= pad[i];
}

__attribute__((always_inline)) inline void Two(uint8_t* __restrict into, const uint8_t* __restrict removed, const uint8_t* __restrict added, size_t length) {
  for (size_t i = 0; i < length; ++i) into[i] = static_cast<uint8_t>(into[i] ^ removed[i] ^ added[i]);
}

using XorOne = void (*)(uint8_t*, const uint8_t*, size_t);
using XorTwo = void (*)(uint8_t*, const uint8_t*, const uint8_t*, size_t);

void OnePortable(uint8_t* into, const uint8_t* pad, size_t length) { One(into, pad, length); }
void TwoPortable(uint8_t* into, const uint8_t* removed, const uint8_t* added, size_t length) { Two(into, removed, added, length); }

#if defined(__x86_64__)
__attribute__((target("avx2"))) void OneAvx2(uint8_t* into, const uint8_t* pad, size_t length) { One(into, pad, length); }
__attribute__((target("avx2"))) void TwoAvx2(uint8_t* into, const uint8_t* removed, const uint8_t* added, size_t length) { Two(into, removed, added, length); }
__attribute__((target("avx512bw,prefer-vector-width=512"))) void OneAvx512(uint8_t* into, const uint8_t* pad, size_t length) { One(into, pad, length); }
__attribute__((target("avx512bw,prefer-vector-width=512"))) void TwoAvx512(uint8_t* into, const uint8_t* removed, const uint8_t* added, size_t length) {
  Two(into, removed, added, length);
}
constexpr XorOne kOne[kXorImpls] = {OnePortable, OneAvx2, OneAvx512};
constexpr XorTwo kTwo[kXorImpls] = {TwoPortable, TwoAvx2, TwoAvx512};
#else
constexpr XorOne kOne[kXorImpls] = {OnePortable, OnePortable, OnePortable};
constexpr XorTwo kTwo[kXorImpls] = {TwoPortable, TwoPortable, TwoPortable};
#endif

}  // namespace

bool XorSupported(XorImpl impl) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  switch (impl) {
    case XorImpl::kPortable: return true;
    case XorImpl::kAvx2: return __builtin_cpu_supports("avx2");
    case XorImpl::kAvx512: return __builtin_cpu_supports("avx512bw");
  }
  return false;
#else
  return impl == XorImpl::kPortable;
#endif
}

XorImpl XorBest() {
  static const XorImpl best = XorSupported(XorImpl::kAvx512) ? XorImpl::kAvx512 : XorSupported(XorImpl::kAvx2) ? XorImpl::kAvx2 : XorImpl::kPortable;
  return best;
}

void XorPad(uint8_t* into, const uint8_t* pad, size_t length, XorImpl impl) { kOne[static_cast<int>(impl)](into, pad, length); }

void XorPads(uint8_t* into, const uint8_t* removed, const uint8_t* added, size_t length, XorImpl impl) {
  kTwo[static_cast<int>(impl)](into, removed, added, length);
}

}  // namespace qkme
