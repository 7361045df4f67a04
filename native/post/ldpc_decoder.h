// Layered decoding with messages of eight bits (Hocevar, IEEE SiPS 2004), in the syndrome form: it looks for the
// error pattern e with H e = syndrome. A check combines magnitudes two by two,
//
//   a (+) b = min(a, b) + g(a + b) - g(|a - b|),  g(x) = ln(1 + exp(-x)) from a table of 16 entries,
//
// and answers its least reliable bit with the sum over all others, all other bits with the sum over all: A-min*
// (Jones, Valles, Smith and Villasenor, IEEE MILCOM 2003). This costs a third more than plain min-sum and gains
// 2 to 4 percent of the leak.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "post/ldpc_code.h"

namespace qkme::post {

/// Ways to decode; all give the same bits after the same number of iterations.
enum class LdpcImpl : int { kPortable = 0, kAvx2 = 1, kAvx512 = 2 };
inline constexpr int kLdpcImpls = 3;

/// Whether this processor (and its operating system) can run `impl`.
bool LdpcSupported(LdpcImpl impl);
/// The fastest one that is supported; found once.
LdpcImpl LdpcBest();
const char* LdpcName(LdpcImpl impl);

struct LdpcResult {
  bool converged;  ///< H e = syndrome holds; otherwise the pattern is no solution
  uint32_t iterations;
};

class LdpcDecoder {
 public:
  explicit LdpcDecoder(std::shared_ptr<const LdpcCode> code, LdpcImpl impl = LdpcBest());
  ~LdpcDecoder();
  LdpcDecoder(const LdpcDecoder&) = delete;
  LdpcDecoder& operator=(const LdpcDecoder&) = delete;

  const LdpcCode& code() const { return *code_; }
  /// Begins a frame of received bits, each wrong with the same small probability.
  void Start();
  /// The other party's bit is not known at all (it was punctured).
  void SetUnknown(uint32_t bit);
  /// Whether the bit is wrong is known. Also between two runs: what the decoder has learned stays.
  void SetKnown(uint32_t bit, bool error);
  /// Goes on for at most `iterations`, fewer when it gets nowhere. `syndrome`: code().syndrome_bits(), packed.
  LdpcResult Run(const uint64_t* syndrome, uint32_t iterations);
  /// Checks that did not hold in the last iteration.
  uint32_t unsatisfied() const { return unsatisfied_; }
  /// The pattern as it stands: kLdpcFrameBits, packed.
  void Errors(uint64_t* errors) const;
  /// How sure the decoder is of a bit: 0 to 128.
  uint32_t Certainty(uint32_t bit) const;
  /// Overwrites all that tells of the frame.
  void Wipe();

 private:
  struct Free {
    void operator()(int8_t* bytes) const { std::free(bytes); }
  };
  using Bytes = std::unique_ptr<int8_t[], Free>;
  static Bytes Allocate(size_t bytes);

  uint32_t Iterate(const uint64_t* syndrome);
  bool Solved(const uint64_t* syndrome) const;
  int8_t* At(uint32_t bit) const;

  std::shared_ptr<const LdpcCode> code_;
  LdpcImpl impl_;
  uint8_t correction_[16];
  uint32_t unsatisfied_ = 0;
  Bytes posteriors_;
  Bytes messages_;
};

namespace ldpc {

/// Bytes after each column that repeat its first ones, so that a vector may run over the end.
inline constexpr size_t kMirror = 64;
inline constexpr size_t kColumnStride = kLdpcCirculant + kMirror;

/// One row of blocks. Messages lie in the order of use: for each group of lanes, one vector per edge.
struct Layer {
  int8_t* posteriors;
  int8_t* messages;
  const LdpcEdge* edges;
  uint32_t degree;
  const uint64_t* syndrome;   ///< of this row: kLdpcCirculant bits
  const uint8_t* correction;  ///< g by 16 entries; the last one is 0 and holds for all beyond
};

inline constexpr int kMessageMax = 63;
/// Of a posterior. One that is saturated has lost part of its sum, so the old message is not subtracted from it: a
/// column of high degree would turn over one message after the other.
inline constexpr int kMagnitudeMax = 127;

/// Updates a row and returns the number of its checks that did not hold before.
using RunLayer = uint32_t (*)(const Layer& layer);

uint32_t LayerPortable(const Layer& layer);
#if defined(__x86_64__)
uint32_t LayerAvx2(const Layer& layer);
uint32_t LayerAvx512(const Layer& layer);
#endif

}  // namespace ldpc
}  // namespace qkme::post
