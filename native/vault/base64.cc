#include "vault/base64.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace qkme::vault {
namespace {

// 0..25 A-Z, 26..51 a-z, 52..61 0-9, 62 +, 63 /: each step adds its jump if the value is beyond it.
inline char Digit(uint32_t six) {
  const int v = static_cast<int>(six);
  int c = 'A' + v;
  c += (25 - v) >> 8 & ('a' - 'A' - 26);
  c -= (51 - v) >> 8 & ('a' + 26 - '0');
  c -= (61 - v) >> 8 & ('0' + 10 - '+');
  c += (62 - v) >> 8 & ('/' - '+' - 1);
  return static_cast<char>(c);
}

#if defined(__x86_64__)
// Twelve bytes to sixteen characters a step; reads sixteen bytes. Returns the bytes consumed.
__attribute__((target("ssse3"))) size_t EncodeSsse3(const uint8_t* in, size_t length, char* out) {
  // Each three bytes a b c are spread over four as b a c b.
  const __m128i spread = _mm_setr_epi8(1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10);
  // What is to be added to a value to make its character, by class: 0 a-z, 1..10 digits, 11 '+', 12 '/', 13 A-Z.
  const __m128i jump = _mm_setr_epi8('a' - 26, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52,
                                     '0' - 52, '0' - 52, '0' - 52, '+' - 62, '/' - 63, 'A', 0, 0);
  size_t done = 0;
  for (; length - done >= 16; done += 12, out += 16) {
    const __m128i bytes = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(in + done)), spread);
    const __m128i even = _mm_mulhi_epu16(_mm_and_si128(bytes, _mm_set1_epi32(0x0FC0FC00)), _mm_set1_epi32(0x04000040));
    const __m128i odd = _mm_mullo_epi16(_mm_and_si128(bytes, _mm_set1_epi32(0x003F03F0)), _mm_set1_epi32(0x01000010));
    const __m128i six = _mm_or_si128(even, odd);
    const __m128i upper = _mm_and_si128(_mm_cmpgt_epi8(_mm_set1_epi8(26), six), _mm_set1_epi8(13));
    const __m128i kind = _mm_or_si128(_mm_subs_epu8(six, _mm_set1_epi8(51)), upper);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm_add_epi8(six, _mm_shuffle_epi8(jump, kind)));
  }
  return done;
}
#endif

}  // namespace

size_t Base64EncodePortable(const uint8_t* in, size_t length, char* out) {
  char* at = out;
  for (; length >= 3; length -= 3, in += 3, at += 4) {
    const uint32_t bits = static_cast<uint32_t>(in[0]) << 16 | static_cast<uint32_t>(in[1]) << 8 | in[2];
    at[0] = Digit(bits >> 18);
    at[1] = Digit(bits >> 12 & 63);
    at[2] = Digit(bits >> 6 & 63);
    at[3] = Digit(bits & 63);
  }
  if (length > 0) {
    const uint32_t bits = static_cast<uint32_t>(in[0]) << 16 | (length > 1 ? static_cast<uint32_t>(in[1]) << 8 : 0);
    at[0] = Digit(bits >> 18);
    at[1] = Digit(bits >> 12 & 63);
    at[2] = length > 1 ? Digit(bits >> 6 & 63) : '=';
    at[3] = '=';
    at += 4;
  }
  return static_cast<size_t>(at - out);
}

size_t Base64Encode(const uint8_t* in, size_t length, char* out) {
  size_t done = 0;
#if defined(__x86_64__)
  static const bool ssse3 = __builtin_cpu_supports("ssse3");
  if (ssse3 && length >= 16) done = EncodeSsse3(in, length, out);
#endif
  const size_t before = done / 3 * 4;
  return before + Base64EncodePortable(in + done, length - done, out + before);
}

}  // namespace qkme::vault
