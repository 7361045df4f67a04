// Drives a fuzz target without libFuzzer: mutants of the target's seeds (and of given files), each made from its number, so that
// --seed and a round name an input again. Not guided by coverage; the sanitizers and the target's rules are the judges.
//
//   PROGRAM [--seconds N] [--seed S]   mutants for so long (default 10 s, seed 1); both are whole numbers
//   PROGRAM --write-seeds FOLDER       the seeds as files, as a corpus for libFuzzer
//   PROGRAM FILE...                    these inputs, once
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "fuzz/fuzz.h"

extern "C" void __sanitizer_set_death_callback(void (*callback)());

namespace {

using qkme::fuzz::Bytes;

Bytes current;
uint64_t current_seed, current_round;

/// The input that did it, for a person. Only calls that a signal handler may make.
void Keep() {
  const int fd = open("fuzz-crash.bin", O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (fd >= 0) {
    (void)!write(fd, current.data(), current.size());
    close(fd);
  }
  char line[160];
  const int length = std::snprintf(line, sizeof line, "seed %llu, round %llu, %zu bytes: kept in fuzz-crash.bin\n",
                                   static_cast<unsigned long long>(current_seed), static_cast<unsigned long long>(current_round), current.size());
  (void)!write(2, line, size_t(length));
}

void OnAbort(int) {
  Keep();
  signal(SIGABRT, SIG_DFL);
  raise(SIGABRT);
}

// SplitMix64.
struct Chance {
  uint64_t state;
  uint64_t Next() {
    uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
  }
  size_t Below(size_t bound) { return bound == 0 ? 0 : size_t(Next() % bound); }
};

constexpr uint64_t kSecondsMax = 1'000'000;
constexpr uint64_t kNotable[] = {0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 3968, 3969, 4096, 64, UINT64_MAX};

void Change(Bytes& bytes, Chance& chance, const std::vector<Bytes>& corpus) {
  const size_t at = chance.Below(bytes.size() + 1), length = chance.Below(64) + 1;
  const auto place = bytes.begin() + ptrdiff_t(at);
  const auto upto = bytes.begin() + ptrdiff_t(std::min(bytes.size(), at + length));
  switch (chance.Below(7)) {
    case 0:
      if (at < bytes.size()) bytes[at] ^= uint8_t(1u << chance.Below(8));
      break;
    case 1:
      if (at < bytes.size()) bytes[at] = uint8_t(chance.Next());
      break;
    case 2:
      bytes.erase(place, upto);
      break;
    case 3: {
      const Bytes piece(place, upto);
      bytes.insert(place, piece.begin(), piece.end());
      break;
    }
    case 4: {  // the end of another
      const Bytes& other = corpus[chance.Below(corpus.size())];
      const size_t from = chance.Below(other.size() + 1);
      bytes.insert(place, other.begin() + ptrdiff_t(from), other.end());
      break;
    }
    case 5: {  // a number that means something, of 1, 2, 4 or 8 bytes
      const uint64_t value = kNotable[chance.Below(std::size(kNotable))];
      const size_t width = size_t{1} << chance.Below(4);
      for (size_t i = 0; i < width && at + i < bytes.size(); ++i) bytes[at + i] = uint8_t(value >> 8 * i);
      break;
    }
    default:
      bytes.resize(at);
  }
  if (bytes.size() > 65'536) bytes.resize(65'536);
}

void Run(const Bytes& bytes) {
  current = bytes;
  // An allocation of exactly this size: the sanitizer sees a read behind it.
  uint8_t* const exact = new uint8_t[bytes.size()];
  std::copy(bytes.begin(), bytes.end(), exact);
  LLVMFuzzerTestOneInput(exact, bytes.size());
  delete[] exact;
}

/// A whole number from 0 to `max`; anything else ends the program with a message.
uint64_t WholeNumber(const char* option, const std::string& text, uint64_t max) {
  uint64_t value = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (fault == std::errc() && end == text.data() + text.size() && value <= max) return value;
  std::fprintf(stderr, "%s %s: give a whole number from 0 to %llu\n", option, text.c_str(), static_cast<unsigned long long>(max));
  std::exit(2);
}

}  // namespace

int main(int argc, char** argv) {
  uint64_t seconds = 10;
  std::vector<std::string> files;
  current_seed = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const bool more = i + 1 < argc;
    if (word == "--seconds" && more) {
      seconds = WholeNumber("--seconds", argv[++i], kSecondsMax);
    } else if (word == "--seed" && more) {
      current_seed = WholeNumber("--seed", argv[++i], UINT32_MAX);
    } else if (word == "--write-seeds" && more) {
      const std::string folder = argv[++i];
      size_t n = 0;
      for (const Bytes& seed : qkme::fuzz::Seeds()) {
        std::ofstream file(folder + "/seed-" + std::to_string(n++), std::ios::binary);
        file.write(reinterpret_cast<const char*>(seed.data()), std::streamsize(seed.size()));
        if (!file) { std::fprintf(stderr, "%s cannot be written\n", folder.c_str()); return 1; }
      }
      return 0;
    } else if (word.starts_with("--")) {
      std::fprintf(stderr, "%s: not an option, or its value is missing; see the top of native/fuzz/main.cc\n", word.c_str());
      return 2;
    } else {
      files.push_back(word);
    }
  }
  signal(SIGABRT, OnAbort);
  __sanitizer_set_death_callback(Keep);
  for (const std::string& name : files) {
    std::ifstream file(name, std::ios::binary);
    if (!file) { std::fprintf(stderr, "%s cannot be read\n", name.c_str()); return 1; }
    Run(Bytes(std::istreambuf_iterator<char>(file), {}));
  }
  if (!files.empty()) return 0;
  const std::vector<Bytes> corpus = qkme::fuzz::Seeds();
  for (const Bytes& seed : corpus) Run(seed);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  while (std::chrono::steady_clock::now() < end) {
    Chance chance{current_seed << 40 ^ current_round};
    Bytes bytes = corpus[chance.Below(corpus.size())];
    for (size_t changes = chance.Below(8); ; --changes) {
      Change(bytes, chance, corpus);
      if (changes == 0) break;
    }
    Run(bytes);
    current_round++;
  }
  std::printf("%llu mutants of %zu seeds, no fault\n", static_cast<unsigned long long>(current_round), corpus.size());
  return 0;
}
