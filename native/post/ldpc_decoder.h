// Layered normalised min-sum on messages of eight bits (Hocevar, IEEE SiPS 2004; Chen and Fossorier, IEEE Trans.
// Commun. 50, 406 (2002)), in the syndrome form: it looks for the error pattern e with H e = syndrome.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "post/ldpc_code.h"

namespace qkme::post {

/// Ways to decode; all give the same bits after the same number of iterations.
enum class LdpcImpl : int { kPortable = 0, kAvx2 = 1, kAvx512 = 2 };
inline constexpr int kLdpcImpls = 3;

bool LdpcSupported(LdpcImpl impl);
/// The fastest one that is supported; found once.
LdpcImpl LdpcBest();
const char* LdpcName(LdpcImpl impl);

/// What is known of a bit of the error pattern before decoding.
enum class LdpcPrior : uint8_t { kReceived = 0, kUnknown = 1, kKnown = 2 };

struct LdpcResult {
  bool converged;       ///< H e = syndrome holds; otherwise the pattern is no solution
  uint32_t iterations;
};

class LdpcDecoder {
 public:
  explicit LdpcDecoder(std::shared_ptr<const LdpcCode> code, LdpcImpl impl = LdpcBest());
  ~LdpcDecoder();
  LdpcDecoder(const LdpcDecoder&) = delete;
  LdpcDecoder& operator=(const LdpcDecoder&) = delete;

  const LdpcCode& code() const { return *code_; }
  /// Begins a frame: `priors` has one entry per bit of the frame.
  void Start(const LdpcPrior* priors);
  /// What has been learned of one bit since: it is right. Messages stay as they are.
  void Reveal(uint32_t bit, bool error);
  /// Goes on for at most `iterations`. `syndrome`: code().syndrome_bits() packed.
  LdpcResult Run(const uint64_t* syndrome, uint32_t iterations);
  /// The pattern as it stands, packed.
  void Errors(uint64_t* errors) const;
  /// How sure the decoder is of a bit: 0 to 127.
  uint8_t Certainty(uint32_t bit) const;
  /// Overwrites all that tells of the frame.
  void Wipe();

 private:
  bool Solved(const uint64_t* syndrome) const;

  std::shared_ptr<const LdpcCode> code_;
  LdpcImpl impl_;
  std::vector<int8_t> posteriors_;
  std::vector<int8_t> messages_;
  size_t posteriors_skew_ = 0;
  size_t messages_skew_ = 0;
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
  const uint64_t* syndrome;  ///< of this row: kLdpcCirculant bits
  int scale;
};

/// Largest magnitude of a message: less than half of a posterior's, so that a saturated posterior keeps its sign.
inline constexpr int kMessageMax = 31;

/// Updates a row and returns the number of its checks that did not hold before.
using RunLayer = uint32_t (*)(const Layer& layer);

uint32_t LayerPortable(const Layer& layer);
#if defined(__x86_64__)
uint32_t LayerAvx2(const Layer& layer);
uint32_t LayerAvx512(const Layer& layer);
#endif

}  // namespace ldpc
}  // namespace qkme::post
