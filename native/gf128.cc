#include "gf128.h"

#include <cstring>

namespace qkme {
namespace {

struct Implementation {
  const char* name;
  gf::AbsorbSerial serial;
  gf::AbsorbGroups groups;  // nullptr: only serial
};

constexpr Implementation kImplementations[kGfImpls] = {
    {"portable", gf::SerialPortable, nullptr},
#if defined(__x86_64__)
    {"pclmulqdq", gf::SerialPclmul, gf::GroupsPclmul},
    {"vpclmulqdq-avx2", gf::SerialPclmul, gf::GroupsVpclmul256},
    {"vpclmulqdq-avx512", gf::SerialPclmul, gf::GroupsVpclmul512},
#else
    {"pclmulqdq", nullptr, nullptr},
    {"vpclmulqdq-avx2", nullptr, nullptr},
    {"vpclmulqdq-avx512", nullptr, nullptr},
#endif
};

const Implementation& Of(GfImpl impl) { return kImplementations[static_cast<int>(impl)]; }

// Widths of groups. Powers cost a multiplication each: below these lengths, in blocks, they do not pay.
constexpr size_t kNarrow = 16;
constexpr size_t kNarrowFrom = 3 * kNarrow;
constexpr size_t kWideFrom = 8 * PolyHash::kPowers;

}  // namespace

bool GfSupported(GfImpl impl) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool pclmul = __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
  const bool wide = pclmul && __builtin_cpu_supports("vpclmulqdq");
  switch (impl) {
    case GfImpl::kPortable: return true;
    case GfImpl::kPclmul: return pclmul;
    case GfImpl::kVpclmul256: return wide && __builtin_cpu_supports("avx2");
    case GfImpl::kVpclmul512: return wide && __builtin_cpu_supports("avx512f");
  }
  return false;
#else
  return impl == GfImpl::kPortable;
#endif
}

GfImpl GfBest() {
  static const GfImpl best = [] {
    for (int i = kGfImpls - 1; i > 0; --i) {
      if (GfSupported(static_cast<GfImpl>(i))) return static_cast<GfImpl>(i);
    }
    return GfImpl::kPortable;
  }();
  return best;
}

const char* GfName(GfImpl impl) { return Of(impl).name; }

PolyHash::PolyHash(const uint8_t* key, GfImpl impl) : impl_(impl) {
  std::memcpy(state_.powers[kPowers - 1], key, kGfBytes);
  state_.sum[0] = state_.sum[1] = 0;
  state_.ready = 1;
}

PolyHash::~PolyHash() {
  explicit_bzero(&state_, sizeof state_);
  explicit_bzero(partial_, sizeof partial_);
}

// By doubling: the products of one round do not wait for each other.
void PolyHash::MakePowers(size_t count) {
  static constexpr uint8_t kZero[kGfBytes] = {};
  for (; state_.ready < count; state_.ready *= 2) {
    const uint64_t* const by = state_.powers[kPowers - state_.ready];
    for (size_t i = 1; i <= state_.ready; ++i) {
      uint64_t* const made = state_.powers[kPowers - state_.ready - i];
      std::memcpy(made, state_.powers[kPowers - i], kGfBytes);
      Of(impl_).serial(made, by, kZero, 1);
    }
  }
}

void PolyHash::Absorb(const uint8_t* blocks, size_t count) {
  const Implementation& implementation = Of(impl_);
  const auto absorb_groups = [&](size_t width, size_t from) {
    if (count < (state_.ready >= width ? width : from)) return;
    MakePowers(width);
    implementation.groups(&state_, blocks, count / width, width);
    blocks += count / width * width * kGfBytes;
    count %= width;
  };
  if (implementation.groups != nullptr) {
    absorb_groups(kPowers, kWideFrom);
    absorb_groups(kNarrow, kNarrowFrom);
  }
  if (count > 0) implementation.serial(state_.sum, state_.powers[kPowers - 1], blocks, count);
}

void PolyHash::Update(const uint8_t* data, size_t length) {
  total_bytes_ += length;
  if (partial_bytes_ > 0) {
    const size_t want = kGfBytes - partial_bytes_;
    const size_t take = length < want ? length : want;
    if (take > 0) std::memcpy(partial_ + partial_bytes_, data, take);
    partial_bytes_ += take;
    data += take;
    length -= take;
    if (partial_bytes_ < kGfBytes) return;
    Absorb(partial_, 1);
    partial_bytes_ = 0;
  }
  const size_t whole = length / kGfBytes;
  if (whole > 0) Absorb(data, whole);
  partial_bytes_ = length - whole * kGfBytes;
  if (partial_bytes_ > 0) std::memcpy(partial_, data + whole * kGfBytes, partial_bytes_);
}

void PolyHash::Final(uint8_t* out) {
  if (partial_bytes_ > 0) {
    std::memset(partial_ + partial_bytes_, 0, kGfBytes - partial_bytes_);
    Absorb(partial_, 1);
  }
  const uint64_t length_block[2] = {total_bytes_ * 8, 0};
  std::memcpy(partial_, length_block, kGfBytes);
  Absorb(partial_, 1);
  std::memcpy(out, state_.sum, kGfBytes);
}

}  // namespace qkme
