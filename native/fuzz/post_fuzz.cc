// Messages of reconciliation from a party that lies: whatever comes, a party refuses it with a PostError or goes on.
#include <memory>

#include "fuzz/fuzz.h"
#include "post/cascade.h"
#include "post/error.h"
#include "post/ldpc_party.h"

using namespace qkme::post;
using namespace qkme::fuzz;

namespace {

constexpr uint32_t kCascadeBits = 3'000;
constexpr int kRoundsMax = 400;

Bytes BitsOf(uint32_t length, uint8_t seed) {
  Bytes bits((length + 7) / 8);
  for (size_t i = 0; i < bits.size(); ++i) bits[i] = uint8_t((i * 131 + seed) * 73 >> 3);
  if (length % 8 != 0) bits.back() &= uint8_t((1u << length % 8) - 1);
  return bits;
}

/// An honest run, in which the input changes messages on their way.
void RunCascade(Input& input) {
  const CascadeOptions options = {.variant = CascadeVariant(input.U8() % 5), .length_bits = kCascadeBits, .frame_bits = 1'000};
  const Bytes bits = BitsOf(kCascadeBits, 1);
  Bytes noisy = bits;
  for (int errors = input.U8() % 64; errors > 0; --errors) noisy[input.U16() % noisy.size()] ^= uint8_t(1u << input.U8() % 8);
  noisy.back() &= uint8_t((1u << kCascadeBits % 8) - 1);
  Cascade alice(options, bits), bob(options, noisy);
  for (int round = 0; round < kRoundsMax && !alice.done() && !bob.done(); ++round) {
    const auto from_alice = alice.Message(), from_bob = bob.Message();
    Bytes to_bob(from_alice.begin(), from_alice.end());
    const Bytes to_alice(from_bob.begin(), from_bob.end());
    if (input.U8() & 1) {
      if (!to_bob.empty()) to_bob[input.U16() % to_bob.size()] ^= input.U8();
      if (input.U8() == 255) to_bob.resize(input.U16() % (to_bob.size() + 8));
    }
    bob.Receive(to_bob);
    alice.Receive(to_alice);
  }
}

void RunLdpc(Input& input) {
  static const Bytes bits = BitsOf(kLdpcBlockBitsMin, 2);
  const bool to_alice = (input.U8() & 1) != 0;
  Bytes message(input.left());
  input.Take(message.data(), message.size());
  try { LdpcLeakedBits(message); } catch (const PostError&) {}  // It must not believe it either.
  if (to_alice) {
    const LdpcPlan plan = MakeLdpcPlan(kLdpcBlockBitsMin, 30'000, false);
    const Bytes mask(plan.MaskBytes(), 0x5A);
    LdpcAlice alice(plan, bits, mask);
    alice.Message();
    alice.Receive(message);
    alice.Message();
  } else {
    LdpcBob bob(kLdpcBlockBitsMin, bits);
    bob.Receive(message);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  try {
    // Decoding what has no solution takes seconds under the sanitizers: one input in sixteen is enough.
    if (input.U8() % 16 == 0) RunLdpc(input);
    else RunCascade(input);
  } catch (const PostError&) {}  // What a lie deserves.
  return 0;
}

std::vector<Bytes> qkme::fuzz::Seeds() {
  std::vector<Bytes> seeds;
  for (uint8_t variant = 0; variant < 5; ++variant) {
    Bytes cascade = {1, variant, 40};
    for (int i = 0; i < 120; ++i) cascade.push_back(uint8_t(i * 29));
    seeds.push_back(cascade);
  }
  Bytes syndromes = {0, 0, 1, 54, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 4, 0};
  seeds.push_back(syndromes);
  syndromes.resize(syndromes.size() + size_t{54} * 512, 0);
  seeds.push_back(syndromes);
  seeds.push_back({0, 1, 2, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0});
  return seeds;
}
