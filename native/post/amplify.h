// Privacy amplification by modified Toeplitz hashing.
//
//   y = x_high xor T x_low,  T[i][j] = s[i - j + n - m - 1]
//
// x has n bits: x_low is the first n - m, x_high the last m. The seed s has n - 1 bits, is drawn anew for each block
// after x is fixed, and may be public. (T | I) is universal_2: two inputs collide with probability at most
// 2^-m (Krawczyk, CRYPTO 1994; the modified form: Hayashi and Tsurumaru, IEEE Trans. Inf. Theory 62, 2213 (2016)).
// Bits are packed, the lowest first in each byte.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qkme::post {

/// Ways to multiply; all give the same bits.
enum class AmplifyImpl : int { kPortable = 0, kPclmul = 1, kVpclmul512 = 2 };
inline constexpr int kAmplifyImpls = 3;

/// Whether this processor (and its operating system) can run `impl`.
bool AmplifySupported(AmplifyImpl impl);
/// The fastest one that is supported; found once.
AmplifyImpl AmplifyBest();
const char* AmplifyName(AmplifyImpl impl);

/// Bits of an input at most. Twelve bytes of working memory are taken per 8 bits.
inline constexpr uint64_t kAmplifyBitsMax = uint64_t{1} << 28;

/// How the product is made. `kChoose` takes what is expected to be faster.
enum class AmplifyMethod : int { kChoose = 0, kKaratsuba = 1, kTransform = 2 };

/// Hashes `input` (input_bits) down to `output` (output_bits, 1 to input_bits - 1) with `seed` (input_bits - 1). Unused
/// bits of the last byte of input and seed are ignored, those of the output are 0. The working memory is wiped; 2 MiB of it
/// stay with the thread for its next call.
/// No branch and no address depends on input or seed.
void Amplify(const uint8_t* input, uint64_t input_bits, const uint8_t* seed, uint8_t* output, uint64_t output_bits,
             AmplifyImpl impl = AmplifyBest(), AmplifyMethod method = AmplifyMethod::kChoose);

}  // namespace qkme::post
