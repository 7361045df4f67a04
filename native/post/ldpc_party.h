// Reconciliation of a block by LDPC codes, as two parties that exchange messages only.
//
//   Alice -> Bob   syndromes of all frames, with the code and the number of punctured bits
//   Bob -> Alice   what he asks for of the frames that he could not decode; nothing: done
//   Alice -> Bob   the values asked for; and so on
//
// Bob asks for punctured bits first, in the order of the pool (blind reconciliation: Martinez-Mateo, Elkouss and
// Martin 2012), a fiftieth of the syndrome at a time; when there are none left, or only few checks do not hold, for the
// bits of the key of which his decoder is least sure (Kiktenko et al., Phys. Rev. Applied 8, 044017 (2017)).
//
// Leaked: the bits that Alice sends, less the punctured bits, which are uniform, her own, and used once.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "post/ldpc_decoder.h"
#include "post/ldpc_frame.h"

namespace qkme::post {

inline constexpr uint32_t kLdpcBlockBitsMin = 1u << 18;
inline constexpr uint32_t kLdpcBlockBitsMax = 1u << 27;

/// How a block is cut into frames. Alice chooses, Bob checks.
struct LdpcPlan {
  uint32_t length_bits;
  uint32_t rows;
  uint32_t frames;
  uint32_t punctured;  ///< of each frame

  uint32_t FrameBits() const { return (length_bits + frames - 1) / frames; }
  uint32_t BitsOf(uint32_t frame) const;
  /// Bytes of random bits that mask the syndromes.
  size_t MaskBytes() const { return size_t{frames} * ((punctured + 7) / 8); }
  uint64_t SyndromeBits() const { return uint64_t{frames} * rows * kLdpcCirculant; }
};

/// @param blind  Start with as many punctured bits as there can be; `error_ppm` is a guess then.
LdpcPlan MakeLdpcPlan(uint32_t length_bits, uint32_t error_ppm, bool blind);

/// Bits that a message of Alice's discloses. @throws PostError PROTOCOL if it is none.
uint64_t LdpcLeakedBits(std::span<const uint8_t> message);

class LdpcAlice {
 public:
  /// `bits`: packed, copied and wiped. `mask`: plan.MaskBytes() random bytes, used for nothing else.
  LdpcAlice(const LdpcPlan& plan, std::span<const uint8_t> bits, std::span<const uint8_t> mask);
  ~LdpcAlice();
  LdpcAlice(const LdpcAlice&) = delete;
  LdpcAlice& operator=(const LdpcAlice&) = delete;

  /// The message that is due; empty if it is Bob's turn or all is done.
  std::vector<uint8_t> Message();
  /// @throws PostError PROTOCOL if it is not what Bob may ask now; nothing has changed then.
  void Receive(std::span<const uint8_t> message);
  bool done() const { return done_; }
  uint64_t leaked_bits() const { return leaked_bits_; }
  uint32_t rounds() const { return rounds_; }

 private:
  struct State {
    uint32_t revealed = 0;         ///< of the punctured bits
    std::vector<uint32_t> chosen;  ///< places of the key that were revealed, sorted
  };

  std::vector<uint8_t> Syndromes();
  uint64_t First(uint32_t frame) const { return uint64_t{frame} * plan_.FrameBits(); }

  LdpcPlan plan_;
  std::shared_ptr<const LdpcCode> code_;
  std::vector<uint8_t> bits_, mask_, due_;
  std::vector<State> states_;
  bool done_ = false;
  uint64_t leaked_bits_ = 0;
  uint32_t rounds_ = 0;
};

class LdpcBob {
 public:
  /// `bits`: packed, copied and wiped.
  LdpcBob(uint32_t length_bits, std::span<const uint8_t> bits, LdpcImpl impl = LdpcBest());
  ~LdpcBob();
  LdpcBob(const LdpcBob&) = delete;
  LdpcBob& operator=(const LdpcBob&) = delete;

  /// The message that is due; empty if it is Alice's turn or all is done.
  std::vector<uint8_t> Message();
  /// Decodes: some ten milliseconds per frame. @throws PostError PROTOCOL if it is not Alice's next message; nothing has
  /// changed then.
  void Receive(std::span<const uint8_t> message);
  bool done() const { return done_; }
  uint64_t leaked_bits() const { return leaked_bits_; }
  uint32_t rounds() const { return rounds_; }
  uint32_t frames() const { return plan_.frames; }
  /// Frames that were given up, once all is done.
  uint32_t failed() const;
  /// Iterations of the decoder, over all frames and attempts.
  uint64_t iterations() const { return iterations_; }
  /// Flips the places found to be wrong.
  void Correct(std::span<uint8_t> bits) const;

 private:
  struct Known {
    uint32_t place;
    bool error;
  };
  struct State {
    bool solved = false;
    uint32_t revealed = 0;        ///< of the punctured bits
    uint32_t pooled = 0;          ///< asked for now, of the punctured bits
    std::vector<uint32_t> asked;  ///< asked for now, places of the key, sorted
    std::vector<Known> known;     ///< in the pool and in the key
    std::vector<uint64_t> syndrome;  ///< of the errors
    std::vector<uint64_t> errors;    ///< found
  };

  void Begin(std::span<const uint8_t> message);
  void TakeValues(std::span<const uint8_t> message);
  void DecodeAll();
  void Decode(State& state, const LdpcFrame& frame, LdpcDecoder& decoder);
  void Ask(State& state, const LdpcFrame& frame, const LdpcDecoder& decoder);
  uint64_t First(uint32_t frame) const { return uint64_t{frame} * plan_.FrameBits(); }

  LdpcPlan plan_ = {};
  LdpcImpl impl_;
  std::shared_ptr<const LdpcCode> code_;
  std::vector<uint8_t> bits_, due_;
  std::vector<State> states_;
  bool done_ = false;
  uint64_t leaked_bits_ = 0, iterations_ = 0;
  uint32_t rounds_ = 0;
};

}  // namespace qkme::post
