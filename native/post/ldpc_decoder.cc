#include "post/ldpc_decoder.h"

#include <cmath>
#include <cstring>
#include <new>

#include "post/error.h"

namespace qkme::post {
namespace {

struct Implementation {
  const char* name;
  ldpc::RunLayer run;
  size_t lanes;
};

constexpr Implementation kImplementations[kLdpcImpls] = {
    {"portable", ldpc::LayerPortable, 32},
#if defined(__x86_64__)
    {"avx2", ldpc::LayerAvx2, 32},
    {"avx512", ldpc::LayerAvx512, 64},
#else
    {"avx2", nullptr, 32},
    {"avx512", nullptr, 64},
#endif
};

const Implementation& Of(LdpcImpl impl) { return kImplementations[static_cast<int>(impl)]; }

constexpr size_t kPosteriorBytes = kLdpcColumns * ldpc::kColumnStride;
constexpr uint32_t kWordsPerBlock = kLdpcCirculant / 64;

// A frame that has not come nearer for so many iterations rarely gets there.
constexpr uint32_t kPatience = 40;

}  // namespace

bool LdpcSupported(LdpcImpl impl) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  switch (impl) {
    case LdpcImpl::kPortable: return true;
    case LdpcImpl::kAvx2: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt");
    case LdpcImpl::kAvx512: return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("popcnt");
  }
  return false;
#else
  return impl == LdpcImpl::kPortable;
#endif
}

LdpcImpl LdpcBest() {
  static const LdpcImpl best = [] {
    for (int i = kLdpcImpls - 1; i > 0; --i) {
      if (LdpcSupported(static_cast<LdpcImpl>(i))) return static_cast<LdpcImpl>(i);
    }
    return LdpcImpl::kPortable;
  }();
  return best;
}

const char* LdpcName(LdpcImpl impl) { return Of(impl).name; }

LdpcDecoder::Bytes LdpcDecoder::Allocate(size_t bytes) {
  auto* const block = static_cast<int8_t*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64));
  if (block == nullptr) throw std::bad_alloc();
  return Bytes(block);
}

LdpcDecoder::LdpcDecoder(std::shared_ptr<const LdpcCode> code, LdpcImpl impl)
    : code_(std::move(code)), impl_(impl), posteriors_(Allocate(kPosteriorBytes)), messages_(Allocate(code_->edges() * kLdpcCirculant)) {
  Require(LdpcSupported(impl), "this processor has the instructions of the decoder");
  const LdpcDesign& design = code_->design();
  const double unit = design.channel / std::log((1 - design.error_rate) / design.error_rate);
  for (int x = 0; x < 15; ++x) correction_[x] = static_cast<uint8_t>(std::lround(unit * std::log1p(std::exp(-x / unit))));
  correction_[15] = 0;
  Start();
}

LdpcDecoder::~LdpcDecoder() { Wipe(); }

int8_t* LdpcDecoder::At(uint32_t bit) const {
  Require(bit < kLdpcFrameBits, "a bit is in the frame");
  return posteriors_.get() + bit / kLdpcCirculant * ldpc::kColumnStride + bit % kLdpcCirculant;
}

void LdpcDecoder::Start() {
  std::memset(posteriors_.get(), code_->design().channel, kPosteriorBytes);
  std::memset(messages_.get(), 0, code_->edges() * kLdpcCirculant);
}

void LdpcDecoder::SetUnknown(uint32_t bit) { *At(bit) = 0; }

void LdpcDecoder::SetKnown(uint32_t bit, bool error) { *At(bit) = error ? -ldpc::kMagnitudeMax : ldpc::kMagnitudeMax; }

uint32_t LdpcDecoder::Iterate(const uint64_t* syndrome) {
  const size_t lanes = Of(impl_).lanes;
  uint32_t unsatisfied = 0;
  for (uint32_t row = 0; row < code_->rows(); ++row) {
    const auto edges = code_->Row(row);
    for (const LdpcEdge& edge : edges) {
      int8_t* const column = posteriors_.get() + edge.column * ldpc::kColumnStride;
      std::memcpy(column + kLdpcCirculant, column, ldpc::kMirror);
    }
    unsatisfied += Of(impl_).run({posteriors_.get(), messages_.get() + code_->EdgesBefore(row) * kLdpcCirculant, edges.data(),
                                  static_cast<uint32_t>(edges.size()), syndrome + size_t{row} * kWordsPerBlock, correction_});
    // The vector that ran over the end has the new values of the first ones in the mirror.
    for (const LdpcEdge& edge : edges) {
      int8_t* const column = posteriors_.get() + edge.column * ldpc::kColumnStride;
      std::memcpy(column, column + kLdpcCirculant, edge.shift % lanes);
    }
  }
  return unsatisfied;
}

LdpcResult LdpcDecoder::Run(const uint64_t* syndrome, uint32_t iterations) {
  uint32_t least = UINT32_MAX;
  uint32_t since = 0;
  for (uint32_t done = 1; done <= iterations; ++done) {
    unsatisfied_ = Iterate(syndrome);
    if (unsatisfied_ == 0 && Solved(syndrome)) return {true, done};
    since = unsatisfied_ < least ? 0 : since + 1;
    least = unsatisfied_ < least ? unsatisfied_ : least;
    if (since >= kPatience) return {false, done};
  }
  return {Solved(syndrome), iterations};
}

void LdpcDecoder::Errors(uint64_t* errors) const {
  for (uint32_t column = 0; column < kLdpcColumns; ++column) {
    const int8_t* const in = posteriors_.get() + column * ldpc::kColumnStride;
    for (uint32_t i = 0; i < kLdpcCirculant; i += 64) {
      uint64_t word = 0;
      for (uint32_t j = 0; j < 64; j += 8) {
        uint64_t bytes;
        std::memcpy(&bytes, in + i + j, sizeof bytes);
        // Gathers the eight signs: the multiplication moves sign j to bit 56 + j.
        word |= ((bytes >> 7 & 0x0101010101010101u) * 0x0102040810204080u >> 56) << j;
      }
      errors[(column * kLdpcCirculant + i) / 64] = word;
    }
  }
}

bool LdpcDecoder::Solved(const uint64_t* syndrome) const {
  std::vector<uint64_t> errors(kLdpcFrameBits / 64);
  std::vector<uint64_t> found(code_->syndrome_bits() / 64);
  Errors(errors.data());
  code_->Syndrome(errors.data(), found.data());
  const bool solved = std::memcmp(found.data(), syndrome, code_->syndrome_bits() / 8) == 0;
  explicit_bzero(errors.data(), errors.size() * sizeof(uint64_t));
  return solved;
}

uint32_t LdpcDecoder::Certainty(uint32_t bit) const {
  const int value = *At(bit);
  return static_cast<uint32_t>(value < 0 ? -value : value);
}

void LdpcDecoder::Wipe() {
  explicit_bzero(posteriors_.get(), kPosteriorBytes);
  explicit_bzero(messages_.get(), code_->edges() * kLdpcCirculant);
}

}  // namespace qkme::post
